"""`doctor` finds what is wrong, and works where nothing is there."""

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from kws_stream.cli import main
from kws_stream.live.checkup import judge_recording
from tests.pack_factory import build_pack
from tests.test_audio_microphone import FakeSounddevice


def run(*words):
    result = CliRunner().invoke(main, ["doctor", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return build_pack(tmp_path_factory.mktemp("packs") / "tiny")


def findings(result):
    return {f["what"]: f for f in json.loads(result.stdout)["findings"]}


def test_without_a_microphone_everything_else_is_checked(pack, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice(devices=[]))
    result = run("--json", "-m", pack)
    assert result.exit_code == 0
    found = findings(result)
    assert found["microphone"]["status"] == "note"
    assert "work without one" in found["microphone"]["advice"]
    assert found["model tiny 1.0.0"]["status"] == "good"
    assert "times real time" in found["speed of tiny"]["text"]
    assert "numpy" in found["packages"]["text"]


def test_a_recording_is_judged_and_devices_are_listed(pack, monkeypatch):
    rng = np.random.default_rng(0)
    sound = (0.003 * rng.standard_normal(48_000)).astype(np.float32)
    sound[20_000:24_000] *= 30
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice(np.split(sound, 150)))
    result = run("-m", pack)
    assert result.exit_code == 0
    assert "1 channel at 16000 Hz, the default" in result.stdout
    assert "good  recording: 3.0 s of USB Mic (hw:2,0): peak" in result.stdout
    assert "noise floor -5" in result.stdout


def test_lost_sound_is_bad(pack, monkeypatch):
    script = ["overflow", np.full(48_000, 0.01)]
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice(script))
    result = run("--json", "-m", pack)
    assert result.exit_code == 1
    assert findings(result)["recording, losses"]["status"] == "bad"


@pytest.mark.parametrize(
    ("level", "clipped", "status", "words"),
    [
        (0.0, 0, "bad", "switch the microphone on"),
        (0.1, 7, "bad", "level down"),
        (0.1, 0, "note", "noise"),
        (1e-5, 0, "note", "very quiet"),
        (1e-2, 0, "good", ""),
    ],
)
def test_each_fault_of_a_recording_has_its_advice(level, clipped, status, words):
    rng = np.random.default_rng(0)
    pcm = (level * rng.standard_normal(16_000)).astype(np.float32)
    (finding,) = judge_recording(pcm, "a microphone", clipped)
    assert finding.status == status
    assert words in finding.advice


def test_a_broken_model_is_bad_and_the_others_are_still_checked(pack, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice(devices=[]))
    broken = build_pack(tmp_path / "broken")
    (broken / "network.npz").write_bytes(b"nothing")
    result = run("--json", "--no-recording", "-m", broken, "-m", pack)
    assert result.exit_code == 1
    found = findings(result)
    assert found[f"model {broken}"]["status"] == "bad"
    assert "SHA-256" in found[f"model {broken}"]["text"]
    assert found["model tiny 1.0.0"]["status"] == "good"
    assert "microphone" not in found
