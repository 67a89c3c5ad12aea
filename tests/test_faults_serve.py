"""A server whose surroundings fail: nobody reads it, a thousand clients come, files run out."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

from kws_stream import packs
from kws_stream.integrations.wyoming.messages import Limits
from tests.pack_factory import build_pack
from tests.wyoming_client import (
    DETECTOR,
    detections,
    detections_of,
    int16_noise,
    listen,
    run,
    serving,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and limits of another kind")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("packs") / "tiny"
    return build_pack(place, graphs=False, seed=9, detector=DETECTOR)


@contextlib.contextmanager
def command(*words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`serve` as a process, and the port that it serves at."""
    line = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0", *words]
    if words[0] == "ulimit":
        line = ["sh", "-c", f'ulimit -n {words[1]}; exec "$@"', "sh", *line[:6], *words[2:]]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            ready = process.stderr.readline()
            yield process, int(ready.split(" at ")[1].split()[0].rpartition(":")[2])
        finally:
            process.kill()


async def answers(port: int) -> bool:
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Ping(text="there").event())
        event = await client.read_event()
        return event is not None and Pong.is_type(event.type)


@posix
def test_whoever_reads_standard_output_holds_no_client_up(folder: Path) -> None:
    """It prints more than a pipe takes, and a thousand lines more."""
    pcm = int16_noise(60.0)

    async def talk(port: int) -> None:
        for _ in range(14):
            assert await listen(port, pcm, chunk=32_000)
        assert await answers(port)

    with command("-m", str(folder), "--max-clients", "3", "--json") as (process, port):
        asyncio.run(asyncio.wait_for(talk(port), 60))
        assert process.stdout is not None
        assert process.stderr is not None
        for line in islice(process.stdout, 1000):
            assert line.endswith("}\n")
        while "lost" not in (told := process.stderr.readline()):
            assert told
        assert "detections were not read from standard output in time" in told
        process.terminate()
        process.stdout.read()
        assert process.wait(60) == 0


@posix
def test_a_closed_standard_output_lets_no_client_go(folder: Path) -> None:
    pcm, pack = int16_noise(1.0), packs.load(folder)
    wanted = detections_of(pack, pcm)
    with command("-m", str(folder), "--max-clients", "3") as (process, port):
        assert process.stdout is not None
        process.stdout.close()
        for _ in range(3):
            told = asyncio.run(asyncio.wait_for(listen(port, pcm), 30))
            assert detections(told) == wanted
        process.terminate()
        assert process.wait(60) == 0


def room_for(files: int) -> None:
    resource = pytest.importorskip("resource", reason="this system has no such limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        pytest.skip(f"needs {files} open files, and may have {hard}")
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def test_a_thousand_connections_harm_nobody_who_was_there(folder: Path) -> None:
    room_for(2400)
    pack, pcm = packs.load(folder), int16_noise(1.0)

    async def test() -> None:
        async with (
            # the usual limits: a thousand take longer than the tests' own let a client be silent
            serving(pack, max_clients=5, limits=Limits()) as (server, port),
            AsyncTcpClient("127.0.0.1", port) as first,
        ):
            await first.write_event(Ping(text="first").event())
            assert await first.read_event() is not None
            crowd = []
            for _ in range(1000):
                crowd.append(await asyncio.open_connection("127.0.0.1", port))
            while server.counts.refused_total < 996:
                await asyncio.sleep(0.01)
            assert server.clients == 5
            await first.write_event(Describe().event())
            info = await first.read_event()
            assert info is not None
            assert Info.is_type(info.type)
            for _, writer in crowd:
                writer.close()
            while server.clients > 1:
                await asyncio.sleep(0.01)
            assert detections(await listen(port, pcm)) == detections_of(pack, pcm)

    run(test())


def test_a_client_that_floods_takes_nothing_from_another(folder: Path) -> None:
    pack, pcm = packs.load(folder), int16_noise(1.0)

    async def flood(port: int, reads: bool) -> None:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            with contextlib.suppress(ConnectionError):
                for _ in range(20_000):
                    await client.write_event(Describe().event())
                    if reads:
                        await client.read_event()

    async def test() -> None:
        async with serving(pack) as (_, port):
            floods = [asyncio.create_task(flood(port, reads)) for reads in (True, False)]
            await asyncio.sleep(0.1)
            for _ in range(3):
                assert detections(await listen(port, pcm)) == detections_of(pack, pcm)
            assert not floods[0].done()
            for task in floods:
                task.cancel()
            await asyncio.gather(*floods, return_exceptions=True)

    run(test())


@posix
@pytest.mark.skipif(not shutil.which("sh"), reason="needs a shell")
def test_a_server_without_files_left_goes_on_when_there_are_some(folder: Path) -> None:
    async def test(port: int) -> None:
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(90)]
        await asyncio.sleep(0.5)
        for _, writer in crowd:
            writer.close()
        for _ in range(600):
            with contextlib.suppress(OSError):
                if await asyncio.wait_for(answers(port), 5):
                    return
            await asyncio.sleep(0.1)
        raise AssertionError("it does not answer any more")

    words = ["ulimit", "48", "-m", str(folder), "--max-clients", "1000"]
    with command(*words) as (process, port):
        asyncio.run(asyncio.wait_for(test(port), 120))
        process.terminate()
        assert process.wait(60) == 0
        assert process.stderr is not None
        told = process.stderr.read()
        assert "Traceback" not in told
        assert told.count("new clients have to wait: ") == 1


STOP_S = 10  # what systemd's unit (TimeoutStopSec) and `docker stop` wait for, before they kill


async def stalled(port: int, writers: list[asyncio.StreamWriter]) -> None:
    """A client that asks and asks and reads nothing, until the server cannot write to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    writers.append(writer)
    ask = b'{"type": "describe"}\n' * 1000
    with contextlib.suppress(TimeoutError):
        while True:
            writer.write(ask)
            await asyncio.wait_for(writer.drain(), 2)


@posix
@pytest.mark.parametrize("words", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_sigterm_ends_it_before_the_system_kills_it(folder: Path, words: tuple[str, ...]) -> None:
    """With clients that are idle, that play, that stop within a message, and that read nothing."""
    pcm = int16_noise(30.0)

    async def talk(process: subprocess.Popen[str], port: int) -> float:
        writers: list[asyncio.StreamWriter] = []
        async with AsyncTcpClient("127.0.0.1", port) as idle:
            await idle.write_event(Ping(text="here").event())
            assert await idle.read_event() is not None
            for part in (b"", b'{"type": "audio-ch', b'{"type": "ping", "data_length": 9}\n{'):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(part)
                writers.append(writer)
            await stalled(port, writers)
            playing = [asyncio.create_task(listen(port, pcm)) for _ in range(2)]
            await asyncio.sleep(0.2)
            began = time.monotonic()
            process.terminate()
            code = await asyncio.to_thread(process.wait, 6 * STOP_S)
            took = time.monotonic() - began
            assert code == 0
            for task in playing:
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)
            for writer in writers:
                writer.close()
            return took

    with command("-m", str(folder), "--max-clients", "9", *words) as (process, port):
        assert process.stderr is not None
        told = threading.Thread(target=process.stderr.read, daemon=True)
        told.start()
        assert process.stdout is not None
        threading.Thread(target=process.stdout.read, daemon=True).start()
        took = asyncio.run(asyncio.wait_for(talk(process, port), 120))
    assert took < STOP_S
