"""The second stage: what the network triggered on is confirmed by the verifier, or rejected.

A trigger at time t is judged at the steps of the verifier's grid (80 ms) from t to 0.5 s after it,
each with the last 2 s of sound, and is confirmed at the first whose score reaches the threshold. So
an event comes up to 0.5 s after its trigger, and what it says depends on the stream alone.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.verifier.embedding import STEP
from kws_stream.verifier.track import Track

WAIT_S = 0.5
KEPT_S = 3.0  # of sound; blocks of 2 s, and the wait


def steps_of(trigger: WakeEvent) -> range:
    """The steps at which a trigger is judged."""
    sample = round(trigger.time_s * SAMPLE_RATE_HZ)
    return range(-(-sample // STEP), (sample + round(WAIT_S * SAMPLE_RATE_HZ)) // STEP + 1)


def confirmed(trigger: WakeEvent, step: int, score: float, index: int) -> WakeEvent:
    """The event of a trigger that a step confirms."""
    return replace(
        trigger,
        index=index,
        verifier_score=score,
        confirmed_s=round(step * STEP / SAMPLE_RATE_HZ, 6),
    )


def judge(trigger: WakeEvent, track: Track, threshold: float) -> WakeEvent | None:
    """The event of a trigger, or None where the verifier rejects it.

    The track must have heard the last of its steps.
    """
    for step in steps_of(trigger):
        score = track.score(step)
        if score >= threshold:
            return confirmed(trigger, step, score, trigger.index)
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

    def process(
        self, samples: NDArray[np.int16], triggers: Sequence[WakeEvent], heard: int
    ) -> list[WakeEvent]:
        """Events that are confirmed by now, in the order of their confirmation.

        samples: the next ones (n,), int16. triggers: what the first stage made of them. heard:
        samples of the stream that it has judged, the end of its last frame.
        """
        self._track.add(samples)
        self._waiting += [_Waiting(trigger, list(steps_of(trigger))) for trigger in triggers]
        if not self._waiting:
            return []
        return self._judge(heard // STEP)

    def finish(self) -> list[WakeEvent]:
        """The stream is over: what still waits is judged as if silence followed."""
        if not self._waiting:
            return []
        last = max(one.steps[-1] for one in self._waiting)
        self._track.add(np.zeros((last - self._track.step) * STEP, np.int16))
        return self._judge(last)

    def _judge(self, until: int) -> list[WakeEvent]:
        began = time.thread_time()
        found: list[tuple[int, WakeEvent, float]] = []
        for one in self._waiting:
            while one.steps and one.steps[0] <= until:
                step = one.steps.pop(0)
                score = self._track.score(step)
                if score >= self.threshold:
                    found.append((step, one.trigger, score))
                    one.steps.clear()
        self.decisions += sum(not one.steps for one in self._waiting)
        self._waiting = [one for one in self._waiting if one.steps]
        found.sort(key=lambda each: each[0])
        events = [
            confirmed(trigger, step, score, self._events + row)
            for row, (step, trigger, score) in enumerate(found)
        ]
        self._events += len(events)
        self.cpu_s += time.thread_time() - began
        return events
