"""Many Wyoming clients at once, each playing the packaged recording in real time.

Starts `kws-stream serve` (or --server COMMAND, with {port}) for each --model in turn and measures
how late its detections arrive, and what processor time and memory the server takes for a client. A
client is late by the time from sending the last sample of the frame that fired to receiving its
detection. Processor time is that of the server's processes while clients play; clients a core are
the seconds played over it. Needs the extra wyoming, and Linux for the server's figures.
"""

import argparse
import asyncio
import contextlib
import io
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event, write_event
from wyoming.wake import Detect, Detection

from kws_stream.constants import RECORDING

FIRST_S = 1.0  # that the first client plays alone


def message(event: Event) -> bytes:
    out = io.BytesIO()
    write_event(event, out)
    return out.getvalue()


class Player:
    """What every client says: the messages of a stream, made once."""

    def __init__(self, rate: int, chunk_ms: int, seconds: float, names: list[str]) -> None:
        pcm, own = soundfile.read(RECORDING, dtype="float32", frames=int(16_000 * seconds))
        pcm = np.round(soxr.resample(pcm, own, rate) * 32767).astype(np.int16)
        form = {"rate": rate, "width": 2, "channels": 1}
        step = rate * chunk_ms // 1000
        chunks = [pcm[at : at + step].tobytes() for at in range(0, len(pcm), step)]
        self.chunk_s = chunk_ms / 1000
        self.start = message(AudioStart(**form).event())
        if names:
            self.start = message(Detect(names=names).event()) + self.start
        self.chunks = [message(AudioChunk(**form, audio=chunk).event()) for chunk in chunks]
        self.end = message(AudioStop().event())

    async def play(self, port: int, offset_s: float) -> dict:
        """Play in real time; lateness in s of each detection, and how far sending fell behind."""
        await asyncio.sleep(offset_s)
        late, behind = [], 0.0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.perf_counter()

        async def receive() -> str | None:
            while (event := await async_read_event(reader)) is not None:
                if Detection.is_type(event.type):
                    stamp = (Detection.from_event(event).timestamp or 0) / 1000
                    chunk_end = np.ceil(stamp / self.chunk_s - 1e-6) * self.chunk_s
                    late.append(time.perf_counter() - began - chunk_end)
                elif Error.is_type(event.type):
                    return Error.from_event(event).text
            return None

        receiver = asyncio.create_task(receive())
        with contextlib.suppress(ConnectionError):
            writer.write(self.start)
            for number, chunk in enumerate(self.chunks, 1):
                due = number * self.chunk_s  # a chunk is sent when it has been recorded
                now = time.perf_counter() - began
                behind = max(behind, now - due)
                await asyncio.sleep(max(0.0, due - now))
                writer.write(chunk)
                await writer.drain()
            writer.write(self.end)
            await asyncio.sleep(0.5)
        receiver.cancel()
        refused = await asyncio.gather(receiver, return_exceptions=True)
        writer.close()
        return {"late": late, "behind": behind, "refused": isinstance(refused[0], str)}


def processes(pid: int) -> list[int]:
    """A process, and those that it began."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += processes(int(child))
    return found


def processor_s(pid: int) -> float:
    """Of a process, with what it began."""
    ticks = 0
    for each in processes(pid):
        words = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """What a process, with what it began, has in memory; what is shared counts once."""
    kib = 0
    for each in processes(pid):
        rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
        kib += int(rollup.partition("\nPss:")[2].split()[0])
    return kib / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def started(command: list[str], port: int) -> asyncio.subprocess.Process:
    server = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    for _ in range(600):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return server
        await asyncio.sleep(0.1)
    raise SystemExit(f"need a server at port {port}, got none from: {shlex.join(command)}")


async def measure(name: str, command: list[str], port: int, args: argparse.Namespace) -> None:
    player = Player(args.rate, args.chunk_ms, args.seconds, args.name)
    server = await started(command, port)
    figures: dict[str, float] = {}

    async def look(after_s: float, what: str, at: Callable[[int], float]) -> None:
        await asyncio.sleep(after_s)
        figures[what] = at(server.pid)

    spread = args.chunk_ms / 1000 / args.clients
    before = processor_s(server.pid)
    results = await asyncio.gather(
        player.play(port, 0.0),
        *(player.play(port, FIRST_S + number * spread) for number in range(1, args.clients)),
        look(0.9 * FIRST_S, "first", memory_mib),
        look(FIRST_S + 0.9 * args.seconds, "all", memory_mib),
    )
    busy = processor_s(server.pid) - before
    workers = len(processes(server.pid))
    server.send_signal(signal.SIGTERM)
    await server.wait()
    results = [result for result in results if result is not None]
    late = 1000 * np.array([x for result in results for x in result["late"]])
    served = args.clients - sum(result["refused"] for result in results)
    print(f"{name}: {served} of {args.clients} clients served, {workers} processes")
    if len(late):
        print(
            f"  {len(late)} detections, late by median {np.median(late):.1f} ms, "
            f"95 % {np.quantile(late, 0.95):.1f} ms, most {late.max():.1f} ms"
        )
    print(f"  clients behind in sending: {1000 * max(r['behind'] for r in results):.0f} ms at most")
    played = served * args.seconds
    more = (figures["all"] - figures["first"]) / max(1, args.clients - 1)
    print(
        f"  server: {busy:.1f} s of processor time, {1000 * busy / played:.2f} ms for a second of "
        f"a client: {played / busy:.0f} clients a core; {figures['first']:.0f} MiB with one "
        f"client, {1024 * more:.0f} KiB for each more",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rate", type=int, default=16_000)
    parser.add_argument("--chunk-ms", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    parser.add_argument("--max-clients", type=int, help="of the server, unless it measures")
    parser.add_argument("--model", nargs="+", default=["commands-12"])
    parser.add_argument("--server", help="another server's command, with {port}, in place of ours")
    parser.add_argument("--name", action="append", default=[], help="wake word to ask for")
    args = parser.parse_args()
    print(
        f"{args.clients} clients at {args.rate} Hz, chunks of {args.chunk_ms} ms, "
        f"{args.seconds:g} s, {os.cpu_count()} processors"
    )
    if args.server:
        port = free_port()
        command = shlex.split(args.server.format(port=port))
        asyncio.run(measure(command[0], command, port, args))
        return
    for model in args.model:
        port = free_port()
        command = [sys.executable, "-m", "kws_stream", "serve", "--uri", f"tcp://127.0.0.1:{port}"]
        command += ["-m", model, "--workers", str(args.workers)]
        if args.max_clients:
            command += ["--max-clients", str(args.max_clients)]
        asyncio.run(measure(model, command, port, args))


if __name__ == "__main__":
    main()
