"""Scores of a stream: which events were words, which words were missed, and how late."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from kws_stream.detector import WakeEvent

GRACE_S = 0.5  # an event this long after its word is still a hit
REPEAT_S = 1.0  # further events of a word within this time of it are not counted twice


@dataclass(frozen=True)
class Word:
    """A word that was spoken, in s on the clock of the events."""

    word: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class StreamResult:
    """Counts of one stream. words: spoken keywords, each a hit or a miss.

    latencies_s: of every hit, time after the end of its word (negative: before it), in order of
    the events. repeats: further events of a word that was hit. found: each hit with its word.
    """

    words: int
    hits: int
    misses: tuple[Word, ...]
    false_accepts: tuple[WakeEvent, ...]
    repeats: int
    latencies_s: tuple[float, ...]
    found: tuple[tuple[Word, WakeEvent], ...] = ()

    @property
    def median_latency_s(self) -> float | None:
        return median(self.latencies_s) if self.latencies_s else None


def score_stream(
    words: Iterable[Word], events: Sequence[WakeEvent], keywords: Sequence[str]
) -> StreamResult:
    """What `events` say about the spoken `words`; those that are no keyword need no event.

    A hit is the first event of a keyword from the start of that word to 0.5 s after its end. Of a
    word that was hit, further events until 1 s after its end are repeats. Any other event is a
    false accept.
    """
    spoken = sorted((w for w in words if w.word in keywords), key=lambda w: w.start_s)
    hit: list[Word] = []
    false_accepts, found, repeats = [], [], 0
    for event in sorted(events, key=lambda e: e.time_s):
        near = [w for w in spoken if w.word == event.keyword and w.start_s <= event.time_s]
        new = [w for w in near if w not in hit and event.time_s <= w.end_s + GRACE_S]
        if new:
            hit.append(new[0])
            found.append((new[0], event))
        elif any(w in hit and event.time_s <= w.end_s + REPEAT_S for w in near):
            repeats += 1
        else:
            false_accepts.append(event)
    return StreamResult(
        words=len(spoken),
        hits=len(hit),
        misses=tuple(w for w in spoken if w not in hit),
        false_accepts=tuple(false_accepts),
        repeats=repeats,
        latencies_s=tuple(event.time_s - word.end_s for word, event in found),
        found=tuple(found),
    )
