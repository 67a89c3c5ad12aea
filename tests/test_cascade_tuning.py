"""Both thresholds of a cascade: no other pair is better, and the figures are the pack's own."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import packs
from kws_stream.cli import main
from kws_stream.detector import WakeEvent
from kws_stream.evaluation import evaluate_streams, streams_of, tune
from kws_stream.evaluation.cascade_tuning import search, staircase, tail_threshold
from kws_stream.evaluation.streams import Word, score_stream
from kws_stream.evaluation.tuning import TRIED, choose_thresholds
from kws_stream.verifier import HostVerifier, McuVerifier, SpeechEmbedding
from kws_stream.workers import Workers
from tests.tiny_network import mcu_pack, random_network
from tests.tiny_verifier import tiny_graphs, tiny_head

times = st.integers(0, 60).map(lambda tenths: tenths / 10)
scores = st.integers(0, 8).map(lambda eighths: eighths / 8)
triggers = st.lists(st.tuples(times, st.sampled_from("ab"), scores), max_size=12)
words = st.lists(st.tuples(times, st.sampled_from("ab")), max_size=5)


def scored(drawn: list[tuple[float, str, float]]) -> list[tuple[WakeEvent, float]]:
    return [(WakeEvent(name, time, 0.5, 0.0, 0), score) for time, name, score in sorted(drawn)]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(spoken=words, drawn=triggers, threshold=st.integers(0, 9).map(lambda n: n / 8 - 1 / 16))
def test_a_staircase_counts_what_the_stream_counts(
    spoken: list[tuple[float, str]], drawn: list[tuple[float, str, float]], threshold: float
) -> None:
    said = [Word(name, start, start + 0.7) for start, name in spoken]
    every = scored(drawn)
    for name in "ab":
        stairs = staircase([(said, every), (said, [])], name, 2.0)
        events = [event for event, score in every if score >= threshold and event.keyword == name]
        own = [word for word in said if word.word == name]
        wanted = score_stream(own, events, "ab")
        found = stairs.at(threshold)
        assert (found.hits, found.false_accepts) == (wanted.hits, len(wanted.false_accepts))
        assert (found.hours, found.words) == (2.0, 2 * len(own))
        assert stairs.triggers == sum(event.keyword == name for event, _ in every)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(spoken=words, rows=st.lists(triggers, min_size=1, max_size=3), allowed=st.integers(0, 6))
def test_no_pair_of_thresholds_within_the_target_is_better(
    spoken: list[tuple[float, str]], rows: list[list[tuple[float, str, float]]], allowed: int
) -> None:
    said = [Word(name, start, start + 0.7) for start, name in spoken]
    stairs = [
        {name: staircase([(said, scored(drawn))], name, 1.0) for name in "ab"} for drawn in rows
    ]

    def outcome(choice: tuple[int, ...], threshold: float) -> tuple[int, int]:
        found = [stairs[row][name].at(threshold) for row, name in zip(choice, "ab", strict=True)]
        return sum(c.words - c.hits for c in found), sum(c.false_accepts for c in found)

    every = [
        outcome(choice, eighths / 8)
        for choice in itertools.product(range(len(rows)), repeat=2)
        for eighths in range(9)
    ]
    possible = [found for found in every if found[1] <= allowed]
    best = search(stairs, allowed, choose_thresholds)
    if possible:  # not where a score of 1, which every threshold confirms, is one too many
        assert outcome((best.rows["a"], best.rows["b"]), best.verifier_threshold) == min(possible)
    assert 0 <= best.verifier_threshold <= 1


def test_a_tail_of_false_accepts_is_drawn_out_to_the_target() -> None:
    # thirty false accepts at 0.1, 0.2, ..., 3.0 units of log odds in two hours: the twentieth
    # from above is at 1.1, and their rate is 30.89 in two hours at most (Garwood, 1936)
    every = [
        (WakeEvent("a", 10.0 * number, 0.5, 0.0, 0), 0.5 + number / 160) for number in range(1, 31)
    ]
    stair = staircase([([], every)], "a", 2.0)

    def raised(score: float, units: float) -> float:
        return score + units / 16

    wanted = 0.5 + (1.1 + math.log(30.888 / 2 / 0.3)) / 16
    assert tail_threshold(stair, 0.3, raised) == pytest.approx(wanted, abs=1e-5)
    assert tail_threshold(stair, 100.0, raised) == 0.5 + 1.1 / 16  # never lowered
    few = staircase([([], every[:5])], "a", 2.0)  # all of them count, from the lowest
    wanted = 0.5 + (0.1 + math.log(11.668 / 2 / 0.3)) / 16
    assert tail_threshold(few, 0.3, raised) == pytest.approx(wanted, abs=1e-5)
    assert tail_threshold(staircase([([], [])], "a", 2.0), 0.3, raised) == 0.5
    low = [(event, score - 0.4) for event, score in every]
    assert tail_threshold(staircase([([], low)], "a", 2.0), 0.3, raised) == 0.5  # no less


def test_a_tail_that_asks_for_more_gives_up_four_words_in_a_hundred() -> None:
    words = [Word("a", 10.0 * n, 10.0 * n + 0.5) for n in range(100)]
    # each word is confirmed with a score of its own, from 0.505 up to 0.604 and five of 0.9
    scores = [0.9] * 5 + [0.505 + 0.001 * n for n in range(95)]
    spoken = [
        (WakeEvent("a", word.end_s, 0.5, 0.0, 0), score)
        for word, score in zip(words, scores, strict=True)
    ]
    false = [(WakeEvent("a", 10.0 * n, 0.5, 0.0, 0), 0.7 + 0.001 * n) for n in range(15)]
    stair = staircase([(words, spoken), ([], false)], "a", 1.0)

    def raised(score: float, units: float) -> float:
        return score + units / 16

    threshold = tail_threshold(stair, 0.3, raised)
    assert threshold == pytest.approx(0.508, abs=0.0011)
    assert stair.at(threshold).hits == 96
    assert stair.at(0).hits == 100
    # without words it is the estimate alone, and where few are lost too
    alone = tail_threshold(staircase([([], false)], "a", 1.0), 0.3, raised)
    assert alone > 0.9
    high = [(event, 0.99) for event, _ in spoken]
    assert tail_threshold(staircase([(words, high), ([], false)], "a", 1.0), 0.3, raised) == alone


def test_a_score_is_raised_by_units_of_its_log_odds() -> None:
    host = HostVerifier(SpeechEmbedding(tiny_graphs()), tiny_head(), 0.5)
    assert host.raised(0.5, math.log(9)) == pytest.approx(0.9)
    assert host.raised(0.9, -math.log(9)) == pytest.approx(0.5)
    assert 0.99 < host.raised(1.0, 5.0) <= 1
    network = random_network(np.random.default_rng(0))
    mcu = McuVerifier(network, 0.5, ("one", "two"), 320, 64.0)
    assert mcu.raised(0.5, 2.0) == 0.625
    assert mcu.raised(0.75, 8.0) == 1.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pack that triggers all the time, and a recording of changing sound with two labels."""
    rng = np.random.default_rng(0)
    t = np.arange(16_000 * 12) / 16_000
    tone = np.sin(2 * np.pi * (300 + 2000 * np.sin(2 * np.pi * 0.7 * t) ** 2) * t)
    sound = tone * np.sin(2 * np.pi * 1.3 * t) ** 2 * 0.2 + rng.standard_normal(len(t)) * 0.02
    soundfile.write(tmp_path / "a.wav", sound, 16_000)
    words = [{"word": "yes", "start_s": at, "end_s": at + 0.6} for at in (3.0, 5.5, 8.0, 10.1)]
    (tmp_path / "a.json").write_text(json.dumps({"words": words}))
    mcu_pack(tmp_path / "pack", 0.6)
    return tmp_path


def test_figures_are_those_of_the_tuned_pack_itself(folder: Path) -> None:
    pack = packs.load(folder / "pack")
    with Workers(1) as here:
        tuning = tune(streams_of([folder / "a.wav"]), pack, 1000, workers=here)
        assert pack.verifier is not None
        verifier = {
            **pack.manifest["verifier"],
            "threshold": tuning.recommended_verifier_threshold,
        }
        detector = pack.detector | {"thresholds": dict(tuning.recommended.thresholds)}
        copy = packs.save_copy(
            folder / "pack", folder / "new", verifier=verifier, detector=detector
        )
        result = evaluate_streams(streams_of([folder / "a.wav"]), copy, workers=here)
        assert result.point.per_keyword == tuning.recommended.per_keyword
        assert result.triggers_per_hour == pytest.approx(tuning.recommended_triggers_per_hour)
        assert tuning.met
        assert 0 < tuning.recommended.counts.hits <= tuning.recommended.counts.words == 4
        assert len(tuning.cascade) == len(TRIED)
        for point in tuning.cascade[::25]:
            data = replace(pack.verifier, threshold=point.verifier_threshold)
            own = pack.detector | {"threshold": point.threshold}
            alone = replace(pack, verifier=data, detector=own)
            found = evaluate_streams(streams_of([folder / "a.wav"]), alone, workers=here)
            assert (found.point.hits, found.point.false_accepts) == (
                point.counts.hits,
                point.counts.false_accepts,
            )
            assert found.triggers_per_hour == pytest.approx(point.triggers_per_hour)
            assert found.verifier is not None
            assert found.point.false_accepts <= 1000 * tuning.hours


def test_the_command_writes_both_thresholds_and_tells_of_the_power(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    words = ["tune", folder / "pack", folder / "a.wav", "--target-fa-per-hour", 1000, "--jobs", 1]
    drawn = ["-o", folder / "new", "--plot", folder / "x.svg", "--json-file", folder / "x.json"]
    done = CliRunner().invoke(main, [*map(str, words), *map(str, drawn)])
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.split("Note:")[0].splitlines())) <= 80
    figures = json.loads((folder / "x.json").read_text())
    verifier = packs.load(folder / "new").verifier
    assert verifier is not None
    assert verifier.threshold == figures["recommended_verifier_threshold"]
    power = figures["recommended_verifier_nw"]
    assert 0 < power["low"] <= power["typical"] < power["high"]
    assert f"{figures['recommended_triggers_per_hour']:.0f} triggers an hour" in done.stdout
    assert "power of the verifier" in (folder / "x.svg").read_text()
    plain = CliRunner().invoke(main, ["tune", "yes-4", "x.wav", "--plot", str(folder / "y.svg")])
    assert plain.exit_code == 2
    assert "--plot is for a model with a verifier" in plain.output
