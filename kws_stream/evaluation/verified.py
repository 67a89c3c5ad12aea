"""What a verifier makes of the triggers of many detectors that hear one stream."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kws_stream.detector import WakeEvent
from kws_stream.pipeline import Frames
from kws_stream.verifier import Verifier, judge


class Check:
    """Confirms or rejects triggers as a cascade does; each score is computed once."""

    def __init__(
        self, verifier: Verifier, seconds: float, detectors: int, scores: bool = False
    ) -> None:
        """seconds: how long after its trigger at most a detector tells of it. scores: whether every
        look of every trigger is scored, for `scored`."""
        self._scores = scores
        self.scored: list[list[tuple[WakeEvent, float]]] = [[] for _ in range(detectors)]
        self._track = verifier.track(seconds)
        self._threshold = verifier.threshold
        self._waiting: list[list[WakeEvent]] = [[] for _ in range(detectors)]
        self._events: list[list[WakeEvent]] = [[] for _ in range(detectors)]

    def add(self, samples: NDArray[np.int16], frames: Frames) -> None:
        """The next samples (n,), and the frames that they complete."""
        self._track.add(samples, frames)

    def judge(self, detector: int, triggers: Sequence[WakeEvent]) -> None:
        """New triggers of a detector, by its number; those that need more sound wait for it."""
        waiting = [*self._waiting[detector], *triggers]
        late = [one for one in waiting if self._track.steps_of(one)[-1] > self._track.step]
        for trigger in waiting[: len(waiting) - len(late)]:
            if self._scores:
                looks = self._track.steps_of(trigger)
                best = max(self._track.score(step, trigger.keyword) for step in looks)
                self.scored[detector].append((trigger, best))
            event = judge(trigger, self._track, self._threshold)
            if event is not None:
                self._events[detector].append(event)
        self._waiting[detector] = late

    def finish(self) -> list[list[WakeEvent]]:
        """The stream is over, and the silence behind it heard; the events of each detector, in the
        order of their confirmation."""
        for detector in range(len(self._events)):
            self.judge(detector, [])
        return [
            [replace(event, index=index) for index, event in enumerate(sorted(events, key=_known))]
            for events in self._events
        ]


def _known(event: WakeEvent) -> float:
    return event.known_s
