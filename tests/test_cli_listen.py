"""`listen`, `devices` and the live picture, with a stand-in for the sounddevice module."""

import importlib
import io
import json
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from rich.console import Console

from kws_stream import KeywordSpotter, WakeEvent
from kws_stream.audio import MicrophoneSource
from kws_stream.cli import main
from kws_stream.cli.screen import Around, decibels, screen
from kws_stream.cli.screen_cells import cell_lines
from kws_stream.live import Cells, ClassScore, Hearing, Moment, Monitor
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
    monkeypatch.setattr("kws_stream.cli.live_view.REFRESH_S", 0.0)
    drawings = []
    monkeypatch.setattr(
        "kws_stream.cli.live_view.screen", lambda *drawn: drawings.append(drawn) or "picture"
    )
    result = run("listen", "-m", pack, "--duration", "1")
    assert result.exit_code == 0
    events = expected(pack, pcm)
    lines = [line for line in result.stdout.splitlines() if "score" in line]
    assert len(lines) == len(events) > 0
    assert len(drawings) == 50
    last, around = drawings[-1]
    assert around.device == "USB Mic (hw:2,0)"
    assert (last.time_s, len(last.events), last.event_count) == (1.0, len(events), len(events))
    assert last.peak == np.abs(pcm[-320:]).max()
    assert last.rms == pytest.approx(np.sqrt(np.mean(pcm[-320:] ** 2)), rel=1e-5)
    assert [len(block.bits) for block in last.blocks] == [4, 3]
    assert [score.threshold for score in last.scores] == [0.0, 0.0, None]
    trace = KeywordSpotter(pack).pack.network
    seen = KeywordSpotter(pack).observe(pcm)[0].trace
    for block, candidates, bits in zip(last.blocks, seen.candidates, seen.bits, strict=True):
        assert np.array_equal(block.candidates, candidates[-1])
        assert np.array_equal(block.bits, bits[-1])
    assert np.array_equal(last.blocks[0].beta1, trace.parameters.blocks[0].beta1)
    assert last.factor > 0


@pytest.mark.parametrize(("kind", "draws"), [("xterm", True), ("dumb", False)])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(kind, draws, monkeypatch):
    module = importlib.import_module("kws_stream.cli.listen")
    monkeypatch.setattr(module.sys, "stdout", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("TERM", kind)
    assert module._is_terminal() == draws


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


@pytest.mark.parametrize("words", [(), ("--json",)])
@pytest.mark.parametrize("command", ["listen", "detect"])
def test_ctrl_c_while_a_block_is_heard_loses_none_of_its_events(
    command, words, microphone, pack, pcm, monkeypatch, tmp_path
):
    """The signal waits for the end of the block, and the block may have had events."""
    microphone(*np.split(pcm, 50))
    path = tmp_path / "noise.wav"
    soundfile.write(path, pcm, 16_000, subtype="FLOAT")
    hear, found = Hearing.hear, []

    def interrupted(hearing, block):
        events = hear(hearing, block)
        if events and not found:
            signal.raise_signal(signal.SIGINT)
        found.extend(events)
        return events

    monkeypatch.setattr(Hearing, "hear", interrupted)
    where = [path] if command == "detect" else []
    result = run(command, "-m", pack, *words, *where)
    assert result.exit_code == 130
    assert len(result.stdout.splitlines()) == len(found) > 0
    assert f'"{found[0].keyword}"' in result.stdout or f"  {found[0].keyword}  " in result.stdout


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
        "* 2: USB Mic (hw:2,0), ALSA, 1 channel, 16000 Hz",
    ]
    listed = json.loads(run("devices", "--json").stdout)
    assert [(device["index"], device["is_default"]) for device in listed] == [(1, False), (2, True)]


def test_no_device_is_an_empty_list(microphone):
    microphone(devices=[])
    result = run("devices", "--json")
    assert (result.exit_code, result.stdout) == (0, "[]\n")


ESTIMATE = KeywordSpotter("yes-4").power()


def make_moment(classes=12, cells=(64, 64, 64), events=20, channels=16, **changes):
    rng = np.random.default_rng(0)
    blocks = []
    for d in cells:
        beta1, delta, c = rng.random(d), rng.random(d), 2 * rng.random(d)
        bits = (c >= beta1 + delta) | ((c >= beta1) & (rng.random(d) < 0.5))
        blocks.append(Cells(c, beta1, beta1 + delta, bits))
    values = {
        "model": "commands-12",
        "time_s": 12345.6,
        "peak": 1.0,
        "rms": 0.25,
        "floor": 0.01,
        "clipped": 7,
        "heat": rng.random((150, channels)),
        "frame_s": 0.02,
        "scores": [
            ClassScore(f"word-{i}", i / classes, None if i > 9 else 0.5) for i in range(classes)
        ],
        "blocks": blocks,
        "events": [WakeEvent("yes", float(i), 0.9, float(i), i) for i in range(events)],
        "event_count": events,
        "now": ESTIMATE,
        "average": ESTIMATE,
        "factor": 200.0,
    }
    return Moment(**(values | changes))


AROUND = {
    "device": "A microphone with a rather long name, as some of them have, ALSA",
    "clipped": 1234,
    "overruns": 12,
    "dropped": 34,
}


def drawn(moment, colour=False, **around):
    around = Around(**(AROUND | {"colour": colour} | around))
    system = "truecolor" if colour else None
    console = Console(
        file=io.StringIO(), width=around.width, height=around.height, color_system=system
    )
    console.print(screen(moment, around))
    return console.file.getvalue().splitlines()


MOMENTS = {
    "commands-12": {},
    "yes-4": {"classes": 2, "cells": (4, 4), "events": 0},
    "large": {"classes": 40, "cells": (128, 128, 128), "events": 100, "channels": 33},
    "silence": {"cells": (256,) * 6, "peak": 0.0, "rms": 0.0, "floor": 0.0},
    "no cells": {"cells": (), "heat": np.zeros((0, 16))},
    "many blocks": {"cells": (8,) * 40},
}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("size", [(60, 24), (80, 24), (200, 60), (81, 25)])
@pytest.mark.parametrize("settings", MOMENTS.values(), ids=MOMENTS)
def test_the_picture_fits_its_terminal(settings, size, plain):
    width, height = size
    lines = drawn(make_moment(**settings), width=width, height=height, plain=plain)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert not plain or all(map(str.isascii, lines))


def test_the_picture_shows_what_is_known():
    moment = make_moment()
    text = "\n".join(drawn(moment))
    for words in ("peak    0.0 dBFS", "rms  -12.0 dBFS", "clipped 1234", "overruns 12"):
        assert words in text
    for words in ("dropped 34", "noise floor -40 dBFS", "200 x real time", "0.75 / 0.50"):
        assert words in text
    for words in ("core now", "average", "cells", "feedforward", "classifier", "events: 20"):
        assert words in text
    assert " 19.00 s  yes" in text


def test_every_cell_of_the_middle_model_shows_where_its_candidate_is():
    moment = make_moment()
    lines = drawn(moment)
    for number, block in enumerate(moment.blocks, 1):
        (line,) = [line for line in lines if line.startswith(f" {number} ")]
        signs = line.split()[-1]
        above = block.candidates >= block.beta2
        holds = (block.candidates >= block.beta1) & ~above
        assert signs == "".join(
            "█" if a else ("●" if z else "○") if h else "·"
            for a, h, z in zip(above, holds, block.bits, strict=True)
        )
        assert f"{block.bits.sum()}/64" in line


def test_cells_of_a_small_model_have_a_gauge_with_both_thresholds():
    lines = drawn(make_moment(classes=2, cells=(4, 4), events=0))
    text = "\n".join(lines)
    for cell in range(1, 5):
        assert f"1.{cell}" in text
        assert f"2.{cell}" in text
    assert text.count("]") >= 8


def test_where_there_is_room_every_cell_has_a_bar_that_covers_the_thresholds_it_reached():
    blocks = make_moment().blocks
    lines = cell_lines(blocks, 132, 17, plain=False, colour=True)
    assert len(lines) == 1 + 3 * (4 + 1)
    console = Console()
    for block, top in zip(blocks, (1, 6, 11), strict=True):
        start = lines[top].plain.index("/64") + 6
        reached = {"=": block.candidates >= block.beta2, "-": block.candidates >= block.beta1}
        for line in lines[top : top + 4]:
            for cell, mark in enumerate(line.plain[start:]):
                covered = bool(line.get_style_at_offset(console, start + cell).reverse)
                assert mark == " " or covered == reached[mark][cell]
        bits = lines[top + 4].plain[start:]
        assert bits == "".join("●" if bit else "·" for bit in block.bits)
    assert "holds" in cell_lines(blocks, 132, 17, plain=True, colour=True)[0].plain


@pytest.mark.parametrize("plain", [False, True])
def test_cells_in_groups_say_what_a_sign_stands_for(plain):
    bits = np.zeros(80, bool)
    bits[:2] = bits[2] = True  # a group of two that are on, one of which one is
    block = Cells(np.zeros(80), np.zeros(80), np.ones(80), bits)
    title, line = cell_lines([block], 60, 2, plain=plain, colour=True)
    full, half = "@=" if plain else "█▄"
    assert f"one sign for up to 2 cells: {full} all on, {half} half" in title.plain
    assert line.plain.startswith(f" 1    3/80   {full}{half}  ")
    assert title.plain.startswith("block on/of")


def test_a_narrow_terminal_gets_whole_words():
    lines = drawn(make_moment(), width=60, keys="+/- threshold   space pause   s save   q quit")
    assert lines[1].endswith("rms  -12.0 dBFS")
    assert lines[-1].rstrip() == "+/- threshold   space pause   s save   q quit"
    for line in lines[3:5]:
        assert line.rstrip().endswith(" nW") or line.rstrip().endswith(" uW")


def test_the_latest_events_are_the_ones_that_stay():
    text = "\n".join(drawn(make_moment(events=100)))
    assert " 99.00 s" in text
    assert "  1.00 s" not in text


def test_the_heat_map_has_colours_of_its_own_on_both_grounds():
    text = "\n".join(drawn(make_moment(), colour=True))
    assert "▀" in text
    assert "\x1b[38;2;" in text
    assert "48;2;" in text


def test_a_monitor_knows_the_noise_floor_and_clipping():
    spotter = KeywordSpotter("yes-4")
    monitor = Monitor(spotter)
    hearing = Hearing(spotter, [monitor])
    rng = np.random.default_rng(0)
    quiet = (0.01 * rng.standard_normal(32_000)).astype(np.float32)
    hearing.hear(quiet)
    hearing.hear(np.ones(1600, np.float32))
    moment = monitor.moment()
    assert moment.peak == 1.0
    assert moment.clipped == 1600
    assert moment.floor == pytest.approx(0.01, rel=0.1)
    assert moment.time_s == pytest.approx(2.1, abs=0.02)
    assert monitor.moment().peak == 0.0


def test_decibels():
    assert decibels(1.0) == 0
    assert decibels(0.1) == pytest.approx(-20)
    assert decibels(0.0) == -np.inf


@pytest.mark.parametrize("command", ["listen", "serve"])
@pytest.mark.parametrize(
    ("option", "needed"),
    [
        ("--keep-most", "--keep-triggers"),
        ("--exec-audio", "--exec"),
        ("--transcribe-audio", "--transcribe"),
    ],
)
def test_an_option_without_the_one_that_it_belongs_to_is_refused(
    command: str, option: str, needed: str
) -> None:
    result = CliRunner().invoke(main, [command, option, "5"])
    assert (result.exit_code, f"{option} needs {needed}." in result.stderr) == (2, True)
