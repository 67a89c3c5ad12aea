"""From logits to events: smoothing, thresholds, refractory time, re-arming, warm-up.

Per frame, with W the window in frames:

    smoothed = softmax(mean of the last W logits)

A keyword fires when it is armed, leads all classes, and its smoothed score reaches its threshold.
It is then disarmed until the score has fallen below `rearm` (below its threshold, if that is
lower, but not below 1 / classes, which every leader has), and for `refractory_s` at least. Nothing
fires for the first `warmup_s` after a reset, nor for the first third of a window.

It is defined in integers (docs/detector.md): logits count in units of 2^-26, their sums are exact,
and scores are multiples of 2^-24, the same on every machine and in C.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import instance_of, number_within
from kws_stream.brief import changed
from kws_stream.errors import ParameterError, did_you_mean
from kws_stream.names import by_known_name

Array = NDArray[np.float64]

FINISH_S = (0.5, 2.0)  # of silence, in which the end of a stream is heard out
NEVER = -(2**62)  # a frame before every stream


@dataclass(frozen=True)
class WakeEvent:
    """A detected keyword.

    time_s: end of the frame that fired, in seconds since the spotter was made or reset.
    score: the smoothed score that was compared with the threshold. start_s: estimated start of the
    word on the same clock. index: 0-based count of events since the reset. verifier_score: where a
    verifier confirmed it, the score that did, and confirmed_s when it did, on the same clock.
    """

    keyword: str
    time_s: float
    score: float
    start_s: float
    index: int
    verifier_score: float | None = None
    confirmed_s: float | None = None

    @property
    def known_s(self) -> float:
        """When it could first be told: `confirmed_s`, or without a verifier `time_s`."""
        return self.time_s if self.confirmed_s is None else self.confirmed_s

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what a verifier says is there where one confirmed it."""
        fields = asdict(self)
        if self.confirmed_s is None:
            del fields["verifier_score"], fields["confirmed_s"]
        return fields


def _powers_of_two(step: int) -> list[int]:
    """2^-(i / 2^step) for i = 0 ... 63, in units of 2^-30."""
    return [round(2.0 ** (30 - i / 2**step)) for i in range(64)]


LOGIT_BITS = 26  # after the binary point of a logit; finer ones are rounded down
SCORE_BITS = 24  # of a score
LOGIT_SCALE = 2.0**LOGIT_BITS
LARGEST = 2.0**900
_LOG2_E = 1549082005  # log2(e), in units of 2^-30
_SIXTH, _TWELFTH, _EIGHTEENTH, _LAST = (_powers_of_two(step) for step in (6, 12, 18, 24))
_HALF = 1 << 29
ONE = 1 << 30


def score_codes(sums: Sequence[int], count: int) -> list[int]:
    """Posteriors, in units of 2^-24, of logits whose sums over `count` frames are in 2^-26.

    Equations (2) to (4) of docs/detector.md, in integers, the same as kws_detector.c.
    """
    top = max(sums)
    too_far = count << LOGIT_BITS + 5  # e^-32 < 2^-46
    powers = []
    for value in sums:
        distance = top - value
        if not distance:
            powers.append(ONE)
            continue
        if distance >= too_far:
            powers.append(0)
            continue
        exponent = distance // count * _LOG2_E >> 32
        power = _SIXTH[exponent >> 18 & 63]
        power = (power * _TWELFTH[exponent >> 12 & 63] + _HALF) >> 30
        power = (power * _EIGHTEENTH[exponent >> 6 & 63] + _HALF) >> 30
        power = (power * _LAST[exponent & 63] + _HALF) >> 30
        powers.append(power >> (exponent >> 24))
    total = sum(powers)
    codes = [(power << SCORE_BITS) // total for power in powers]
    # what rounding down has left goes to the leader, the first of equal ones: the sum is 1
    codes[powers.index(max(powers))] += (1 << SCORE_BITS) - sum(codes)
    return codes


def logit_codes(logits: Array) -> list[list[int]]:
    """Logits (t, K) in units of 2^-26, rounded down; those of shipped models are whole.

    Beyond 2^900 they are cut, so that all finite numbers have a code.
    """
    rows: list[list[float]] = logits.tolist()  # a few numbers: quicker than calls of NumPy
    return [
        [
            math.floor((v if -LARGEST < v < LARGEST else math.copysign(LARGEST, v)) * LOGIT_SCALE)
            for v in row
        ]
        for row in rows
    ]


def _scores(sums: Sequence[int], count: int) -> list[float]:
    return [code * _SCORE_UNIT for code in score_codes(sums, count)]


_SCORE_UNIT = 2.0**-SCORE_BITS


def score_code(score: float) -> int:
    """The least score, in units of 2^-24, that is not below this one; none reaches infinity."""
    never = 1 << (SCORE_BITS + 1)
    return never if math.isinf(score) else math.ceil(score * (1 << SCORE_BITS))


def softmax(logits: Sequence[float]) -> list[float]:
    """Posteriors of K logits: multiples of 2^-24, within K · 2^-24 of softmax in real numbers."""
    return _scores(logit_codes(np.array([logits], np.float64))[0], 1)


def _setting(value: object, name: str, high: float) -> float:
    """A setting as a number that JSON can hold; Python's own numbers stay as they are written."""
    number = number_within(value, f"detector {name}", 0, high)
    return value if type(value) is int else number


@dataclass(frozen=True)
class DetectorSettings:
    """window_s: length of the smoothing window. rearm: score below which a keyword may fire again,
    cut to its threshold; 1 keeps keywords armed, so that only the refractory time holds them back.

    threshold: for keywords without an entry in thresholds. onset_s: how long before a score's rise
    the word began, on average; it places start_s.
    """

    window_s: float = 0.3
    threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)
    rearm: float = 0.3
    refractory_s: float = 0.5
    warmup_s: float = 0.1
    onset_s: float = 0.3

    __repr__ = changed

    def __post_init__(self) -> None:
        instance_of(self.thresholds, Mapping, "detector thresholds", "keyword: number")
        for name in (f.name for f in fields(self) if f.name != "thresholds"):
            high = 3600.0 if name.endswith("_s") else 1.0
            object.__setattr__(self, name, _setting(getattr(self, name), name, high))
        own = {
            name: _setting(value, f"threshold of {name}", 1.0)
            for name, value in self.thresholds.items()
        }
        object.__setattr__(self, "thresholds", own)

    def window_frames(self, frame_s: float) -> int:
        """W, one frame at least."""
        return max(1, round(self.window_s / frame_s))

    def warmup_frames(self, frame_s: float) -> int:
        """Frames after a reset in which nothing fires: a third of a window at least.

        The mean of a few frames is no evidence of a word yet: one click fires there.
        """
        return max(round(self.warmup_s / frame_s), self.window_frames(frame_s) // 3)

    def rearm_level(self, threshold: float, classes: int) -> float:
        """The score below which a keyword of this threshold may fire again.

        Above its threshold a held score would fire again and again. A leader's score is 1 / classes
        at least, so that is how low a threshold acts: below it a keyword leads no longer.
        """
        if self.rearm == 1:
            return math.inf
        return min(self.rearm, max(threshold, 1 / classes))

    def finish_frames(self, frame_s: float) -> int:
        """Frames of silence behind the end of a stream in which its last word may still fire.

        A window, half a second at least and two seconds at most, and one for the unfinished frame.
        """
        least, most = (round(seconds / frame_s) for seconds in FINISH_S)
        return min(max(self.window_frames(frame_s), least), most) + 1

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DetectorSettings":
        """Settings from a manifest; raises ParameterError for unknown names and wrong values."""
        instance_of(values, Mapping, "detector", "a mapping of settings")
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ParameterError(
                f"detector: unknown settings {unknown}{did_you_mean(str(unknown[0]), known)}"
            )
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """For a manifest; `from_dict` gives it back."""
        return asdict(self) | {"thresholds": dict(self.thresholds)}


class Detector:
    """Streaming detector over the logits of one network."""

    def __init__(
        self,
        settings: DetectorSettings,
        classes: tuple[str, ...],
        keywords: tuple[str, ...],
        frame_s: float,
    ) -> None:
        self._classes = classes
        self._frame_s = frame_s
        self._settings = settings
        self._keywords = keywords
        self.set_thresholds(settings.thresholds)
        self._window = settings.window_frames(frame_s)
        self._warmup = settings.warmup_frames(frame_s)
        self._refractory = round(settings.refractory_s / frame_s)
        self.reset()

    def set_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Other thresholds, from the next frame on; keywords that are not named keep theirs.

        A name in another case or spelling means the keyword that it nearly is (see `names`).
        Raises ParameterError for an unknown keyword or a threshold outside 0..1.
        """
        instance_of(thresholds, Mapping, "detector thresholds", "keyword: number")
        given = by_known_name(thresholds, self._keywords)
        unknown = sorted(set(given) - set(self._keywords))
        if unknown:
            raise ParameterError(
                f"detector: no keyword {', '.join(unknown)} in this model; it has "
                + ", ".join(self._keywords)
                + did_you_mean(unknown[0], self._keywords)
            )
        together = by_known_name(self._settings.thresholds, self._keywords) | given
        settings = self._settings = replace(self._settings, thresholds=together)
        # a class that is no keyword never fires
        self._thresholds = [math.inf] * len(self._classes)
        for name in self._keywords:
            value = settings.thresholds.get(name, settings.threshold)
            self._thresholds[self._classes.index(name)] = value
        self._rearm = [
            (index, settings.rearm_level(threshold, len(self._classes)))
            for index, threshold in enumerate(self._thresholds)
            if threshold <= 1
        ]

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of every keyword."""
        pairs = zip(self._classes, self._thresholds, strict=True)
        return {name: float(value) for name, value in pairs if value <= 1}

    @property
    def finish_frames(self) -> int:
        """As of the settings."""
        return self._settings.finish_frames(self._frame_s)

    @property
    def frames_of_settings(self) -> tuple[int, int, int]:
        """The window, the warm-up and the refractory time, in frames."""
        return self._window, self._warmup, self._refractory

    @property
    def level_codes(self) -> list[tuple[int, int, int]]:
        """Of every keyword its class, its threshold and re-arming level: the least scores, in
        units of 2^-24, that are not below them."""
        return [
            (index, score_code(self._thresholds[index]), score_code(level))
            for index, level in self._rearm
        ]

    def event(self, keyword: int, frame: int, low: int, score: float, index: int) -> WakeEvent:
        """The event of a class that fired at `frame`, its score low for the last time at `low`."""
        start_s = low * self._frame_s - self._settings.onset_s
        return WakeEvent(
            keyword=self._classes[keyword],
            time_s=round(frame * self._frame_s, 6),
            score=score,
            start_s=round(max(0.0, start_s), 6),
            index=index,
        )

    def reset(self) -> None:
        """Back to the start: equal to a new object in every bit."""
        classes = len(self._classes)
        self._recent = [[0] * classes] * self._window
        self._sums = [0] * classes  # of the logits in the window
        self._frames = 0
        self._events = 0
        self._low = [0] * classes  # last frame with a score below the re-arming level
        self._fired = [NEVER] * classes  # last frame at which the class fired
        self.smoothed = [1 / classes] * classes

    def process(self, logits: Array, smoothed: list[list[float]] | None = None) -> list[WakeEvent]:
        """Events of the next frames, from their logits (t, K); appends their scores to smoothed."""
        events = []
        for row in logit_codes(logits):
            slot = self._frames % self._window
            old = self._recent[slot]
            self._sums = [a + b - c for a, b, c in zip(self._sums, row, old, strict=True)]
            self._recent[slot] = row
            scores = _scores(self._sums, min(self._frames + 1, self._window))
            if smoothed is not None:
                smoothed.append(scores)
            event = self._judge_one(scores)
            if event is not None:
                events.append(event)
        return events

    def judge(self, scores: Array) -> list[WakeEvent]:
        """Events of the next frames, from their smoothed scores (t, K): `process` after smoothing.

        Quick for many frames at once, for many detectors with other thresholds over the same
        scores. A detector hears either logits or scores.
        """
        if not len(scores):
            return []
        frames = np.arange(self._frames + 1, self._frames + 1 + len(scores))
        best = scores.argmax(axis=1)  # the first of equal ones, as in `process`
        top = scores.max(axis=1)
        lows = {
            index: np.maximum.accumulate(
                np.where(scores[:, index] < level, frames, self._low[index])
            )
            for index, level in self._rearm
        }
        events = []
        for row in np.flatnonzero(top >= np.array(self._thresholds)[best]).tolist():
            keyword, self._frames = int(best[row]), int(frames[row])
            self._low[keyword] = int(lows[keyword][row])
            if self._may_fire(keyword):
                events.append(self._fire(keyword, float(top[row])))
        self._frames = int(frames[-1])
        for index in lows:
            self._low[index] = int(lows[index][-1])
        self.smoothed = scores[-1].tolist()
        return events

    def _judge_one(self, scores: list[float]) -> WakeEvent | None:
        """The event of the next frame, from its smoothed scores."""
        self.smoothed = scores
        self._frames = frame = self._frames + 1
        for index, level in self._rearm:
            if scores[index] < level:
                self._low[index] = frame
        score = max(scores)
        best = scores.index(score)
        if score >= self._thresholds[best] and self._may_fire(best):
            return self._fire(best, score)
        return None

    def _may_fire(self, keyword: int) -> bool:
        """Whether a keyword that reached its threshold is armed at this frame."""
        fired = self._fired[keyword]
        return (
            self._low[keyword] > fired
            and self._frames > self._warmup
            and self._frames >= fired + self._refractory
        )

    def _fire(self, keyword: int, score: float) -> WakeEvent:
        event = self.event(keyword, self._frames, self._low[keyword], score, self._events)
        self._events += 1
        self._fired[keyword] = self._frames
        return event
