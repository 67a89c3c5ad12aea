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
from wyoming.wake import Detect, Detection, NotDetected

import kws_stream
from kws_stream import KeywordSpotter, packs
from kws_stream.errors import InputError, ParameterError, ServerError
from kws_stream.integrations.wyoming.catalogue import Catalogue
from kws_stream.integrations.wyoming.messages import Limits
from kws_stream.integrations.wyoming.server import Address, WyomingServer, measure_capacity
from kws_stream.live.decoder import ChunkDecoder
from tests.pack_factory import build_pack
from tests.test_cli import noise

RECORDING = Path(kws_stream.__file__).parent / "_data" / "demo.flac"
QUICK = Limits(message_s=0.3, idle_s=5.0, write_s=0.3)
SECONDS = 12  # of the packaged recording


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    detector = {"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.2}
    return packs.load(build_pack(folder, graphs=False, seed=9, detector=detector))


@pytest.fixture(scope="module")
def pcm():
    return np.round(noise(2.0)[:, 0] * 32768).astype(np.int16)


@contextlib.asynccontextmanager
async def serving(*offered, **settings):
    settings = {"max_clients": 100, "limits": QUICK} | settings
    server = WyomingServer(list(offered), **settings)
    address = await server.start(Address("127.0.0.1", 0))
    try:
        yield server, address.port
    finally:
        await server.stop()


def run(test):
    asyncio.run(asyncio.wait_for(test, 30))


async def listen(port, pcm, rate=16_000, names=None, chunk=1024, width=2, channels=1, start=0):
    """All that a client is told about a stream of int16 pcm, until the server has heard it all."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        if names is not None:
            await client.write_event(Detect(names=names).event())
        form = {"rate": rate, "width": width, "channels": channels}
        await client.write_event(AudioStart(**form, timestamp=start).event())
        data = pcm.tobytes()
        for at in range(0, len(data), chunk):
            await client.write_event(AudioChunk(**form, audio=data[at : at + chunk]).event())
        await client.write_event(AudioStop().event())
        await client.write_event(Ping(text="done").event())
        told = []
        while (event := await client.read_event()) is not None:
            if Pong.is_type(event.type):
                return told
            told.append(event)
        return told


def detections(told):
    found = [Detection.from_event(event) for event in told if Detection.is_type(event.type)]
    return [(detection.name, detection.timestamp) for detection in found]


def test_describe_is_answered_with_our_models(pack):
    async def test():
        async with serving(pack) as (_, port), AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
            (program,) = info.wake
            assert (program.name, program.version) == ("kws-stream", kws_stream.__version__)
            assert [model.name for model in program.models] == ["tiny", "yes", "no"]
            assert all(model.installed and model.languages == ["en"] for model in program.models)
            assert [model.phrase for model in program.models] == ["yes, no", "yes", "no"]

    run(test())


def test_a_client_gets_the_events_of_the_spotter_at_their_times(pack, pcm):
    async def test():
        events = KeywordSpotter(pack).process(pcm)
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


def test_channels_are_mixed_and_widths_understood(pack, pcm):
    async def test():
        expected = detections_of(pack, pcm)
        async with serving(pack) as (_, port):
            stereo = np.repeat(pcm, 2)
            assert detections(await listen(port, stereo, channels=2, chunk=999)) == expected
            wide = pcm.astype(np.int32) << 16
            assert detections(await listen(port, wide, width=4, chunk=1001)) == expected

    run(test())


def detections_of(pack, pcm):
    events = KeywordSpotter(pack).process(pcm)
    return [(event.keyword, round(event.time_s * 1000)) for event in events]


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_any_split_of_the_bytes_gives_the_same_samples(rate, pcm):
    data = np.stack([pcm, pcm[::-1]], axis=1).tobytes()
    results = []
    for size in (len(data), 1000, 333):
        decoder = ChunkDecoder()
        parts = [
            decoder.decode(data[at : at + size], rate, 2, 2) for at in range(0, len(data), size)
        ]
        results.append(np.concatenate([*parts, decoder.finish()]))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_only_the_names_asked_for_are_detected_and_others_end_in_not_detected(pack, pcm):
    async def test():
        events = KeywordSpotter(pack).process(pcm)
        words = {event.keyword for event in events}
        assert words == {"yes", "no"}
        async with serving(pack) as (_, port):
            for name in sorted(words):
                told = await listen(port, pcm, names=[name])
                assert {found for found, _ in detections(told)} == {name}
            told = await listen(port, pcm, names=["tiny"])
            assert detections(told) == detections_of(pack, pcm)
            told = await listen(port, np.zeros_like(pcm[:3200]), names=["no-such-word"])
            assert [event.type for event in told] == ["error", "not-detected"]
            assert Error.from_event(told[0]).code == "unknown-name"

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


def test_names_of_other_packs_carry_the_pack():
    both = [packs.load("commands-12"), packs.load("yes-4")]
    catalogue = Catalogue(both)
    assert catalogue.choose(None).keywords == {0: frozenset(both[0].keywords)}
    assert catalogue.choose(["yes"]).keywords == {0: frozenset({"yes"})}
    choice = catalogue.choose(["stop", "yes-4/yes", "commands-12/go", "nothing"])
    assert choice.keywords == {0: frozenset({"stop", "go"}), 1: frozenset({"yes"})}
    assert choice.unknown == ("nothing",)
    names = [model.name for model in catalogue.info().wake[0].models]
    assert len(names) == len(set(names)) == 2 + 10 + 1
    assert all(catalogue.choose([name]).keywords for name in names)


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
    "an odd width": b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 3, "channels": 1}, '
    b'"payload_length": 3}\n000',
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
                assert detections(told) == detections_of(pack, pcm)

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


def test_bad_formats_are_refused_without_losing_the_decoder():
    decoder = ChunkDecoder()
    for form in ((16_000, True, 1), (16_000, 2, 0), (16_000, 2, 65), ("16000", 2, 1), (10, 2, 1)):
        with pytest.raises(InputError, match="need"):
            decoder.decode(b"0000", *form)
    assert len(decoder.decode(b"0000", 16_000, 2, 1)) == 2


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
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
