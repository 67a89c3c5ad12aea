"""`listen`, `devices` and the live picture, with a stand-in for the sounddevice module."""

import io
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from kws_stream import KeywordSpotter, WakeEvent
from kws_stream.audio import MicrophoneSource
from kws_stream.cli import main
from kws_stream.cli.screen import Score, State, decibels, screen
from tests.pack_factory import build_pack
from tests.test_audio_microphone import UNPLUG, FakeSounddevice
from tests.test_cli import noise


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return build_pack(
        tmp_path_factory.mktemp("packs") / "tiny",
        graphs=False,
        detector={"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.2},
    )


@pytest.fixture(scope="module")
def pcm():
    return noise(1.0)[:, 0].astype(np.float32)


@pytest.fixture
def microphone(monkeypatch):
    """Put a microphone with this script in the place of sounddevice."""

    def plug_in(*script, **settings):
        backend = FakeSounddevice(list(script), **settings)
        monkeypatch.setitem(sys.modules, "sounddevice", backend)
        monkeypatch.setattr(MicrophoneSource, "stall_s", 0.1)
        return backend

    return plug_in


def run(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def expected(pack, pcm):
    return [
        {"type": "event", "file": "USB Mic (hw:2,0)", **event.as_dict()}
        for event in KeywordSpotter(pack).process(pcm)
    ]


def test_events_of_a_microphone_and_the_report_at_the_end(microphone, pack, pcm):
    microphone(*np.split(pcm, 50))
    result = run("listen", "-m", pack, "--json", "--power-report", "--duration", "1")
    assert result.exit_code == 0
    *events, power = map(json.loads, result.stdout.splitlines())
    assert events == expected(pack, pcm)
    assert events
    assert list(power)[:5] == ["type", "core", "chip", "system", "rows"]
    assert result.stderr == "kws-stream: heard 1.00 s of USB Mic (hw:2,0)\n"


def test_a_microphone_that_goes_away_leaves_its_events_and_a_sentence(microphone, pack, pcm):
    microphone(*np.split(pcm, 50), UNPLUG)
    result = run("listen", "-m", pack, "--json", "--device", "usb")
    assert result.exit_code == 1
    assert [json.loads(line) for line in result.stdout.splitlines()] == expected(pack, pcm)
    assert "the device went away" in result.stderr.splitlines()[-1]


def test_the_live_picture_draws_and_the_events_follow_it(microphone, pack, pcm, monkeypatch):
    microphone(*np.split(pcm, 50))
    monkeypatch.setattr("kws_stream.cli.listen._is_terminal", lambda: True)
    monkeypatch.setattr("kws_stream.cli.listen.REFRESH_S", 0.0)
    drawings = []
    monkeypatch.setattr("kws_stream.cli.screen.screen", lambda s: drawings.append(s) or "picture")
    result = run("listen", "-m", pack, "--duration", "1")
    assert result.exit_code == 0
    events = expected(pack, pcm)
    lines = [line for line in result.stdout.splitlines() if "score" in line]
    assert len(lines) == len(events) > 0
    assert len(drawings) == 50
    last = drawings[-1]
    assert (last.time_s, len(last.events)) == (1.0, len(events))
    assert last.peak == np.abs(pcm[-320:]).max()
    assert last.rms == pytest.approx(np.sqrt(np.mean(pcm[-320:] ** 2)), rel=1e-5)
    assert [len(bits) for bits in last.bits] == [4, 3]
    assert [score.threshold for score in last.scores] == [0.0, 0.0, None]


def test_ctrl_c_while_waiting_for_sound(microphone, pack, pcm, monkeypatch):
    microphone(*np.split(pcm, 50))

    def blocks(source):
        yield pcm
        raise KeyboardInterrupt

    monkeypatch.setattr(MicrophoneSource, "blocks", blocks)
    result = run("listen", "-m", pack, "--json", "--power-report")
    assert result.exit_code == 130
    *events, power = map(json.loads, result.stdout.splitlines())
    assert events == expected(pack, pcm)
    assert power["type"] == "power"


def test_lost_sound_is_told_at_the_end(microphone, pack, pcm):
    microphone("overflow", np.ones(16_000))
    result = run("listen", "-m", pack, "--duration", "1")
    assert "16000 clipped samples, 1 overruns" in result.stderr


@pytest.mark.parametrize("words", [("listen",), ("listen", "--device", "USB")])
def test_no_microphone_is_one_sentence(words, microphone, pack):
    microphone(devices=[])
    result = run(*words, "-m", pack)
    assert result.exit_code == 1
    assert result.stderr.startswith("kws-stream: error: need a microphone, got no input device")
    assert len(result.stderr.splitlines()) == 1


def test_devices_are_listed_with_the_default_marked(microphone):
    microphone()
    assert run("devices").stdout.splitlines() == [
        "  1: Built-in, ALSA, 2 channels, 48000 Hz",
        "* 2: USB Mic (hw:2,0), ALSA, 1 channels, 16000 Hz",
    ]
    listed = json.loads(run("devices", "--json").stdout)
    assert [(device["index"], device["is_default"]) for device in listed] == [(1, False), (2, True)]


def test_no_device_is_an_empty_list(microphone):
    microphone(devices=[])
    result = run("devices", "--json")
    assert (result.exit_code, result.stdout) == (0, "[]\n")


def make_state(classes=12, cells=(64, 64, 64), events=20, **changes):
    rng = np.random.default_rng(0)
    values = {
        "model": "commands-12",
        "device": "A microphone with a rather long name, as some of them have, ALSA",
        "time_s": 12345.6,
        "peak": 1.0,
        "rms": 0.25,
        "clipped": 1234,
        "overruns": 12,
        "dropped": 34,
        "core_nw": 4430.0,
        "scores": [Score(f"word-{i}", i / classes, None if i > 9 else 0.5) for i in range(classes)],
        "bits": [rng.random(d) < 0.5 for d in cells],
        "events": [WakeEvent("yes", float(i), 0.9, float(i), i) for i in range(events)],
    }
    return State(**(values | changes))


def drawn(state):
    console = Console(file=io.StringIO(), width=80, height=24, color_system=None)
    console.print(screen(state))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    "state",
    [
        make_state(),
        make_state(classes=2, cells=(4, 4), events=0),
        make_state(classes=40, cells=(128, 128, 128), events=100),
        make_state(cells=(256,) * 6, peak=0.0, rms=0.0, status="it went away; waiting for it"),
        make_state(plain=True, cells=(128, 128, 128)),
    ],
    ids=["commands-12", "yes-4", "large", "silence", "plain"],
)
def test_the_picture_fits_a_terminal_of_80_by_24(state):
    lines = drawn(state)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert not state.plain or all(map(str.isascii, lines[1:]))


def test_the_picture_shows_what_is_known():
    state = make_state()
    text = "\n".join(drawn(state))
    for words in ("peak    0.0 dBFS", "rms  -12.0 dBFS", "clipped 1234", "overruns 12"):
        assert words in text
    for words in ("dropped 34", "4.43 uW", "word-9", "0.75 / 0.50", "events: 20", " 19.00 s  yes"):
        assert words in text
    for number, bits in enumerate(state.bits, 1):
        assert f"block {number}: {bits.sum()} of 64 cells set" in text
    assert text.count("●") == sum(bits.sum() for bits in state.bits)


def test_the_latest_events_are_the_ones_that_stay():
    lines = drawn(make_state(events=100))
    assert " 99.00 s" in lines[-1]
    assert not any("  1.00 s" in line for line in lines)


def test_decibels():
    assert decibels(1.0) == 0
    assert decibels(0.1) == pytest.approx(-20)
    assert decibels(0.0) == -np.inf
