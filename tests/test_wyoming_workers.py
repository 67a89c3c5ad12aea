"""`serve --workers`: several processes that are one server to clients, signals and metrics."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
pytest.importorskip("prometheus_client", reason="needs the extra metrics")
from wyoming.client import AsyncTcpClient
from wyoming.wake import Detection

from kws_stream import packs
from kws_stream.cli import main
from kws_stream.integrations.wyoming import worker
from tests.pack_factory import build_pack
from tests.test_wyoming_service import cut_in_a_word, play, told_until_pong
from tests.wyoming_client import DETECTOR, detections_of, int16_noise, listen

pytestmark = pytest.mark.skipif(not worker.AVAILABLE, reason="this system hands over no sockets")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("packs") / "tiny"
    return build_pack(place, graphs=False, seed=9, detector=DETECTOR)


@dataclass
class Running:
    """The command: its process, and where it serves and tells how it is."""

    process: subprocess.Popen[str]
    port: int
    health: int

    def line(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def lines_with(self, words: str) -> str:
        """The next message that has these words."""
        while words not in (line := self.line()):
            assert line, f"the server ended before it said {words!r}"
        return line

    def metrics(self) -> dict[str, float]:
        address = f"http://127.0.0.1:{self.health}/metrics"
        with urllib.request.urlopen(address, timeout=60) as answer:
            lines = [line for line in answer.read().decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def until(self, **wanted: float) -> dict[str, float]:
        """The metrics, once they have these values: workers tell theirs every second."""
        for _ in range(600):
            found = self.metrics()
            if all(found.get(name) == value for name, value in wanted.items()):
                return found
            time.sleep(0.1)
        raise AssertionError({name: (found.get(name), value) for name, value in wanted.items()})

    def workers(self) -> list[int]:
        """Their process ids."""
        assert sys.platform == "linux"
        mine = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        children = [int(pid) for pid in Path(mine).read_text().split()]
        return [
            pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]


@contextlib.contextmanager
def serving(*words: str) -> Iterator[Running]:
    line = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0"]
    line += ["--workers", "2", "--health", "0", *words]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            running = Running(process, 0, 0)
            ready = running.lines_with("serving")
            assert "in 2 workers" in ready
            running.port = int(ready.split(" at ")[1].split()[0].rpartition(":")[2])
            told = running.lines_with("metrics at")
            running.health = int(re.findall(r":(\d+)$", told.strip())[0])
            yield running
        finally:
            process.kill()


def run(conversation: object) -> object:
    return asyncio.run(asyncio.wait_for(conversation, 120))  # type: ignore[arg-type]


PLACES = 7


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with serving("-m", str(folder), "--max-clients", str(PLACES)) as running:
        yield running


def test_clients_are_spread_and_the_metrics_add_up(folder: Path, server: Running) -> None:
    pack, pcm = packs.load(folder), int16_noise(1.0)
    wanted = detections_of(pack, pcm)

    async def all_of_them() -> list[object]:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(4):
                client = AsyncTcpClient("127.0.0.1", server.port)
                await stack.enter_async_context(client)
                await play(client, int16_noise(0.1))
                await told_until_pong(client)
            return [await listen(server.port, pcm) for _ in range(2)]

    assert server.metrics()["kws_places"] == PLACES
    for told in run(all_of_them()):
        found = [Detection.from_event(e) for e in told if Detection.is_type(e.type)]
        assert [(each.name, each.timestamp) for each in found] == wanted
    found = server.until(kws_clients=0, kws_clients_served_total=6, kws_workers=2)
    assert found[f'kws_audio_seconds_total{{model="{pack.name}"}}'] == pytest.approx(2.4)
    total = sum(v for name, v in found.items() if name.startswith("kws_detections_total"))
    assert total >= 2 * len(wanted)
    health = f"http://127.0.0.1:{server.health}/healthz"
    assert urllib.request.urlopen(health, timeout=60).read() == b"ok\n"


def test_the_places_are_those_of_all_workers_together(server: Running) -> None:
    async def crowd() -> list[str]:
        async with contextlib.AsyncExitStack() as stack:
            kinds = []
            for _ in range(PLACES + 1):  # one after another, so that they are taken in turn
                client = AsyncTcpClient("127.0.0.1", server.port)
                await stack.enter_async_context(client)
                await play(client, int16_noise(0.1))
                first = await client.read_event()
                kinds.append("" if first is None else first.type)
            return kinds

    refused = [kind == "error" for kind in run(crowd())]
    assert refused == [False] * PLACES + [True]
    server.until(kws_clients_refused_total=1, kws_clients=0)


def test_sighup_loads_the_models_again_in_every_worker(folder: Path, server: Running) -> None:
    path = folder / "manifest.json"
    manifest = path.read_text("utf-8")
    path.write_text("{")
    server.process.send_signal(signal.SIGHUP)
    try:
        server.lines_with("goes on with the models that it has")
    finally:
        path.write_text(manifest)
    server.process.send_signal(signal.SIGHUP)
    server.lines_with("loaded again: tiny")
    server.until(kws_reloads_total=2, kws_workers=2)


def test_sigterm_gives_last_words_and_leaves_no_process(folder: Path) -> None:
    async def last_word(server: Running) -> object:
        async with AsyncTcpClient("127.0.0.1", server.port) as client:
            await play(client, cut_in_a_word())
            assert await told_until_pong(client) == []
            server.process.send_signal(signal.SIGTERM)
            return await client.read_event()

    with serving("-m", "yes-4", "--max-clients", "4") as server:
        workers = server.workers() if sys.platform == "linux" else []
        assert Detection.from_event(run(last_word(server))).name == "yes"
        assert server.process.wait(15) == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_worker_that_is_killed_costs_its_own_clients_and_another_takes_its_place(
    server: Running,
) -> None:
    async def goes_on(client: AsyncTcpClient) -> bool:
        with contextlib.suppress(ConnectionError):
            await play(client, int16_noise(0.5))
            return bool(await told_until_pong(client))
        return False

    async def talk() -> None:
        clients = [AsyncTcpClient("127.0.0.1", server.port) for _ in range(2)]
        for client in clients:
            await client.connect()
            assert await goes_on(client)
        before = await asyncio.to_thread(lambda: server.until(kws_clients=2))
        os.kill(server.workers()[0], signal.SIGKILL)
        told = await asyncio.to_thread(server.lines_with, "worker 1")
        assert "worker 1 ended with signal 9; another takes its place" in told
        assert sorted([await goes_on(client) for client in clients]) == [False, True]
        after = await asyncio.to_thread(lambda: server.until(kws_workers=2))
        assert after["kws_clients_served_total"] >= before["kws_clients_served_total"]
        assert await listen(server.port, int16_noise(0.5))
        for client in clients:
            with contextlib.suppress(ConnectionError):
                await client.disconnect()

    run(talk())


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_workers_end_when_their_parent_is_killed(server: Running) -> None:
    workers = server.workers()
    assert len(workers) == 2
    server.process.kill()  # nothing below has this server any more
    server.process.wait(60)
    for _ in range(600):
        left = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        if not left:
            break
        time.sleep(0.1)
    assert not left


def test_a_worker_that_cannot_begin_ends_the_command_with_its_sentence(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    line = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0"]
    line += ["-m", str(folder), "--workers", "2", "--max-clients", "4"]
    line += ["--keep-triggers", str(tmp_path / "file")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "need a folder to keep triggers in" in done.stderr
    assert "need 2 workers, got one that ended with status 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_that_cannot_be_are_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["serve", "--workers", "3", "--max-clients", "2"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "need a client for each" in result.stderr
    monkeypatch.setattr(worker, "AVAILABLE", False)
    result = CliRunner().invoke(main, ["serve", "--workers", "2"])
    assert result.exit_code == 2
    assert "this system cannot hand a connection" in result.stderr
