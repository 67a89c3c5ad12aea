"""Times of a stream on its client's clock."""

from collections import deque
from typing import Any

from kws_stream.errors import InputError

# Sound is heard at most so long after it came: at 1 kHz, the lowest rate, the resampler holds back
# up to 1.5 s.
_BEHIND_S = 2.0
_SAME_MS = 1.0  # a client's clock in whole ms may differ so much from the sound that was counted


class StreamClock:
    """Timestamps in ms for moments of a stream.

    The timestamp of an audio-start is where the stream begins, and from there sound is counted.
    Without one, those of the chunks count: a moment has the timestamp of the chunk that it lies in,
    and what went before it in that chunk. So the times are right after a gap too, and for clients
    whose unit is not the millisecond (wyoming's own microphone sends nanoseconds) they are right
    to within a chunk. A timestamp that is the same as the one before is none.
    """

    def __init__(self) -> None:
        self.begin(None)

    def begin(self, timestamp: Any) -> None:
        """A stream begins; raises InputError for a timestamp that is no whole number or None."""
        start = _checked(timestamp)
        self._given = start is not None
        self._marks = deque([(0.0, start or 0)])  # seconds of sound, and the timestamp there
        self._last: int | None = None

    def chunk(self, timestamp: Any, at_s: float) -> None:
        """A chunk begins, at so many seconds of sound; raises InputError as `begin`."""
        number = _checked(timestamp)
        if self._given or number is None or number == self._last:
            return
        self._last = number
        from_s, timestamp = self._marks[-1]
        if abs(timestamp + (at_s - from_s) * 1000 - number) <= _SAME_MS:
            return
        if from_s >= at_s:  # the first, or one after a chunk without sound
            self._marks.pop()
        self._marks.append((at_s, number))
        while len(self._marks) > 1 and self._marks[1][0] < at_s - _BEHIND_S:
            self._marks.popleft()

    def at(self, time_s: float) -> int:
        """The timestamp when so many seconds of sound had been heard."""
        earlier = (mark for mark in reversed(self._marks) if mark[0] < time_s)
        from_s, timestamp = next(earlier, self._marks[0])
        return timestamp + round((time_s - from_s) * 1000)


def _checked(timestamp: Any) -> int | None:
    if timestamp is None or type(timestamp) is int:
        return timestamp
    raise InputError(f"timestamp: need a whole number of ms, got {timestamp!r:.80}")
