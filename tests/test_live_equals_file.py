"""The packaged recording through PortAudio's callback gives what `detect` gives for the file."""

import json
import sys
from functools import partial

import pytest
import soundfile
from click.testing import CliRunner

from kws_stream.audio import MicrophoneSource
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from tests.test_audio_microphone import FakeSounddevice

FIELDS = ("keyword", "time_s", "score", "start_s", "index")


def events_of(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    lines = map(json.loads, result.stdout.splitlines())
    return [{name: line[name] for name in FIELDS} for line in lines if line["type"] == "event"]


@pytest.mark.parametrize("samples", [160, 320, 4096])
def test_listen_hears_in_the_packaged_recording_what_detect_finds(samples, monkeypatch):
    pcm, rate = soundfile.read(RECORDING, dtype="float32")
    assert rate == 16_000
    blocks = [pcm[at : at + samples] for at in range(0, len(pcm), samples)]
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice(blocks))
    played_at_once = partial(MicrophoneSource, queue_blocks=len(blocks))
    monkeypatch.setattr("kws_stream.audio.MicrophoneSource", played_at_once)
    heard = events_of("listen", "--json", "--duration", len(pcm) / rate)
    found = events_of("detect", "--json", RECORDING)
    assert found
    assert heard == found
