"""What a verifier makes of the triggers of many detectors that hear one stream."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio import to_int16
from kws_stream.detector import WakeEvent
from kws_stream.verifier import HostVerifier, judge, steps_of
from kws_stream.verifier.embedding import STEP


class Check:
    """Confirms or rejects triggers as a cascade does; each part of the sound is embedded once."""

    def __init__(self, verifier: HostVerifier, seconds: float, detectors: int) -> None:
        """seconds: how long after its trigger at most a detector tells of it."""
        self._track = verifier.track(seconds)
        self._threshold = verifier.threshold
        self._waiting: list[list[WakeEvent]] = [[] for _ in range(detectors)]
        self._events: list[list[WakeEvent]] = [[] for _ in range(detectors)]

    def add(self, samples: NDArray[np.float32]) -> None:
        """The next samples (n,) of the stream."""
        self._track.add(to_int16(samples))

    def judge(self, detector: int, triggers: Sequence[WakeEvent]) -> None:
        """New triggers of a detector, by its number; those that need more sound wait for it."""
        waiting = [*self._waiting[detector], *triggers]
        late = [one for one in waiting if steps_of(one)[-1] > self._track.step]
        for trigger in waiting[: len(waiting) - len(late)]:
            event = judge(trigger, self._track, self._threshold)
            if event is not None:
                self._events[detector].append(event)
        self._waiting[detector] = late

    def finish(self) -> list[list[WakeEvent]]:
        """The stream is over; the events of each detector, in the order of their confirmation."""
        left = [one for waiting in self._waiting for one in waiting]
        missing = max((steps_of(one)[-1] for one in left), default=0) - self._track.step
        if missing > 0:
            self._track.add(np.zeros(missing * STEP, np.int16))
        for detector in range(len(self._events)):
            self.judge(detector, [])
        return [
            [replace(event, index=index) for index, event in enumerate(sorted(events, key=_known))]
            for events in self._events
        ]


def _known(event: WakeEvent) -> float:
    return event.known_s
