"""The end of a finite source is heard out: a word that ends with it is an event everywhere."""

import asyncio
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from firmware_sim.export_c import export_c
from kws_stream import KeywordSpotter
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.evaluation.recordings import evaluate_recordings
from kws_stream.export.firmware import load_model
from kws_stream.live import Hearing, PowerMeter
from kws_stream.live.passages import passages
from kws_stream.packs import load
from tests import wyoming_client

MODEL = "commands-12"
COMPILER = next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), None)


@pytest.fixture(scope="module")
def cut():
    """A recording that ends with a word that fires later, in the middle of a frame."""
    pcm = soundfile.read(RECORDING, dtype="int16")[0]
    event = next(e for e in KeywordSpotter(MODEL).process(pcm) if e.keyword == "up")
    return pcm[round(16_000 * event.start_s) - 8000 : round(16_000 * (event.time_s - 0.1)) + 77]


@pytest.fixture(scope="module")
def expected(cut):
    """What real silence behind it gives."""
    events = KeywordSpotter(MODEL).process(np.concatenate([cut, np.zeros(12_000, np.int16)]))
    assert [event.keyword for event in events] == ["up"]
    assert KeywordSpotter(MODEL).process(cut) == []
    return events


def test_finish_gives_the_word_and_leaves_the_spotter_as_it_was(cut, expected):
    spotter = KeywordSpotter(MODEL)
    assert spotter.process(cut) == []
    before = spotter.power(), spotter.recent_power(), spotter.time_s, spotter.scores.tolist()
    assert spotter.finish() == expected
    assert spotter.finish() == expected
    after = spotter.power(), spotter.recent_power(), spotter.time_s, spotter.scores.tolist()
    assert str(before) == str(after)
    rest = np.zeros(12_000, np.int16)  # the stream may go on after all
    assert spotter.process(rest) == expected


def test_every_way_to_hear_a_finite_source_hears_its_end(cut, expected, tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, cut, 16_000)
    blocks = np.array_split(cut, 9)
    assert list(KeywordSpotter(MODEL).events(path)) == expected
    assert list(KeywordSpotter(MODEL).events(blocks)) == expected
    heard = []
    with KeywordSpotter(MODEL).listen(heard.append, path) as listener:
        listener.wait()
    assert heard == expected
    assert [passage.event for passage in passages(KeywordSpotter(MODEL), path)] == expected

    async def later():
        async def source():
            for block in blocks:
                yield block

        plain = [event async for event in KeywordSpotter(MODEL).events(path)]
        return plain, [event async for event in KeywordSpotter(MODEL).events(source())]

    assert asyncio.run(later()) == (expected, expected)


def test_detect_prints_the_word_of_a_file_and_of_a_pipe(cut, expected, tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, cut, 16_000)
    command = ["detect", "-m", MODEL, "--json"]
    for name, sound in ((str(path), None), ("-", cut.tobytes())):
        result = CliRunner().invoke(main, [*command, name], input=sound)
        assert result.exit_code == 0
        events = [json.loads(line) for line in result.stdout.splitlines()]
        keys = expected[0].as_dict().keys()
        assert [{key: event[key] for key in keys} for event in events] == [
            event.as_dict() for event in expected
        ]


def test_reports_and_power_are_of_real_sound_alone(cut, expected, tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, cut, 16_000)
    page = tmp_path / "page.html"
    command = ["detect", "-m", MODEL, "--json", "--power-report", "--report", page, path]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 0, result.output
    power = json.loads(result.stdout.splitlines()[-1])
    alone = KeywordSpotter(MODEL)
    alone.process(cut)
    assert power["core"]["typical"] == pytest.approx(alone.power().core_nw, rel=1e-12)
    assert "up" in page.read_text("utf-8")
    meter = PowerMeter(KeywordSpotter(MODEL))
    hearing = Hearing(meter.spotter, [meter])
    assert hearing.hear(cut) == []
    assert hearing.end() == expected
    assert meter.time_s == alone.time_s


def test_a_word_at_the_end_of_a_labelled_recording_counts_as_found(cut, tmp_path):
    path = tmp_path / "cut.wav"
    soundfile.write(path, cut, 16_000)
    end = len(cut) / 16_000
    alone = KeywordSpotter(MODEL)
    alone.process(cut)
    labels = {"words": [{"word": "up", "start_s": 0.45, "end_s": end}]}
    (tmp_path / "cut.json").write_text(json.dumps(labels), "utf-8")
    result = evaluate_recordings([path], MODEL)
    assert (result.point.words, result.point.hits, result.point.false_accepts) == (1, 1, 0)
    assert result.hours == pytest.approx(alone.time_s / 3600)


def test_a_wyoming_client_is_told_the_word_before_its_stream_is_over(cut, expected):
    async def test():
        async with wyoming_client.serving(load(MODEL)) as (_, port):
            return await wyoming_client.listen(port, cut, names=["up"])

    told = asyncio.run(test())
    (event,) = expected
    assert wyoming_client.detections(told) == [("up", round(event.time_s * 1000))]
    assert [message.type for message in told] == ["detection"]


def test_a_stream_without_sound_has_no_end_to_hear():
    assert KeywordSpotter(MODEL, 0.0).finish() == []


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
def test_the_c_library_hears_the_end_as_python_does(cut, expected, tmp_path):
    export_c(load_model(MODEL)[1], tmp_path / "c")
    program = tmp_path / "spotter"
    sources = sorted((tmp_path / "c").glob("*.c"))
    subprocess.run([COMPILER, "-std=c99", "-O1", *sources, "-o", program], check=True)
    ran = subprocess.run([program], input=cut.tobytes(), capture_output=True, check=True)
    (event,) = expected
    line = f"{event.time_s:6.2f} s  {event.keyword}  score {event.score:.2f}"
    assert ran.stdout.decode().startswith(line), ran.stdout


@pytest.mark.parametrize("engine", ["numpy", "c"])
def test_both_engines_hear_the_same_end(engine, cut, expected, tmp_path):
    np.save(tmp_path / "cut.npy", cut)
    text = (
        "import numpy, sys; from kws_stream import KeywordSpotter, engine\n"
        "spotter = KeywordSpotter(sys.argv[2]); spotter.process(numpy.load(sys.argv[1]))\n"
        "print(engine.kind, [event.as_dict() for event in spotter.finish()])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", text, tmp_path / "cut.npy", MODEL],
        env={"KWS_STREAM_ENGINE": engine, "PATH": ""},
        capture_output=True,
        text=True,
    )
    if engine == "c" and "found none" in ran.stderr:
        pytest.skip("needs the engine in C")
    assert ran.stdout.strip() == f"{engine} {[event.as_dict() for event in expected]}", ran.stderr
