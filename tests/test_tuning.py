"""Recommended thresholds: the best there are, written to a copy, with what cannot be known said."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import packs
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.errors import DataError, PackError, ParameterError
from kws_stream.evaluation import Counts, evaluate_recordings, streams_of, tune
from kws_stream.evaluation.tuning import TRIED, choose_thresholds
from kws_stream.workers import Workers
from tests.pack_factory import build_pack


def counts(*pairs: tuple[int, int]) -> list[Counts]:
    """Of a keyword that was spoken ten times: (missed, false accepts) at each threshold."""
    return [Counts(1.0, 10, 10 - missed, false) for missed, false in pairs]


def by_row(**keywords: list[Counts]) -> list[dict[str, Counts]]:
    return [dict(zip(keywords, row, strict=True)) for row in zip(*keywords.values(), strict=True)]


def outcome(table: list[dict[str, Counts]], rows: dict[str, int]) -> tuple[int, int]:
    chosen = [table[row][name] for name, row in rows.items()]
    return sum(c.words - c.hits for c in chosen), sum(c.false_accepts for c in chosen)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.data())
def test_no_combination_of_thresholds_within_the_target_is_better(data: st.DataObject) -> None:
    rows, names = data.draw(st.integers(1, 4)), "abc"[: data.draw(st.integers(1, 3))]
    pair = st.tuples(st.integers(0, 5), st.integers(0, 5))
    table = by_row(**{n: counts(*(data.draw(pair) for _ in range(rows))) for n in names})
    allowed = data.draw(st.integers(0, 10))
    every = [
        outcome(table, dict(zip(names, choice, strict=True)))
        for choice in itertools.product(range(rows), repeat=len(names))
    ]
    possible = [found for found in every if found[1] <= allowed]
    chosen = choose_thresholds(table, allowed)
    if possible:
        assert outcome(table, chosen) == min(possible)
    else:
        assert chosen == dict.fromkeys(names, rows - 1)


def test_of_equal_thresholds_the_middle_one_and_for_an_unspoken_keyword_the_lowest() -> None:
    yes = counts((0, 9), (1, 0), (1, 0), (1, 0), (5, 0))
    no = [Counts(1.0, 0, 0, false) for false in (9, 3, 0, 0, 0)]
    assert choose_thresholds(by_row(yes=yes, no=no), 1) == {"yes": 2, "no": 2}


def test_figures_are_those_of_the_tuned_pack_itself(tmp_path: Path) -> None:
    """Thresholds of several keywords are put together from counts of each; the sum holds."""
    with Workers(1) as here:
        tuning = tune(streams_of([RECORDING]), "commands-12", 400, workers=here)
        detector = packs.load("commands-12").detector
        new = detector | {"thresholds": dict(tuning.recommended.thresholds)}
        copy = packs.save_copy("commands-12", tmp_path / "new", detector=new)
        point = evaluate_recordings([RECORDING], copy, workers=here).point
    assert point.thresholds == tuning.recommended.thresholds
    assert point.per_keyword == tuning.recommended.per_keyword
    assert (point.words, point.hits) == (
        tuning.recommended.counts.words,
        tuning.recommended.counts.hits,
    )
    assert tuning.met
    assert tuning.recommended.counts.false_accepts <= 400 * tuning.hours
    assert tuning.current.counts.hits == evaluate_recordings([RECORDING]).point.hits


def test_short_recordings_cannot_show_the_target_and_that_is_said() -> None:
    with Workers(1) as here:
        tuning = tune(streams_of([RECORDING]), "yes-4", 0.5, workers=here)
    assert tuning.hours_to_show_target == 6
    assert not tuning.shown
    assert any("too short to show 0.5 per hour" in note for note in tuning.notes)
    assert any("the target takes 6 h" in note for note in tuning.notes)


def test_a_target_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    for target in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ParameterError, match="target"):
            tune([], "yes-4", target)
    pack = build_pack(tmp_path / "mute", graphs=False, keywords=())
    with pytest.raises(DataError, match="keywords to tune"):
        tune([], pack)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Clips of two keywords, and background."""
    rng = np.random.default_rng(0)
    for word in ("yes", "no"):
        (tmp_path / "clips" / word).mkdir(parents=True)
        for number in range(3):
            sound = 0.1 * rng.standard_normal(8000)
            soundfile.write(tmp_path / "clips" / word / f"{number}.wav", sound, 16_000)
    (tmp_path / "room").mkdir()
    soundfile.write(tmp_path / "room" / "hiss.wav", 0.01 * rng.standard_normal(80_000), 16_000)
    build_pack(
        tmp_path / "pack",
        graphs=False,
        metrics={
            name: {"value": 0.5, "command": f"kws-stream {command} pack"}
            for name, command in [
                *(("accuracy", "evaluate"), ("stream_missed", "evaluate-stream -m")),
                ("synthetic_false_reject_rate", "tune"),
            ]
        },
    )
    return tmp_path


def run(*words: object) -> str:
    done = CliRunner().invoke(main, ["tune", *map(str, words), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_writes_a_copy_and_leaves_the_pack_alone(folders: Path) -> None:
    before = {path.name: path.read_bytes() for path in (folders / "pack").iterdir()}
    words = (folders / "pack", "--positives", folders / "clips", "--background", folders / "room")
    printed = run(*words, "-o", folders / "new", "--target-fa-per-hour", 100)
    assert "recommended" in printed
    assert "too short" not in run(*words, "--target-fa-per-hour", 10_000)
    assert max(map(len, printed.split("Note:")[0].splitlines())) <= 80
    assert {path.name: path.read_bytes() for path in (folders / "pack").iterdir()} == before
    old, new = packs.load(folders / "pack"), packs.load(folders / "new")
    packs.verify(folders / "new")
    assert new.name == "new"
    assert set(new.detector["thresholds"]) == {"yes", "no"}
    assert set(new.detector["thresholds"].values()) <= set(TRIED)
    assert {**new.detector, "thresholds": {}} == {**old.detector, "thresholds": {}}
    assert new.manifest["tuning"]["command"].startswith("kws-stream tune")
    assert list(new.manifest["metrics"]) == ["accuracy"]  # streams were heard with other thresholds
    figures = json.loads(run(*words, "--target-fa-per-hour", 100, "--json"))
    assert figures["recommended"]["thresholds"] == new.detector["thresholds"]
    assert figures["recommended"]["words"] == 6
    assert figures["hours"] > figures["recommended"]["false_accepts"] / 100 or figures["target_met"]


def test_an_existing_folder_is_refused_before_the_work(folders: Path) -> None:
    done = CliRunner().invoke(
        main, ["tune", str(folders / "pack"), str(folders / "room"), "-o", str(folders / "pack")]
    )
    assert done.exit_code == 1
    assert "exists" in done.output
    with pytest.raises(PackError, match="exists"):
        packs.save_copy(folders / "pack", folders / "pack")


@pytest.mark.parametrize(
    "words", [[], ["--split", "validation", "x.wav"], ["x.wav", "--target-fa-per-hour", "0"]]
)
def test_options_that_make_no_sense_are_wrong_usage(words: list[str]) -> None:
    assert CliRunner().invoke(main, ["tune", "yes-4", *words]).exit_code == 2
