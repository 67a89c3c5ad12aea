"""Sentences for a Wyoming speech-to-text service: all of the audio, and nobody waits."""

import contextlib
import json
import socket
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStop
from wyoming.event import read_event, write_event

from kws_stream import KeywordSpotter
from kws_stream.cli import main
from kws_stream.integrations.wyoming.recogniser import MOST_AT_ONCE, Recogniser
from kws_stream.integrations.wyoming.server import Address
from kws_stream.live import AudioFeed
from tests.pack_factory import build_pack
from tests.test_audio_microphone import FakeSounddevice
from tests.test_cli import noise


@pytest.fixture
def pack(tmp_path):
    detector = {"threshold": 0.0, "rearm": 1.0, "refractory_s": 1.5}
    return build_pack(tmp_path / "tiny", graphs=False, detector=detector)


@pytest.fixture
def pcm():
    return (np.round(noise(4.0)[:, 0] * 32768) / 32768).astype(np.float32)


@pytest.fixture
def service():
    """A service that answers each sentence with its length; what it heard."""
    heard = []
    server = socket.create_server(("127.0.0.1", 0))

    def talk(link):
        with link, link.makefile("rwb") as stream:
            assert Transcribe.is_type(read_event(stream).type)
            audio = b""
            while not AudioStop.is_type((event := read_event(stream)).type):
                if AudioChunk.is_type(event.type):
                    audio += event.payload
            heard.append(audio)
            write_event(Transcript(text=f"{len(audio)} bytes").event(), stream)

    def serve():
        try:
            while True:
                threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()
        except OSError:
            pass

    threading.Thread(target=serve, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}", heard
    server.close()


def listen(monkeypatch, pack, pcm, *words):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice(np.split(pcm, 200)))
    command = ["listen", "-m", str(pack), "--json", "--duration", "4", *words]
    return CliRunner().invoke(main, command)


def test_a_service_hears_the_sentence_around_each_word(service, pack, pcm, monkeypatch):
    uri, heard = service
    result = listen(monkeypatch, pack, pcm, "--transcribe", uri, "--transcribe-audio", "0.5")
    assert result.exit_code == 0
    events = KeywordSpotter(pack).process(pcm)
    expected = []
    for event in events:
        start = round(max(0.0, max(event.start_s, event.time_s - 2) - 1.0) * 16_000)
        part = pcm[start : round((event.time_s + 0.5) * 16_000)]
        expected.append((part * 32768).astype("<i2").tobytes())
    assert sorted(heard) == sorted(expected)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    texts = {line["index"]: line["text"] for line in lines if line["type"] == "transcript"}
    assert texts == {index: f"{len(audio)} bytes" for index, audio in enumerate(expected)}
    assert len(events) > 1


def test_a_service_that_is_not_there_is_counted(pack, pcm, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = listen(monkeypatch, pack, pcm, "--transcribe", f"tcp://127.0.0.1:{port}")
    assert result.exit_code == 0
    assert "without an answer" in result.stderr
    assert listen(monkeypatch, pack, pcm, "--transcribe", "nowhere").exit_code == 2


def flood(link):
    with contextlib.suppress(OSError):
        while True:
            link.sendall(b'{"type": "ping"}\n')


def pings(link):
    with contextlib.suppress(OSError):
        while not time.sleep(0.01):
            link.sendall(b'{"type": "ping"}\n')


def words(text):
    def answer(link):
        link.sendall(text)
        while link.recv(4096):
            pass

    return answer


ODD = {
    "pings for ever": pings,
    "floods with pings": flood,
    "hangs up": lambda link: None,
    "never reads": lambda link: time.sleep(1.0),
    "says nothing": words(b""),
    "stops in a message": words(b'{"type": "transcript", "data_length": 20}\n{"te'),
    "sends a line without end": words(b"x" * 200_000),
    "promises a gigabyte": words(b'{"type": "transcript", "payload_length": 1000000000}\n'),
    "answers a number": words(b'{"type": "transcript", "data": {"text": 5}}\n'),
    "answers nothing": words(b'{"type": "transcript"}\n'),
    "answers half a pair": words(b'{"type": "transcript", "data": {"text": "\\ud800"}}\n'),
    "is no Wyoming": words(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_a_service_that_answers_oddly_gives_its_place_back(answer):
    texts = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError), server.accept()[0] as link:
                answer(link)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = Address("127.0.0.1", server.getsockname()[1])
        recogniser = Recogniser(address, lambda *told: texts.append(told), answer_s=0.3)
        feed = AudioFeed(0.2, 0)
        assert recogniser.start({}, feed)
        feed.put(np.zeros(3200, np.float32))
        recogniser.close()
        thread.join(5.0)
    assert (recogniser.started, recogniser.failed, texts) == (1, 1, [])
    places = [recogniser._places.acquire(blocking=False) for _ in range(MOST_AT_ONCE)]
    assert all(places)


def test_a_service_that_does_not_read_does_not_hold_a_place_for_every_chunk():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        address = Address("127.0.0.1", server.getsockname()[1])
        recogniser = Recogniser(address, lambda *told: None, answer_s=0.2)
        feed = AudioFeed(0.5, 0)
        feed.end = 10**9  # far more sound than the buffers on the way hold
        assert recogniser.start({}, feed)
        for _ in range(500):
            feed.put(np.zeros(16_000, np.float32))
        feed.finish()
        recogniser.close(20.0)
    assert not any(thread.is_alive() for thread in recogniser._threads)
    assert recogniser.failed == 1
