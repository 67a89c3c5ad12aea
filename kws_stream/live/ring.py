"""The last seconds of a stream, by the clock of its events."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import number_within
from kws_stream.constants import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]


class AudioRing:
    """Mono 16 kHz audio, of which the last `seconds` at least are remembered.

    Sample n of the stream has the time n / 16000 s, the clock of `WakeEvent.time_s`.
    """

    def __init__(self, seconds: float) -> None:
        seconds = number_within(seconds, "audio ring", 0, 3600, "seconds")
        self._room = round(seconds * SAMPLE_RATE_HZ)
        self.reset()

    def reset(self) -> None:
        """Forget everything; the clock starts at 0."""
        self._blocks: deque[Samples] = deque()
        self._start = 0  # number of the first remembered sample
        self.end = 0  # samples heard

    def add(self, samples: Samples) -> None:
        """The next samples (n,), float32; they are copied."""
        self._blocks.append(samples.copy())
        self.end += len(samples)
        while self._blocks and self.end - self._start - len(self._blocks[0]) >= self._room:
            self._start += len(self._blocks.popleft())

    def between(self, start: int, end: int) -> Samples:
        """Samples start..end (n,) as far as they are remembered."""
        start, end = max(start, self._start), min(end, self.end)
        if start >= end:
            return np.zeros(0, np.float32)
        whole = np.concatenate(self._blocks)
        return whole[start - self._start : end - self._start]

    def last(self, seconds: float) -> Samples:
        """The last seconds, or what there is of them."""
        return self.between(self.end - round(seconds * SAMPLE_RATE_HZ), self.end)


def sample_number(time_s: float) -> int:
    """The number of the sample at a time of the stream."""
    return round(time_s * SAMPLE_RATE_HZ)
