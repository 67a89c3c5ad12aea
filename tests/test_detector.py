"""The detector: equal to its oracle for any split, and each of its rules by itself."""

import dataclasses
import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream.detector import (
    Detector,
    DetectorSettings,
    WakeEvent,
    score_code,
    score_codes,
    softmax,
)
from kws_stream.errors import ParameterError
from tests.reference import detector as oracle
from tests.strategies import splits

CLASSES = ("other", "yes", "no")
KEYWORDS = ("yes", "no")
FRAME_S = 0.01

# every rule off: a keyword fires on the frame whose own score reaches 0.6, and re-arms below 0.4
BARE: dict[str, Any] = {
    "window_s": 0.0,
    "threshold": 0.6,
    "rearm": 0.4,
    "refractory_s": 0.0,
    "warmup_s": 0.0,
    "onset_s": 0.0,
}


def build(classes: tuple[str, ...] = CLASSES, **changes: Any) -> Detector:
    keywords = tuple(name for name in classes if name in KEYWORDS)
    return Detector(DetectorSettings(**BARE | changes), classes, keywords, FRAME_S)


def logits(*scores: tuple[float, float, float]) -> np.ndarray:
    """Logits whose softmax is, to rounding, these scores of CLASSES."""
    return np.log(np.array(scores).reshape(-1, 3))


def frames_of(events: list[WakeEvent]) -> list[tuple[str, int]]:
    """Keyword and 1-based frame of each event."""
    return [(event.keyword, round(event.time_s / FRAME_S)) for event in events]


QUIET, YES, NO = (0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.2, 0.1, 0.7)
UNSURE = (0.25, 0.5, 0.25)  # yes leads, below its threshold and above its re-arming level


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.data())
def test_equals_the_oracle_in_every_bit_for_any_split(data: st.DataObject) -> None:
    draw = data.draw
    classes = tuple("abcdefghijkl"[: draw(st.sampled_from([2, 3, 12]))])
    keywords = tuple(draw(st.sets(st.sampled_from(classes)).map(sorted)))
    frame_s = draw(st.sampled_from([0.01, 0.02]))
    # equal, extreme and changing logits on a grid; scores hit 1/2, 1/3 and the thresholds often
    levels = st.sampled_from([0.0, 0.0, 1.0, 2.0, -3.0, 30.0, -(2.0**40), 2.0**40])
    levels = st.one_of(levels, st.integers(-512, 512).map(lambda steps: steps / 64))
    row = st.lists(levels, min_size=len(classes), max_size=len(classes))
    rows = draw(st.lists(st.tuples(row, st.integers(1, 4)), max_size=10))
    array = np.array([r for r, times in rows for _ in range(times)]).reshape(-1, len(classes))

    seen = [0.0, 0.5, 1.0]
    for values in array:
        seen += softmax(values.tolist())
    score = st.sampled_from(seen)
    seconds = st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.1])
    given_settings = DetectorSettings(
        window_s=draw(seconds),
        threshold=draw(score),
        thresholds={name: draw(score) for name in keywords if draw(st.booleans())},
        rearm=draw(score),
        refractory_s=draw(seconds),
        warmup_s=draw(seconds),
        onset_s=draw(seconds),
    )
    expected, scores = oracle.run(array, given_settings, classes, keywords, frame_s)

    detector = Detector(given_settings, classes, keywords, frame_s)
    for _ in range(2):  # the second time after a reset
        events, smoothed = [], []
        for part in draw(splits(len(array))):
            events += detector.process(array[part])
            if part.stop > part.start:
                smoothed.append((part.stop - 1, detector.smoothed))
        assert [event.as_dict() for event in events] == expected
        assert all(got == scores[at] for at, got in smoothed)
        detector.reset()
        assert detector.smoothed == [1 / len(classes)] * len(classes)

    judged: list[WakeEvent] = []
    for part in draw(splits(len(array))):
        judged += detector.judge(np.array(scores).reshape(-1, len(classes))[part])
    assert [event.as_dict() for event in judged] == expected
    if scores:
        assert detector.smoothed == scores[-1]


@pytest.mark.parametrize("classes", [1, 2, 12])
def test_scores_are_a_softmax_on_a_grid(classes: int) -> None:
    rng = np.random.default_rng(0)
    for spread in (0.001, 0.1, 5.0, 30.0):
        values = rng.normal(0, spread, classes)
        exponentials = [math.exp(value) for value in values]
        expected = [value / sum(exponentials) for value in exponentials]
        got = softmax(values.tolist())
        np.testing.assert_allclose(got, expected, rtol=0, atol=(classes + 1) * 2.0**-24)
        assert sum(got) == 1
        assert all((score * 2**24).is_integer() for score in got)
    equal = 2**24 // classes / 2**24
    assert softmax([1e308] * classes)[1:] == [equal] * (classes - 1)
    assert softmax([1e308] * classes)[0] == 1 - equal * (classes - 1)


def test_a_keyword_fires_on_the_frame_that_reaches_its_threshold() -> None:
    events = build().process(logits(QUIET, UNSURE, YES, YES))
    assert frames_of(events) == [("yes", 3)]
    assert events[0].score == softmax(logits(YES)[0].tolist())[1]
    assert events[0].index == 0


def test_a_tie_with_the_threshold_fires() -> None:
    score = softmax(logits(YES)[0].tolist())[1]
    assert frames_of(build(threshold=score).process(logits(YES))) == [("yes", 1)]
    assert build(threshold=math.nextafter(score, 1)).process(logits(YES)) == []


def test_of_equal_scores_the_first_class_leads() -> None:
    tie = np.zeros((1, 2))
    assert build(("other", "yes"), threshold=0.5).process(tie) == []
    assert frames_of(build(("yes", "other"), threshold=0.5).process(tie)) == [("yes", 1)]


def test_a_class_that_is_no_keyword_never_fires_and_holds_others_back() -> None:
    detector = build(threshold=0.3)
    assert detector.process(logits((1.0 - 1e-9, 5e-10, 5e-10), (0.6, 0.35, 0.05))) == []
    assert frames_of(detector.process(logits((0.3, 0.4, 0.3)))) == [("yes", 3)]


def test_each_keyword_has_its_own_threshold() -> None:
    detector = build(thresholds={"no": 0.75})
    assert detector.thresholds == {"yes": 0.6, "no": 0.75}
    assert frames_of(detector.process(logits(NO, QUIET, YES, (0.1, 0.1, 0.8)))) == [
        ("yes", 3),
        ("no", 4),
    ]


def test_thresholds_that_are_set_later_leave_those_set_before() -> None:
    detector = build(thresholds={"no": 0.75})
    detector.set_thresholds({"yes": 0.9})
    assert detector.thresholds == {"yes": 0.9, "no": 0.75}
    detector.set_thresholds({"NO": 0.5})
    assert detector.thresholds == {"yes": 0.9, "no": 0.5}
    assert frames_of(detector.process(logits(YES, QUIET, NO))) == [("no", 3)]
    detector.set_thresholds({})
    assert detector.thresholds == {"yes": 0.9, "no": 0.5}


def test_a_level_between_two_scores_of_the_grid_is_the_upper_one() -> None:
    """A score reaches a level of 0.3 from the first multiple of 2^-24 that is not below it on."""
    assert score_code(0.3) == math.floor(0.3 * 2**24) + 1
    assert score_code(0.5) == 2**23
    assert score_code(math.inf) == 2**25
    detector = build(threshold=0.3, rearm=0.2, thresholds={"no": 0.5})
    codes = [(1, score_code(0.3), score_code(0.2)), (2, 2**23, score_code(0.2))]
    # a leader of three has a third: that is how low a threshold acts when it arms again
    assert detector.level_codes == codes


def test_a_keyword_fires_again_only_after_its_score_has_fallen() -> None:
    held = build().process(logits(YES, UNSURE, YES, UNSURE, YES))
    assert frames_of(held) == [("yes", 1)]
    fallen = build().process(logits(YES, UNSURE, YES, QUIET, YES))
    assert frames_of(fallen) == [("yes", 1), ("yes", 5)]
    assert [event.index for event in fallen] == [0, 1]


def test_a_tie_with_the_rearming_level_does_not_rearm() -> None:
    low = softmax(logits(QUIET)[0].tolist())[1]
    rows = logits(YES, QUIET, YES)
    assert frames_of(build(rearm=low).process(rows)) == [("yes", 1)]
    assert frames_of(build(rearm=math.nextafter(low, 1)).process(rows)) == [("yes", 1), ("yes", 3)]


def test_a_held_score_fires_once_even_below_the_rearming_level() -> None:
    detector = build(threshold=0.45, rearm=0.9)
    assert frames_of(detector.process(logits(*[UNSURE] * 50))) == [("yes", 1)]
    assert frames_of(detector.process(logits(QUIET, UNSURE))) == [("yes", 52)]


def test_a_rearming_level_of_one_leaves_the_refractory_time_alone_to_hold_a_keyword_back() -> None:
    detector = build(rearm=1.0, refractory_s=0.03)
    certain = np.tile([0.0, 1000.0, 0.0], (7, 1))  # a score of exactly 1
    assert frames_of(detector.process(certain)) == [("yes", 1), ("yes", 4), ("yes", 7)]


def test_a_keyword_is_silent_for_its_refractory_time_and_others_are_not() -> None:
    detector = build(refractory_s=0.05)
    rows = logits(YES, QUIET, YES, QUIET, NO, YES, QUIET)
    assert frames_of(detector.process(rows)) == [("yes", 1), ("no", 5), ("yes", 6)]
    late = build(refractory_s=0.06).process(rows)
    assert frames_of(late) == [("yes", 1), ("no", 5)]


def test_different_keywords_back_to_back_both_fire() -> None:
    detector = build(refractory_s=1.0)
    assert frames_of(detector.process(logits(YES, NO))) == [("yes", 1), ("no", 2)]


def test_nothing_fires_in_the_warm_up_after_the_start_and_after_a_reset() -> None:
    detector = build(warmup_s=0.03)
    for _ in range(2):
        events = detector.process(logits(YES, QUIET, YES, QUIET, NO))
        assert frames_of(events) == [("no", 5)]
        detector.reset()
    held = build(warmup_s=0.03).process(logits(YES, YES, YES, YES))
    assert frames_of(held) == [("yes", 4)]  # still there when the warm-up ends


@pytest.mark.parametrize("threshold", [0.0, 1e-9, 0.2])
def test_a_threshold_that_is_always_reached_fires_once_each_time_a_keyword_leads(
    threshold: float,
) -> None:
    """A re-arming level cut to 0 would never be undercut: one event, and then none for ever."""
    detector = build(window_s=0, threshold=threshold, rearm=0.3, refractory_s=0)
    rows = logits(YES, YES, QUIET, YES, YES, QUIET, YES)
    assert frames_of(detector.process(rows)) == [("yes", 1), ("yes", 4), ("yes", 7)]


def test_nothing_fires_in_the_first_third_of_a_window() -> None:
    """However short the warm-up is: one frame is no evidence of a word."""
    detector = build(window_s=0.09)
    for _ in range(2):
        assert frames_of(detector.process(logits(*[YES] * 6))) == [("yes", 4)]
        detector.reset()


def test_scores_are_of_the_mean_logits_of_the_window() -> None:
    detector = build(window_s=0.03)
    rows = np.array([[0.0, 3.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0, 6.0, 0.0]])
    means = [rows[:1], rows[:2], rows[:3], rows[1:]]
    for row, mean in zip(rows, means, strict=True):
        detector.process(row[None])
        np.testing.assert_allclose(
            detector.smoothed, softmax(mean.mean(axis=0).tolist()), rtol=1e-15
        )


def test_start_is_the_onset_before_the_rise_and_never_before_the_stream() -> None:
    rows = logits(*[QUIET] * 40, UNSURE, UNSURE, YES)
    (event,) = build(onset_s=0.25).process(rows)
    assert (event.time_s, event.start_s) == (0.43, 0.15)
    (event,) = build(onset_s=0.5).process(rows)
    assert event.start_s == 0.0


def test_times_do_not_gather_rounding_errors() -> None:
    detector = build()
    detector.process(np.tile(logits(QUIET), (12_345, 1)))
    (event,) = detector.process(logits(YES))
    assert event.time_s == 123.46


def test_logits_are_not_kept_and_not_changed() -> None:
    rows = logits(*[UNSURE] * 3)
    given_rows = rows.copy()
    detector = build(window_s=0.03)
    detector.process(rows)
    assert (rows == given_rows).all()
    before = detector.smoothed.copy()
    rows[:] = 50.0
    detector.process(logits(UNSURE))
    np.testing.assert_allclose(detector.smoothed, before, rtol=1e-15)


def test_an_event_is_json() -> None:
    (event,) = build().process(logits(YES))
    fields = json.loads(json.dumps(event.as_dict()))
    assert WakeEvent(**fields) == event
    assert list(fields) == ["keyword", "time_s", "score", "start_s", "index"]


def test_settings_survive_a_manifest() -> None:
    given_settings = DetectorSettings(window_s=0.6, thresholds={"yes": 0.7}, rearm=0.25)
    stored = json.loads(json.dumps(given_settings.as_dict()))
    assert DetectorSettings.from_dict(stored) == given_settings
    assert DetectorSettings.from_dict({}) == DetectorSettings()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"treshold": 0.5}, "treshold"),
        ({"threshold": "0.5"}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"threshold": 1.01}, "threshold"),
        ({"threshold": math.nan}, "threshold"),
        ({"rearm": -0.1}, "rearm"),
        ({"window_s": -1}, "window_s"),
        ({"refractory_s": math.inf}, "refractory_s"),
        ({"warmup_s": 1e9}, "warmup_s"),
        ({"onset_s": None}, "onset_s"),
        ({"thresholds": [0.5]}, "thresholds"),
        ({"thresholds": {"yes": 2}}, "threshold of yes"),
        ({"thresholds": {"yes": "high"}}, "threshold of yes"),
        ({"thresholds": {"yes_s": 2}}, "threshold of yes_s"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        DetectorSettings.from_dict(values)


def test_a_setting_that_a_manifest_leaves_out_is_what_it_always_was() -> None:
    assert DetectorSettings.from_dict({}) == DetectorSettings(
        window_s=0.3,
        threshold=0.5,
        thresholds={},
        rearm=0.3,
        refractory_s=0.5,
        warmup_s=0.1,
        onset_s=0.3,
    )


def test_times_go_up_to_an_hour_and_scores_to_one() -> None:
    for name in ("window_s", "refractory_s", "warmup_s", "onset_s"):
        assert getattr(DetectorSettings(**{name: 3600.0}), name) == 3600.0
        with pytest.raises(ParameterError, match=rf"{name}: need 0 to 3600, got 3600.5"):
            DetectorSettings(**{name: 3600.5})
    assert DetectorSettings(threshold=1.0, rearm=1.0, thresholds={"yes": 1.0}).rearm == 1.0


def test_a_threshold_of_an_unknown_keyword_is_refused_and_the_keywords_are_listed() -> None:
    for name in ("maybe", "other"):
        with pytest.raises(ParameterError, match=rf"{name}.*yes, no"):
            build(thresholds={name: 0.5})


def test_powers_of_two_are_rounded_half_up_as_documented() -> None:
    """Equations (2a) to (2c) of docs/detector.md, step by step, for two classes."""
    for sums in ([-12482594, 67629501], [0, 1 << 26], [3 << 24, -(1 << 25)], [12345678, 0]):
        powers = []
        for value in sums:
            x = (max(sums) - value) * 1549082005 // 2**32
            power = Fraction(2**30)
            for bits in (6, 12, 18, 24):
                i = x >> 24 - bits & 63
                factor = round(2.0 ** (30 - i / 2**bits))
                power = Fraction(math.floor(power * factor / 2**30 + Fraction(1, 2)))
            powers.append(int(power) >> (x >> 24))
        codes = [2**24 * power // sum(powers) for power in powers]
        codes[powers.index(max(powers))] += 2**24 - sum(codes)
        assert score_codes(sums, 1) == codes


def test_an_event_is_known_when_its_verifier_has_confirmed_it() -> None:
    event = WakeEvent("yes", 1.5, 0.75, 1.0, 0)
    assert event.known_s == 1.5
    assert dataclasses.replace(event, verifier_score=0.5, confirmed_s=1.75).known_s == 1.75
