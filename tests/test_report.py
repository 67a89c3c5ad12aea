"""The HTML report: what it shows is what was counted, and it needs nothing but itself."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import kws_stream
from kws_stream import packs
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.detector import softmax
from kws_stream.errors import MissingExtraError
from kws_stream.evaluation import (
    TASKS,
    Clip,
    ClipRun,
    Score,
    evaluate_clips,
    evaluate_recordings,
    summarise,
)
from kws_stream.evaluation.report import render
from kws_stream.evaluation.report.curves import confidences, keyword_curves, trade_off
from kws_stream.evaluation.report.figures import VARIABLES
from kws_stream.evaluation.report.worst import channel_levels, worst_errors
from kws_stream.features import FeatureSettings
from tests.clip_folders import COMMANDS, build_words, write
from tests.pack_factory import build_pack

DATA = Path(kws_stream.__file__).parent / "_data"
VOID = {"meta", "br", "img", "path", "use", "image", "rect", "circle", "stop"}


class Outline(HTMLParser):
    """Collects headings and references; fails on a tag that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [str(v) for name, v in attributes if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ClipRun:
    root = tmp_path_factory.mktemp("report")
    words = build_words(root / "words & <more>")
    pack = build_pack(root / "twelve", classes=TASKS["v2-12"], keywords=COMMANDS, cells=(6, 6))
    return evaluate_clips(words, model=pack, jobs=1, snrs_db=(20.0, 0.0), check_streaming=True)


@pytest.fixture(scope="module")
def page(run: ClipRun) -> str:
    stream = evaluate_recordings([RECORDING])
    return render(run.pack, run, stream, "kws-stream evaluate 'a & b'")


def test_one_page_has_every_part(page: str) -> None:
    assert outline(page).headings == [
        *("Summary", "Confusion matrix", "DET curves of the keywords", "Accuracy against SNR"),
        *("Power", "False accepts per hour", "DET curve of the stream", "Latency", "Events"),
        "Worst errors",
    ]


def test_the_page_refers_to_nothing_outside_itself_and_has_no_scripts(page: str) -> None:
    found = outline(page)
    assert not {"script", "link", "iframe", "object", "embed"} & found.tags
    for reference in found.references:
        assert reference.startswith(("#", "data:"))
    bare = re.sub(r"data:[^'\"]*", "", page)
    assert not re.search(r"https?:|//\w|url\((?!#)|@import", bare)


def test_the_page_is_for_light_and_dark_screens(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    for stand_in, name in VARIABLES.items():
        assert stand_in not in page
        assert page.count(f"--{name}:") == 2


def test_names_of_files_and_commands_are_text_and_not_html(page: str) -> None:
    assert "kws-stream evaluate &#x27;a &amp; b&#x27;" in page
    assert "<more>" not in page


def test_names_of_any_letters_are_shown(run: ClipRun, tmp_path: Path) -> None:
    odd = ("$x_$", "<b>'\"", "_hidden")
    pack = build_pack(tmp_path / "odd", classes=(*odd, "yes"), keywords=(*odd, "yes"))
    soundfile.write(tmp_path / "still.wav", np.zeros(32_000), 16_000)
    labels = [{"word": name, "start_s": 0.5, "end_s": 1.0} for name in odd]
    (tmp_path / "still.json").write_text(json.dumps({"words": labels}), "utf-8")
    stream = evaluate_recordings([tmp_path / "still.wav"], packs.load(pack))
    page = render(packs.load(pack), None, stream, "kws-stream \udcff")
    outline(page)
    page.encode("utf-8")
    for name in ("$x_$", "&lt;b&gt;&#x27;&quot;", "_hidden"):
        assert f"<td>{name}</td>" in page


def test_the_same_run_gives_the_same_page(run: ClipRun) -> None:
    assert render(run.pack, run, None) == render(run.pack, run, None)


def test_the_matrix_and_the_figures_are_those_of_the_result(page: str, run: ClipRun) -> None:
    shown = re.findall(r"title='(\w+) called (\w+): (\d+),", page)
    classes = run.result.classes
    expected = [
        (said, called, str(run.result.confusion[i][j]))
        for i, said in enumerate(classes)
        for j, called in enumerate(classes)
    ]
    assert shown == expected
    assert f"<b>{100 * run.result.accuracy:.2f} %</b>" in page
    assert f"<b>{run.result.core_power_nw['mean']:.1f} nW</b>" in page
    assert "<b>36 of 36</b>" in page  # streamed as offline


def test_what_was_not_measured_is_said(run: ClipRun, tmp_path: Path) -> None:
    result = summarise(run.clips, run.scores, task="v2-12", model="m")
    page = render(run.pack, ClipRun(run.pack, run.clips, run.scores, result), None)
    assert "Not measured: it needs recordings of noise" in page
    assert "give one with --stream" in page
    soundfile.write(tmp_path / "still.wav", np.zeros(32_000), 16_000)
    quiet = evaluate_recordings([tmp_path / "still.wav"], run.pack)
    page = render(run.pack, None, quiet)
    assert outline(page).headings[0] == "Summary"
    assert "Confusion matrix" not in page
    assert "no labelled keywords" in page
    assert "No keyword was found" in page


def hand_made(labels: list[str], logits: list[tuple[float, ...]], task: str) -> ClipRun:
    """A run of a model with the classes yes, no and cat."""
    classes = ("yes", "no", "cat")
    clips = tuple(Clip(Path(f"{i}.wav"), label, label) for i, label in enumerate(labels))
    scores = tuple(Score(classes[int(np.argmax(x))], 1.0, x) for x in logits)
    pack = packs.Pack(*(None,) * 4, classes, *(None,) * 5)  # type: ignore[arg-type]
    return ClipRun(pack, clips, scores, summarise(clips, scores, task=task, model="m"))


def test_confidence_in_the_rest_is_that_in_all_its_classes() -> None:
    run = hand_made(["yes", "other"], [(2.0, 1.0, 0.0), (0.0, 1.0, 1.0)], "yes")
    first = softmax([2.0, 1.0, 0.0])
    np.testing.assert_allclose(confidences(run)[0], [first[0], first[1] + first[2]])


def test_worst_errors_are_those_of_the_highest_confidence_in_a_wrong_class() -> None:
    labels = ["yes", "yes", "other", "other", "yes"]
    logits = [(5.0, 0.0, 0.0), (0.0, 1.0, 0.0), (9.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 8.0, 0.0)]
    run = hand_made(labels, logits, "yes")
    errors = worst_errors(run)
    assert [(index, called) for index, called, _ in errors] == [
        *((2, "yes"), (4, "other"), (1, "other")),
    ]
    assert errors[1][2] == pytest.approx(1 - softmax(list(logits[4]))[0])
    assert worst_errors(run, 1) == errors[:1]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1))
def test_rates_are_those_of_counting_at_every_threshold(rows: list[tuple[float, bool]]) -> None:
    scores, targets = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    curve = trade_off(scores, targets)
    if targets.all() or not targets.any():
        assert curve is None
        return
    assert curve is not None
    thresholds = [2.0, *sorted(set(scores), reverse=True)]
    expected = [(np.mean(scores[~targets] >= t), np.mean(scores[targets] < t)) for t in thresholds]
    np.testing.assert_allclose(np.transpose([curve.false_alarms, curve.misses]), expected)
    gaps = curve.false_alarms - curve.misses
    crossing = int(np.argmax(gaps >= 0))
    low, high = sorted((curve.misses[crossing - 1], curve.misses[crossing]))
    assert low - 1e-12 <= curve.equal_error_rate <= high + 1e-12


def test_equal_error_rate_of_known_scores() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    perfect = trade_off(scores, scores > 0.55)
    swapped = trade_off(scores, np.array([1, 1, 1, 0, 1, 0, 0, 0], bool))
    assert perfect is not None
    assert swapped is not None
    assert perfect.equal_error_rate == 0
    assert swapped.equal_error_rate == 0.25


def test_a_keyword_without_clips_has_no_curve() -> None:
    run = hand_made(["yes", "unknown", "yes"], [(1.0, 0.0, 0.0)] * 3, "v2-12")
    curves, overall = keyword_curves(run)
    assert list(curves) == ["yes"]
    assert overall is not None


def test_levels_are_decibels_below_the_loudest_channel_of_the_clip() -> None:
    time_s = np.arange(16_000) / 16_000
    loud = np.sin(2 * np.pi * 1000 * time_s) * (time_s < 0.5) * 0.5
    levels = channel_levels(loud.astype(np.float32), FeatureSettings())
    assert levels.shape == (100, 16)
    assert levels.max() == 0
    assert levels[80:].max() < -60
    assert not np.isnan(channel_levels(np.zeros(16_000, np.float32), FeatureSettings())).any()


def test_without_matplotlib_the_extra_is_named_before_the_work(
    run: ClipRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"kws-stream\[report\]"):
        render(run.pack, run, None)
    for words in (["evaluate", "missing", "--task", "yes"], ["evaluate-stream", "missing.wav"]):
        result = CliRunner().invoke(main, [*words, "--report", str(tmp_path / "r.html")])
        assert result.exit_code == 1
        assert "pip install 'kws-stream[report]'" in result.stderr


def test_the_command_writes_one_page_of_clips_noise_and_stream(
    tmp_path: Path, run: ClipRun
) -> None:
    folder = tmp_path / "words"
    for word in ("yes", "no"):
        write(folder / word / "026290a7_nohash_0.wav")
    write(folder / "_background_noise_" / "hum.wav", 2.0)
    for name in ("demo.flac", "demo.json"):
        shutil.copy(DATA / name, tmp_path / name)
    file = tmp_path / "report.html"
    words = ["evaluate", str(folder), "--task", "yes", "-m", str(run.pack.path), "--jobs", "1"]
    stream = ["--stream", str(tmp_path / "demo.flac")]
    result = CliRunner().invoke(main, [*words, "--report", str(file), *stream])
    assert result.exit_code == 0, result.output
    page = file.read_text("utf-8")
    assert len(outline(page).headings) == 10
    assert "Not measured" not in page
    assert f"kws-stream evaluate {folder} --task yes -m {run.pack.path}" in page
    without = CliRunner().invoke(main, [*words, "--report", str(file), "--no-snr"])
    assert without.exit_code == 0
    assert file.read_text("utf-8").count("Not measured") == 2
    lost = CliRunner().invoke(main, [*words, "--report", str(file), "--noise", "missing"])
    assert (lost.exit_code, "missing: need a folder" in lost.stderr) == (1, True)
    assert CliRunner().invoke(main, [*words, *stream]).exit_code == 2
    assert CliRunner().invoke(main, [*words, "--report", "-"]).exit_code == 2


def test_the_stream_command_writes_its_part(tmp_path: Path) -> None:
    file = tmp_path / "stream.html"
    words = ["evaluate-stream", str(RECORDING), "-m", "yes-4", "--report", str(file)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert outline(file.read_text("utf-8")).headings == [
        *("Summary", "False accepts per hour", "DET curve of the stream", "Latency", "Events"),
    ]
