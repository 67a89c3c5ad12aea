"""A server that runs for weeks: its last words, new models, health, metrics and log."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import soundfile

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncTcpClient
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection

from kws_stream import KeywordSpotter, packs
from kws_stream.constants import RECORDING
from kws_stream.errors import ParameterError, ServerError
from kws_stream.integrations.wyoming.server import WyomingServer
from tests.pack_factory import build_pack
from tests.wyoming_client import DETECTOR, int16_noise, listen, run, serving

FORM = {"rate": 16_000, "width": 2, "channels": 1}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    return packs.load(build_pack(folder, graphs=False, seed=9, detector=DETECTOR))


def cut_in_a_word():
    """The packaged recording up to where a word is known at the end alone."""
    pcm, _ = soundfile.read(RECORDING, dtype="int16")
    first = KeywordSpotter("yes-4").process(pcm[: 16_000 * 8])[0]
    for frames in range(1, 25):
        cut = pcm[: round(16_000 * first.time_s) - 320 * frames]
        spotter = KeywordSpotter("yes-4")
        if not spotter.process(cut) and spotter.finish():
            return cut
    raise AssertionError("no such cut")


async def play(client, pcm, chunk=2048):
    await client.write_event(AudioStart(**FORM, timestamp=0).event())
    data = pcm.tobytes()
    for at in range(0, len(data), chunk):
        await client.write_event(AudioChunk(**FORM, audio=data[at : at + chunk]).event())
    await client.write_event(Ping(text="heard").event())


async def told_until_pong(client):
    told = []
    while (event := await client.read_event()) is not None and not Pong.is_type(event.type):
        told.append(event)
    return told


def test_a_client_gets_the_word_that_it_has_just_said_when_the_server_ends():
    async def test():
        async with (
            serving(packs.load("yes-4")) as (server, port),
            AsyncTcpClient("127.0.0.1", port) as client,
        ):
            await play(client, cut_in_a_word())
            assert await told_until_pong(client) == []
            await server.stop()
            last = await asyncio.wait_for(client.read_event(), 60)
            assert Detection.from_event(last).name == "yes"
            assert await asyncio.wait_for(client.read_event(), 60) is None

    run(test())


def test_models_are_loaded_again_while_a_client_listens(pack, tmp_path):
    pcm = int16_noise(2.0)
    build_pack(tmp_path / "new", graphs=False, seed=9, detector=DETECTOR, name="newer")
    newer = packs.load(tmp_path / "new")

    async def test():
        async with serving(pack) as (server, port), AsyncTcpClient("127.0.0.1", port) as client:
            keyword = pack.keywords[0]
            await client.write_event(Detect(names=[keyword]).event())
            await play(client, pcm)
            before = await told_until_pong(client)
            server.reload([newer])
            await play(client, pcm)
            after = await told_until_pong(client)
            assert [e.type for e in before].count("detection") > 0
            assert [e.data for e in after] == [e.data for e in before]
            assert server.counts.reloads_total == 1
            assert set(server.counts.heard_s) == {pack.name, "newer"}
            assert server.clients == 1

    run(test())


def test_names_that_new_models_lack_are_told_and_wake_words_are_kept(pack, tmp_path):
    build_pack(tmp_path / "other", graphs=False, classes=("tea", "other"), keywords=("tea",))
    other = packs.load(tmp_path / "other")

    async def test():
        async with serving(pack, wake=[pack.keywords[0]]) as (server, port):
            with pytest.raises(ParameterError, match="wake words"):
                server.reload([other])
            assert server.catalogue.packs == (pack,)
        async with serving(pack) as (server, port), AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Detect(names=[pack.keywords[0]]).event())
            await play(client, int16_noise(0.1))
            await told_until_pong(client)
            server.reload([other])
            await client.write_event(Ping(text="now").event())
            (error,) = await told_until_pong(client)
            assert error.data["code"] == "unknown-name"

    run(test())


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return answer.read().decode()


def test_health_and_metrics_tell_what_the_server_did(pack):
    pytest.importorskip("prometheus_client", reason="needs the extra metrics")
    from kws_stream.integrations.wyoming.monitor import ServiceMonitor

    pcm = int16_noise(2.0)

    async def test():
        async with serving(pack) as (server, port):
            told = await listen(port, pcm)
            with ServiceMonitor(server, "127.0.0.1", 0) as monitor:
                health = await asyncio.to_thread(get, monitor.port, "/healthz")
                text = await asyncio.to_thread(get, monitor.port, "/metrics")
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    await asyncio.to_thread(get, monitor.port, "/")
                with pytest.raises(ServerError, match="--health"):
                    ServiceMonitor(server, "127.0.0.1", monitor.port)
                server.counts.came_round -= 60
                with pytest.raises(urllib.error.HTTPError, match="503"):
                    await asyncio.to_thread(get, monitor.port, "/healthz")
            return health, text, told

    health, text, told = asyncio.run(asyncio.wait_for(test(), 30))
    assert health == "ok\n"
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    detected = [event.data["name"] for event in told if event.type == "detection"]
    assert detected
    for keyword in set(detected):
        name = f'kws_detections_total{{keyword="{keyword}",model="{pack.name}"}}'
        assert float(lines[name]) == detected.count(keyword)
    assert float(lines[f'kws_audio_seconds_total{{model="{pack.name}"}}']) == pytest.approx(2.0)
    assert float(lines[f'kws_real_time_factor{{model="{pack.name}"}}']) > 0
    assert float(lines["kws_clients_served_total"]) == 1
    assert float(lines["kws_clients"]) == 0


def test_requests_that_never_end_hold_neither_a_thread_nor_the_log(pack, monkeypatch, capfd):
    pytest.importorskip("prometheus_client", reason="needs the extra metrics")
    from kws_stream.integrations.wyoming import monitor

    monkeypatch.setattr(monitor, "_REQUEST_S", 0.5)
    monkeypatch.setattr(monitor, "_MOST_REQUESTS", 2)

    def left_after_s(link, drip):
        began = time.monotonic()
        link.settimeout(0.05)
        while time.monotonic() - began < 20:
            with contextlib.suppress(TimeoutError):
                try:
                    link.sendall(drip)
                    if not link.recv(1):
                        break
                except ConnectionError:
                    break
        return time.monotonic() - began

    with monitor.ServiceMonitor(WyomingServer([pack], max_clients=1), "127.0.0.1", 0) as watched:
        place = ("127.0.0.1", watched.port)
        with socket.create_connection(place) as slow, socket.create_connection(place) as silent:
            silent.sendall(b"GET /healthz HTTP/1.0\r\n")
            time.sleep(0.1)  # both are being waited for
            with socket.create_connection(place) as one_too_many:
                one_too_many.settimeout(0.3)
                assert one_too_many.recv(1) == b""
            assert left_after_s(slow, b"G") < 10
            assert left_after_s(silent, b"") < 10
        time.sleep(0.2)  # their places are free a moment after they are gone
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(watched.port, "/nothing")
    assert "Traceback" not in capfd.readouterr().err


@contextlib.contextmanager
def command(*words):
    """The command as a process, and the port that it serves at."""
    line = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0", *words]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_the_command_reloads_on_sighup_logs_json_and_ends_with_the_last_word(tmp_path):
    folder = tmp_path / "pack"
    shutil.copytree(packs.load("yes-4").path, folder)
    words = ["-m", str(folder), "--max-clients", "3", "--log-format", "json", "--log-level"]

    async def talk(process, port):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await play(client, int16_noise(0.1))
            await told_until_pong(client)
            manifest = (folder / "manifest.json").read_text("utf-8")
            (folder / "manifest.json").write_text("{")
            os.kill(process.pid, signal.SIGHUP)
            assert "goes on with the models that it has" in await log(process)
            (folder / "manifest.json").write_text(manifest)
            os.kill(process.pid, signal.SIGHUP)
            assert "loaded again: yes-4" in await log(process)
            await play(client, cut_in_a_word())
            assert await told_until_pong(client) == []
            process.send_signal(signal.SIGTERM)
            return await asyncio.wait_for(client.read_event(), 60)

    async def log(process):
        line = json.loads(await asyncio.to_thread(process.stderr.readline))
        assert line["level"] in ("info", "warning", "debug")
        assert line["time"].endswith("+00:00")
        return line["message"]

    with command(*words, "debug") as process:
        ready = json.loads(process.stderr.readline())
        port = int(ready["message"].split(" at ")[1].split()[0].rpartition(":")[2])

        async def all_of_it():
            told = asyncio.create_task(talk(process, port))
            assert "came; 1 now" in await log(process)
            return await told

        detection = asyncio.run(asyncio.wait_for(all_of_it(), 60))
        assert Detection.from_event(detection).name == "yes"
        assert process.wait(60) == 0
        assert "went; 0 now" in process.stderr.read()
