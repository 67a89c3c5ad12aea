"""The Wyoming server, with the wyoming package's own client and with clients that misbehave."""

import asyncio
import contextlib
import errno
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, NotDetected

import kws_stream
from kws_stream import packs
from kws_stream.constants import RECORDING
from kws_stream.errors import ParameterError, ServerError
from kws_stream.integrations.wyoming.messages import Limits
from kws_stream.integrations.wyoming.server import Address, WyomingServer, measure_capacity
from kws_stream.live.decoder import ChunkDecoder
from tests.pack_factory import build_pack
from tests.wyoming_client import (
    DETECTOR,
    detections,
    detections_of,
    events_of,
    int16_noise,
    listen,
    run,
    serving,
)

SECONDS = 12  # of the packaged recording


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    return packs.load(build_pack(folder, graphs=False, seed=9, detector=DETECTOR))


@pytest.fixture(scope="module")
def pcm():
    return int16_noise(2.0)


def test_describe_is_answered_with_our_models(pack):
    async def test():
        async with serving(pack) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
            (program,) = info.wake
            assert (program.name, program.version) == ("kws-stream", kws_stream.__version__)
            assert [model.name for model in program.models] == ["yes", "no"]
            assert all(model.installed and model.languages == ["en"] for model in program.models)
            assert [model.phrase for model in program.models] == ["yes", "no"]

    run(test())


def test_a_client_gets_the_events_of_the_spotter_at_their_times(pack, pcm):
    async def test():
        events = events_of(pack, pcm)
        expected = [(event.keyword, 5000 + round(event.time_s * 1000)) for event in events]
        async with serving(pack) as (_, port):
            for chunk in (640, 1023, 2048, 100_000):
                told = await listen(port, pcm, chunk=chunk, start=5000)
                assert detections(told) == expected
            assert len(expected) > 3
            assert not any(NotDetected.is_type(event.type) for event in told)

    run(test())


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_the_packaged_recording_is_detected_at_any_rate(rate):
    async def test():
        model = packs.load("commands-12")
        x, _ = soundfile.read(RECORDING, dtype="float32", frames=16_000 * SECONDS)
        resampled = soxr.resample(x, 16_000, rate) if rate != 16_000 else x
        sent = np.round(np.clip(resampled, -1, 1) * 32767).astype(np.int16)
        async with serving(model) as (_, port):
            found = detections(await listen(port, sent, rate, chunk=2048))
        decoder = ChunkDecoder()
        heard = [decoder.decode(sent.tobytes(), rate, 2, 1), decoder.finish()]
        assert found == detections_of(model, np.concatenate(heard))
        assert found

    run(test())


def test_a_second_stream_of_a_client_starts_anew(pack, pcm):
    async def test():
        async with serving(pack) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            for _ in range(2):
                form = {"rate": 16_000, "width": 2, "channels": 1}
                await client.write_event(AudioStart(**form).event())
                await client.write_event(AudioChunk(**form, audio=pcm.tobytes()).event())
                await client.write_event(AudioStop().event())
                expected = detections_of(pack, pcm)
                told = [await client.read_event() for _ in expected]
                assert detections(told) == expected

    run(test())


def test_many_clients_at_once_each_have_their_own_state(pack, pcm):
    async def test():
        streams = [np.roll(pcm, 1000 * number) for number in range(12)]
        async with serving(pack) as (server, port):
            told = await asyncio.gather(*(listen(port, x, chunk=640) for x in streams))
            for x, answers in zip(streams, told, strict=True):
                assert detections(answers) == detections_of(pack, x)
            await asyncio.sleep(0.05)
            assert server.clients == 0

    run(test())


MISBEHAVIOUR = {
    "garbage": b"\x00\xff" * 5000 + b"\n",
    "an endless line": b"x" * 200_000,
    "not an object": b"[1, 2]\n",
    "no type": b"{}\n",
    "a deep object": b"[" * 60_000 + b"\n",
    "a payload beyond the limit": b'{"type": "audio-chunk", "payload_length": 1000000000}\n',
    "a negative length": b'{"type": "audio-chunk", "payload_length": -1}\n',
    "data that is no object": b'{"type": "detect", "data_length": 2}\n[]',
    "names that are no list": b'{"type": "detect", "data": {"names": "yes"}}\n',
    "a rate of nothing": b'{"type": "audio-chunk", "data": {"rate": 0, "width": 2, "channels": 1}, '
    b'"payload_length": 2}\n00',
    "an odd width": b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 5, "channels": 1}, '
    b'"payload_length": 5}\n00000',
    "half of a surrogate pair": b'{"type": "ping", "data": {"text": "\\ud800"}}\n',
    "half of a pair as a name": b'{"type": "detect", "data": {"names": ["\\udfff"]}}\n',
    "half of a pair in the data": b'{"type": "ping", "data_length": 18}\n{"text": "\\udc00"} ',
    "a text that is none": b'{"type": "ping", "data": {"text": [1]}}\n',
    "a time without end": b'{"type": "audio-start", "data": {"timestamp": ' + b"9" * 4000 + b"}}\n",
    "a time of many digits": b'{"type": "audio-start", "data": {"timestamp": '
    + b"1" * 9000
    + b"}}\n",
    "an endless fraction": b'{"type": "audio-start", "data": {"timestamp": 1e999}}\n',
    "an infinite rate": b'{"type": "audio-start", "data": {"rate": Infinity}}\n',
    "no number": b'{"type": "ping", "data": {"text": NaN}}\n',
    "half a millisecond": b'{"type": "audio-start", "data": {"timestamp": 0.5}}\n',
    "a time in words": b'{"type": "audio-start", "data": {"timestamp": "now"}}\n',
    "a chunk without a format": b'{"type": "audio-chunk", "payload_length": 2}\n00',
    "half a message": b'{"type": "audio-chunk", "payload_length": 200}\n00',
}


@pytest.mark.parametrize("words", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR)
def test_a_client_that_misbehaves_is_told_and_harms_only_itself(words, pack, pcm):
    async def test():
        messages = []
        async with serving(pack, on_message=messages.append) as (server, port):
            good = asyncio.create_task(listen(port, pcm, chunk=640))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(words)
            answer = json.loads(await reader.readline())
            assert answer["type"] == "error"
            text = json.loads(await reader.readexactly(answer["data_length"]))
            assert text["code"] == "bad-message"
            assert "need" in text["text"]
            assert await reader.read() == b""  # let go
            writer.close()
            assert detections(await good) == detections_of(pack, pcm)
            await asyncio.sleep(0.05)
            assert server.clients == 0
            assert len(messages) == 1

    run(test())


def test_a_client_that_is_gone_before_it_is_told_leaves_no_traceback(pack, monkeypatch):
    def gone(writer):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    async def test():
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, fault: faults.append(fault))
        async with serving(pack) as (server, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            monkeypatch.setattr(asyncio.StreamWriter, "write_eof", gone)
            writer.write(b"garbage\n")
            with contextlib.suppress(ConnectionError):  # the server lets go at once
                await reader.read()
            writer.close()
            while server.clients:
                await asyncio.sleep(0.01)
        gc.collect()
        assert faults == []

    run(test())


def test_a_client_that_leaves_in_the_middle_of_a_message_leaves_nothing_behind(pack):
    async def test():
        async with serving(pack) as (server, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b'{"type": "audio-chunk", "payload_length": 2000}\n000')
            await writer.drain()
            while server.clients != 1:
                await asyncio.sleep(0.01)
            writer.close()
            while server.clients:
                await asyncio.sleep(0.01)

    run(test())


def test_a_client_that_never_reads_is_ended(pack, pcm):
    async def test():
        messages = []
        async with serving(pack, on_message=messages.append) as (server, port):
            link = socket.socket()
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.connect(("127.0.0.1", port))
            link.setblocking(False)
            question = b'{"type": "describe"}\n' * 1000
            good = asyncio.create_task(listen(port, pcm, chunk=640))
            loop = asyncio.get_running_loop()
            with contextlib.suppress(ConnectionError):
                while not messages:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(loop.sock_sendall(link, question), 0.1)
            link.close()
            assert detections(await good) == detections_of(pack, pcm)
            while server.clients:
                await asyncio.sleep(0.01)
            assert len(messages) == 1
            assert "reads" in messages[0]

    run(test())


def test_a_silent_client_is_let_go_after_a_while(pack):
    async def test():
        limits = Limits(idle_s=0.1)
        async with serving(pack, limits=limits) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answer = json.loads(await reader.readline())
            assert answer["type"] == "error"
            writer.close()

    run(test())


def test_a_client_too_many_is_refused_clearly_and_the_others_go_on(pack, pcm):
    async def test():
        async with (
            serving(pack, max_clients=1) as (server, port),
            AsyncTcpClient("127.0.0.1", port) as first,
        ):
            await first.write_event(Ping(text="here").event())
            assert Pong.is_type((await first.read_event()).type)
            (refusal,) = await listen(port, pcm[:1600])
            assert Error.from_event(refusal).code == "busy"
            assert "1" in Error.from_event(refusal).text
            await first.write_event(Ping(text="still here").event())
            assert Pong.is_type((await first.read_event()).type)
            await first.disconnect()
            while server.clients:
                await asyncio.sleep(0.01)
            assert detections(await listen(port, pcm)) == detections_of(pack, pcm)

    run(test())


def test_every_model_that_a_client_hears_takes_a_place(pack, pcm, tmp_path):
    other = packs.load(build_pack(tmp_path / "other", graphs=False, seed=9))
    both = [pack.name, other.name]

    async def test():
        async with (
            serving(pack, other, max_clients=2) as (server, port),
            AsyncTcpClient("127.0.0.1", port) as greedy,
        ):
            await greedy.write_event(Detect(names=both).event())
            await greedy.write_event(Ping(text="chosen").event())
            assert Pong.is_type((await greedy.read_event()).type)
            (refusal,) = await listen(port, pcm[:1600])
            assert Error.from_event(refusal).code == "busy"
            await greedy.disconnect()
            while server.clients:
                await asyncio.sleep(0.01)
            async with AsyncTcpClient("127.0.0.1", port) as quiet:
                await quiet.write_event(Ping(text="here").event())
                await quiet.read_event()
                error, *told = await listen(port, pcm, names=both)
                assert Error.from_event(error).code == "busy"
                assert "other" in Error.from_event(error).text
                expected = [(pack.name, time_ms) for _, time_ms in detections_of(pack, pcm)]
                assert detections(told) == expected

    run(test())


def test_a_model_that_costs_more_takes_more_places(pack, pcm, tmp_path, monkeypatch):
    heavy = packs.load(build_pack(tmp_path / "heavy", graphs=False, seed=9))
    module = "kws_stream.integrations.wyoming.server.measure_capacity"
    monkeypatch.setattr(module, {pack: 2, heavy: 1}.get)

    async def test():
        async with (
            serving(pack, heavy, max_clients=None) as (server, port),
            AsyncTcpClient("127.0.0.1", port) as client,
        ):
            assert server.max_clients == 2
            await client.write_event(Detect(names=["heavy"]).event())
            await client.write_event(Ping(text="chosen").event())
            assert Pong.is_type((await client.read_event()).type)
            (refusal,) = await listen(port, pcm[:1600])
            assert Error.from_event(refusal).code == "busy"

    run(test())


def test_unknown_messages_are_dropped(pack, pcm):
    async def test():
        async with serving(pack) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Event("select-program", {"name": "kws-stream"}))
            await client.write_event(Ping().event())
            assert Pong.is_type((await client.read_event()).type)

    run(test())


def test_an_address_in_use_is_a_sentence(pack):
    async def test():
        async with serving(pack) as (_, port):
            with pytest.raises(ServerError, match="choose another address"):
                await WyomingServer([pack], max_clients=1).start(Address("127.0.0.1", port))

    run(test())


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_unix_socket_works_and_a_live_one_is_not_taken_away(pack, tmp_path):
    async def test():
        address = Address.from_uri(f"unix://{tmp_path}/kws.sock")
        server = WyomingServer([pack], max_clients=2)
        await server.start(address)
        with pytest.raises(ServerError):
            await WyomingServer([pack], max_clients=1).start(address)
        reader, writer = await asyncio.open_unix_connection(address.path)
        writer.write(b'{"type": "ping"}\n')
        assert json.loads(await reader.readline())["type"] == "pong"
        writer.close()
        await server.stop()
        assert not Path(address.path).exists()

    run(test())


@pytest.mark.parametrize("uri", ["", "http://a:1", "tcp://localhost", "tcp://a:99999", "unix://"])
def test_an_address_that_is_none_is_refused(uri):
    with pytest.raises(ParameterError, match="tcp://HOST:PORT"):
        Address.from_uri(uri)


def test_the_capacity_of_this_machine_is_some_clients(pack):
    assert measure_capacity(pack, seconds=0.1) >= 1


def test_the_command_serves_and_ends_well_on_sigterm(pcm):
    command = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--json", "-m", "yes-4", "--max-clients", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        ready = process.stderr.readline()
        assert "serving yes-4 at tcp://127.0.0.1:" in ready
        assert ready.endswith("to 3 clients at most\n")
        port = int(ready.split()[ready.split().index("at") + 1].rpartition(":")[2])
        told = asyncio.run(asyncio.wait_for(listen(port, pcm), 30))
        assert told
        process.send_signal(signal.SIGTERM if os.name != "nt" else signal.SIGBREAK)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
