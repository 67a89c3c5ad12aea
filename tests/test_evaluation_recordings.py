"""Long recordings: counts are those of the spotter's own events, intervals and labels are right."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import kws_stream
from kws_stream import packs
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.errors import AudioError, DataError
from kws_stream.evaluation import (
    evaluate_recordings,
    poisson_interval,
    read_labels,
    score_stream,
    sources,
    streams_of,
)

DATA = Path(kws_stream.__file__).parent / "_data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The packaged recording with its labels, and a part of it without."""
    for name in ("demo.flac", "demo.json"):
        shutil.copy(DATA / name, tmp_path / name)
    sound, rate = soundfile.read(tmp_path / "demo.flac", dtype="int16")
    soundfile.write(tmp_path / "part.wav", sound[: 9 * rate], rate)
    return tmp_path


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_counts_are_those_of_the_events_of_the_spotter(folder: Path, threshold) -> None:
    files = [folder / "demo.flac", folder / "part.wav"]
    result = evaluate_recordings(files)
    words = hits = false_accepts = 0
    for file in files:
        spotter = kws_stream.KeywordSpotter(threshold=threshold)
        events = list(spotter.events(file))
        scored = score_stream(read_labels(file), events, spotter.pack.keywords)
        words, hits = words + scored.words, hits + scored.hits
        false_accepts += len(scored.false_accepts)
    points = [result.point, *result.sweep]
    (point,) = [p for p in points if dict(p.thresholds) == spotter.thresholds][:1]
    assert (point.words, point.hits, point.false_accepts) == (words, hits, false_accepts)
    assert hits > 0
    assert false_accepts > 0  # the words of part.wav, which has no labels
    assert len(point.latencies_s) == hits
    each = point.per_keyword.values()
    assert [sum(c.words for c in each), sum(c.hits for c in each)] == [words, hits]
    assert sum(c.false_accepts for c in each) == false_accepts
    assert result.hours * 3600 == pytest.approx(32.28 + 9, abs=0.05)


def test_higher_thresholds_find_no_more() -> None:
    sweep = evaluate_recordings([RECORDING]).sweep
    values = [next(iter(p.thresholds.values())) for p in sweep]
    assert values == sorted(values)
    assert sweep[0].hits >= sweep[-1].hits
    assert sweep[0].false_accepts >= sweep[-1].false_accepts


def test_intervals_of_rates_are_exact() -> None:
    # chi-square quantiles from tables: 7.378 (0.975, 2 degrees), 3.247 and 23.337 (10 and 12)
    assert poisson_interval(0, 2.0) == pytest.approx((0, 7.378 / 4), rel=1e-3)
    assert poisson_interval(5, 1.0) == pytest.approx((3.247 / 2, 23.337 / 2), rel=1e-3)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"words": 3}', '{"words": [{"word": "yes"}]}', "\udcff"]
    + [json.dumps({"words": [{"word": "yes", "start_s": s, "end_s": 1}]}) for s in (2, -1)]
    + ['{"words": [{"word": "yes", "start_s": NaN, "end_s": 1}]}'],
)
def test_wrong_labels_are_refused_with_their_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"talk\.json: need"):
        read_labels(tmp_path / "talk.wav")


def test_no_sound_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="need recordings"):
        evaluate_recordings([])
    with pytest.raises(AudioError):
        evaluate_recordings([tmp_path / "missing.wav"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        evaluate_recordings([tmp_path / "empty"])


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack that fires whenever its keyword leads, whatever the shipped one's threshold."""
    detector = packs.load("yes-4").detector | {"threshold": 0.3, "refractory_s": 1.0}
    return packs.save_copy("yes-4", tmp_path_factory.mktemp("packs") / "eager", detector=detector)


def test_the_command_prints_and_writes_the_figures(folder: Path, eager: Path) -> None:
    words = ["evaluate-stream", str(folder / "demo.flac"), "-m", str(eager)]
    printed = CliRunner().invoke(main, words)
    assert printed.exit_code == 0, printed.output
    assert "false accepts per hour" in printed.stdout
    assert max(map(len, printed.stdout.splitlines())) <= 80
    written = CliRunner().invoke(main, [*words, "--json-file", str(folder / "out.json")])
    figures = json.loads((folder / "out.json").read_text("utf-8"))
    assert written.exit_code == 0
    assert figures["words"] == 3
    assert figures["hits"] + len(figures["missed"]) == 3
    assert figures["false_accepts"] == len(figures["false_accept_events"])
    each = figures["per_keyword"]["yes"]  # its only keyword
    assert each == {key: figures[key] for key in each}
    (file, start_s) = (figures["found"][0][key] for key in ("file", "start_s"))
    assert file.endswith("demo.flac")
    assert start_s in [word.start_s for word in read_labels(folder / "demo.flac")]
    assert len(figures["sweep"]) == 24


def test_a_folder_is_one_stream_and_its_labels_and_events_are_on_each_files_clock(
    folder: Path, eager: Path
) -> None:
    """Words of the second file are found where its own labels say, after 9 s of the first."""
    (folder / "below").mkdir()
    (folder / "part.wav").rename(folder / "a.wav")
    for name in ("demo.flac", "demo.json"):
        (folder / name).rename(folder / "below" / name)
    (folder / "notes.txt").write_text("no audio")
    result = evaluate_recordings([folder], eager)
    assert result.files == 2
    assert list(result.sources) == [str(folder)]
    spotter = kws_stream.KeywordSpotter(eager)
    heard = [
        spotter.process(soundfile.read(f, dtype="int16")[0])
        for f in (folder / "a.wav", folder / "below" / "demo.flac")
    ]
    shown = [(file, event.time_s) for file, _, event in result.found]
    shown += [(file, event.time_s) for file, event in result.false_accepts]
    files = [str(folder / "a.wav"), str(folder / "below" / "demo.flac")]
    times = [(files[0], e.time_s) for e in heard[0]]
    times += [(files[1], round(e.time_s - 9, 6)) for e in heard[1]]
    assert sorted(shown) == sorted(times)
    assert len(heard[0])
    assert len(heard[1])
    labelled = read_labels(folder / "below" / "demo.flac")
    assert {word for _, word, _ in result.found} <= set(labelled)


def test_a_folder_ends_a_stream_with_the_file_that_completes_the_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "STREAM_S", 2.0)
    for name in ("a", "b", "c", "d"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(24_000), 16_000)
    names = [[file.stem for file in stream.files] for stream in streams_of([tmp_path])]
    assert names == [["a", "b"], ["c", "d"]]


def test_each_source_and_keyword_has_its_own_counts(folder: Path) -> None:
    files = [folder / "demo.flac", folder / "part.wav"]
    result = evaluate_recordings(files)
    for source, counts in result.sources.items():
        alone = evaluate_recordings([source]).point
        for name in ("hours", "words", "hits", "false_accepts"):
            assert getattr(counts, name) == getattr(alone, name)
    for name in ("words", "hits", "false_accepts"):
        each = result.point.per_keyword.values()
        assert sum(getattr(counts, name) for counts in each) == getattr(result.point, name)


def test_a_source_shorter_than_a_frame_has_no_rate_and_hides_none(
    folder: Path, eager: Path, tmp_path: Path
) -> None:
    soundfile.write(folder / "click.wav", np.zeros(1), 16_000)
    files = [str(folder / name) for name in ("click.wav", "part.wav")]
    words = ["evaluate-stream", *files, "-m", str(eager)]
    page = tmp_path / "page.html"
    printed = CliRunner().invoke(main, [*words, "--report", str(page)])
    assert printed.exit_code == 0, printed.output
    (row,) = [line for line in printed.stdout.splitlines() if "click.wav" in line]
    assert row.split()[-4:] == ["0.00", "0", "-", "-"]
    assert "click.wav" in page.read_text("utf-8")
    figures = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    click, part = figures["sources"]
    assert click["false_accepts_per_hour"] is click["false_accepts_per_hour_interval"] is None
    assert part["false_accepts_per_hour"] == figures["false_accepts_per_hour"]


def test_silence_gives_no_events_and_a_bounded_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(36 * 16_000), 16_000)
    figures = evaluate_recordings([tmp_path / "silence.wav"], "yes-4").as_dict()
    assert figures["false_accepts"] == 0
    assert figures["false_accepts_per_hour_interval"] == pytest.approx((0, 368.9), rel=1e-3)
    assert figures["false_reject_rate"] is None
