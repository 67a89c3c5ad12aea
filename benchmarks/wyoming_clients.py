"""Many Wyoming clients at once, each playing the packaged recording in real time.

Starts `kws-stream serve` and measures how late its detections arrive, and the processor time of
the server. A client is late by the time from sending the last sample of the frame that fired to
receiving its detection. Needs the extra wyoming.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import sys
import time

import numpy as np
import soundfile
import soxr
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.wake import Detection

from kws_stream.constants import RECORDING


async def client(port: int, pcm: np.ndarray, args: argparse.Namespace, offset_s: float) -> dict:
    """Play pcm in real time; gives lateness in s of each detection, and how far sending fell."""
    await asyncio.sleep(offset_s)
    late, behind = [], 0.0
    form = {"rate": args.rate, "width": 2, "channels": 1}
    step = args.rate * args.chunk_ms // 1000
    async with AsyncTcpClient("127.0.0.1", port) as link:
        began = time.perf_counter()

        async def receive() -> str | None:
            while (event := await link.read_event()) is not None:
                if Detection.is_type(event.type):
                    stamp = Detection.from_event(event).timestamp / 1000
                    chunk_end = np.ceil(stamp * 1000 / args.chunk_ms) * args.chunk_ms / 1000
                    late.append(time.perf_counter() - began - chunk_end)
                elif Error.is_type(event.type):
                    return Error.from_event(event).text
            return None

        receiver = asyncio.create_task(receive())
        with contextlib.suppress(ConnectionError):
            await link.write_event(AudioStart(**form).event())
            for number, at in enumerate(range(0, len(pcm), step), 1):
                due = number * args.chunk_ms / 1000  # a chunk is sent when it has been recorded
                now = time.perf_counter() - began
                behind = max(behind, now - due)
                await asyncio.sleep(max(0.0, due - now))
                chunk = pcm[at : at + step].tobytes()
                await link.write_event(AudioChunk(**form, audio=chunk).event())
            await link.write_event(AudioStop().event())
            await asyncio.sleep(1.0)
        receiver.cancel()
        refused = await asyncio.gather(receiver, return_exceptions=True)
    return {"late": late, "behind": behind, "refused": isinstance(refused[0], str)}


async def measure(args: argparse.Namespace) -> None:
    pcm, rate = soundfile.read(RECORDING, dtype="float32", frames=int(16_000 * args.seconds))
    pcm = np.round(soxr.resample(pcm, rate, args.rate) * 32767).astype(np.int16)
    command = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0"]
    command += ["-m", args.model, "--workers", str(args.workers)]
    server = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    ready = (await server.stderr.readline()).decode().strip()
    print(ready)
    port = int(ready.split(" at ")[1].split()[0].rpartition(":")[2])
    spread = args.chunk_ms / 1000 / args.clients
    results = await asyncio.gather(
        *(client(port, pcm, args, number * spread) for number in range(args.clients))
    )
    server.send_signal(signal.SIGTERM)
    await server.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    late = 1000 * np.array([x for result in results for x in result["late"]])
    refused = sum(result["refused"] for result in results)
    print(
        f"{args.clients} clients at {args.rate} Hz, chunks of {args.chunk_ms} ms, "
        f"{args.seconds:g} s, {args.workers} workers, {os.cpu_count()} processors: "
        f"{refused} refused"
    )
    print(
        f"{len(late)} detections, late by median {np.median(late):.1f} ms, "
        f"95 % {np.quantile(late, 0.95):.1f} ms, most {late.max():.1f} ms"
    )
    print(f"clients behind in sending: {1000 * max(r['behind'] for r in results):.0f} ms at most")
    used = usage.ru_utime + usage.ru_stime
    most = "" if args.workers == 1 else " in the largest process"
    print(
        f"server: {used:.1f} s of processor time, start included; "
        f"{usage.ru_maxrss // 1024} MiB{most}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rate", type=int, default=16_000)
    parser.add_argument("--chunk-ms", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    parser.add_argument("--model", default="commands-12", help="of words that the recording has")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
