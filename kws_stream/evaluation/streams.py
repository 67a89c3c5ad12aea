"""Scores of a stream: which events were words, which words were missed, and how late."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from kws_stream.brief import brief
from kws_stream.detector import WakeEvent
from kws_stream.names import known_name

GRACE_S = 0.5  # an event this long after its word is still a hit
REPEAT_S = 1.0  # further events of a word within this time of it are not counted twice


@dataclass(frozen=True)
class Word:
    """A word that was spoken, in s on the clock of the events; clip: the recording it came from."""

    word: str
    start_s: float
    end_s: float
    clip: str | None = None


@dataclass(frozen=True)
class StreamResult:
    """Counts of one stream. words: spoken keywords, each a hit or a miss.

    latencies_s: of every hit, when it was known, time after the end of its word (negative: before
    it), in order of the events. repeats: further events of a word that was hit. found: each hit
    with its word.
    """

    words: int
    hits: int
    misses: tuple[Word, ...]
    false_accepts: tuple[WakeEvent, ...]
    repeats: int
    latencies_s: tuple[float, ...]
    found: tuple[tuple[Word, WakeEvent], ...] = ()

    __repr__ = brief

    @property
    def median_latency_s(self) -> float | None:
        return median(self.latencies_s) if self.latencies_s else None


def as_keywords(words: Iterable[Word], keywords: Sequence[str]) -> list[Word]:
    """The words that are keywords, under the names that these have.

    Raises ParameterError for a word that may mean several keywords.
    """
    meant: dict[str, str] = {}
    named = []
    for word in words:
        if word.word not in meant:
            meant[word.word] = known_name(word.word, keywords)
        name = meant[word.word]
        if name in keywords:
            named.append(word if name == word.word else replace(word, word=name))
    return named


def score_stream(
    words: Iterable[Word], events: Sequence[WakeEvent], keywords: Sequence[str]
) -> StreamResult:
    """What `events` say about the spoken `words`; those that are no keyword need no event.

    A word that differs from a keyword as "Yes " from "yes" is that keyword (see `names`).

    A hit is the first event of a keyword from the start of that word to 0.5 s after its end. Of a
    word that was hit, further events until 1 s after its end are repeats. Any other event is a
    false accept.
    """
    spoken = sorted(as_keywords(words, keywords), key=lambda w: w.start_s)
    begun, recent = 0, list[int]()  # numbers of words: those begun, and of them the latest
    hit: set[int] = set()
    false_accepts, found, repeats = [], [], 0
    for event in sorted(events, key=lambda e: e.time_s):
        while begun < len(spoken) and spoken[begun].start_s <= event.time_s:
            recent.append(begun)
            begun += 1
        recent = [i for i in recent if event.time_s <= spoken[i].end_s + REPEAT_S]
        near = [i for i in recent if spoken[i].word == event.keyword]
        new = [i for i in near if i not in hit and event.time_s <= spoken[i].end_s + GRACE_S]
        if new:
            hit.add(new[0])
            found.append((spoken[new[0]], event))
        elif hit.intersection(near):
            repeats += 1
        else:
            false_accepts.append(event)
    return StreamResult(
        words=len(spoken),
        hits=len(hit),
        misses=tuple(w for i, w in enumerate(spoken) if i not in hit),
        false_accepts=tuple(false_accepts),
        repeats=repeats,
        latencies_s=tuple(event.known_s - word.end_s for word, event in found),
        found=tuple(found),
    )
