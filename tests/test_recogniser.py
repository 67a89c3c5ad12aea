"""Sentences for a Wyoming speech-to-text service: all of the audio, and nobody waits."""

import json
import socket
import sys
import threading

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStop
from wyoming.event import read_event, write_event

from kws_stream import KeywordSpotter
from kws_stream.cli import main
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
