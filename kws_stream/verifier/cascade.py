"""The second stage: what the network triggered on is confirmed by the verifier, or rejected.

A trigger is judged at some steps of the verifier's grid, from the trigger to 0.5 s after it, and is
confirmed at the first whose score reaches the threshold. So an event comes up to 0.5 s after its
trigger, and what it says depends on the stream alone.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kws_stream.detector import WakeEvent
from kws_stream.engine.stages import Frames

WAIT_S = 0.5
KEPT_S = 3.0  # of sound; blocks of 2 s, and the wait


def wait_frames(frame_s: float) -> int:
    """Frames of silence behind a stream in which what triggered in it is still judged."""
    return round(WAIT_S / frame_s) + 1


class Track(Protocol):
    """The last seconds of a stream, and the verifier's scores at the steps of its grid."""

    @property
    def step(self) -> int: ...  # the last that is complete

    def step_at(self, samples: int) -> int: ...

    def time_s(self, step: int) -> float: ...

    def steps_of(self, trigger: WakeEvent) -> Sequence[int]: ...

    def add(self, pcm: NDArray[np.int16], frames: Frames) -> None: ...

    def score(self, step: int, keyword: str) -> float: ...

    def reset(self) -> None: ...

    def twin(self) -> "Track": ...


def confirmed(trigger: WakeEvent, time_s: float, score: float, index: int) -> WakeEvent:
    """The event of a trigger that a step confirms at that time."""
    return replace(trigger, index=index, verifier_score=score, confirmed_s=time_s)


def judge(trigger: WakeEvent, track: Track, threshold: float) -> WakeEvent | None:
    """The event of a trigger, or None where the verifier rejects it.

    The track must have heard the last of its steps.
    """
    for step in track.steps_of(trigger):
        score = track.score(step, trigger.keyword)
        if score >= threshold:
            return confirmed(trigger, track.time_s(step), score, trigger.index)
    return None


@dataclass
class _Waiting:
    trigger: WakeEvent
    steps: list[int]


class Cascade:
    """Triggers and samples in, confirmed events out.

    decisions: triggers that were judged; cpu_s: time of the thread that it took.
    """

    def __init__(self, track: Track, threshold: float) -> None:
        self._track = track
        self.threshold = threshold
        self.reset()

    def twin(self) -> "Cascade":
        """Another stream that goes on from where this one is, with its counts."""
        other = copy.copy(self)
        other._track = self._track.twin()
        other._waiting = [_Waiting(one.trigger, [*one.steps]) for one in self._waiting]
        return other

    def reset(self, keep_counts: bool = False) -> None:
        """A new stream begins; keep_counts: but `decisions` and `cpu_s` go on."""
        if not keep_counts:
            self.decisions = 0
            self.cpu_s = 0.0
        self._track.reset()
        self._waiting: list[_Waiting] = []
        self._events = 0

    @property
    def waiting(self) -> bool:
        """Whether a trigger waits for more sound."""
        return bool(self._waiting)

    def process(
        self,
        samples: NDArray[np.int16],
        frames: Frames,
        triggers: Sequence[WakeEvent],
        heard: int,
    ) -> list[WakeEvent]:
        """Events that are confirmed by now, in the order of their confirmation.

        samples: the next ones (n,), int16; frames: those that they complete, as far as the track
        wants them. triggers: what the first stage made of them. heard: samples of the stream that
        it has judged, the end of its last frame.
        """
        self._track.add(samples, frames)
        self._waiting += [_Waiting(one, [*self._track.steps_of(one)]) for one in triggers]
        if not self._waiting:
            return []
        return self._judge(self._track.step_at(heard))

    def _judge(self, until: int) -> list[WakeEvent]:
        began = time.thread_time()
        found: list[tuple[int, WakeEvent, float]] = []
        for one in self._waiting:
            while one.steps and one.steps[0] <= until:
                step = one.steps.pop(0)
                score = self._track.score(step, one.trigger.keyword)
                if score >= self.threshold:
                    found.append((step, one.trigger, score))
                    one.steps.clear()
        self.decisions += sum(not one.steps for one in self._waiting)
        self._waiting = [one for one in self._waiting if one.steps]
        found.sort(key=lambda each: each[0])
        events = [
            confirmed(trigger, self._track.time_s(step), score, self._events + row)
            for row, (step, trigger, score) in enumerate(found)
        ]
        self._events += len(events)
        self.cpu_s += time.thread_time() - began
        return events
