"""Both thresholds of a cascade for one target, from the scores of every trigger.

A verifier confirms a trigger when the best score of its looks reaches its threshold. So what a
stream is worth at any threshold of the verifier follows from those scores alone: the counts of each
keyword, at each threshold of the network, are a staircase over the threshold of the verifier, and
every step of all staircases is tried.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from kws_stream.brief import brief
from kws_stream.detector import WakeEvent
from kws_stream.evaluation.recordings import Counts, Heard, poisson_interval
from kws_stream.evaluation.streams import REPEAT_S, Word, score_stream
from kws_stream.power import VerifierWork

TAIL = 20  # false accepts, from which their rate at a higher threshold is estimated
REJECTED = 0.04  # of the words: no estimate is worth more of them
LEAST = 0.5  # of a verifier's thresholds: it is taught that this is as likely the keyword as not

Scored = tuple[WakeEvent, float]
"""A trigger, and the best score that the verifier gives it."""


@dataclass(frozen=True)
class Staircase:
    """Counts of one keyword at one threshold of the network, over the verifier's threshold.

    scores: where they change, rising. hits, false_accepts: with a threshold of scores[i], and one
    more: none with a threshold above all of them. triggers: of the network.
    """

    hours: float
    words: int
    scores: tuple[float, ...]
    hits: tuple[int, ...]
    false_accepts: tuple[int, ...]
    triggers: int

    __repr__ = brief

    def at(self, threshold: float) -> Counts:
        """Counts with that threshold of the verifier."""
        step = bisect_left(self.scores, threshold)
        return Counts(self.hours, self.words, self.hits[step], self.false_accepts[step])


@dataclass(frozen=True)
class CascadePoint:
    """One threshold of the network for all keywords, with the verifier's that is best for it.

    triggers_per_hour: of the network. verifier_nw: mean power of the verifier, low, typical, high.
    """

    threshold: float
    verifier_threshold: float
    counts: Counts
    triggers_per_hour: float
    verifier_nw: tuple[float, float, float]

    def as_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "verifier_threshold": self.verifier_threshold,
            **self.counts.as_dict(),
            "triggers_per_hour": self.triggers_per_hour,
            "verifier_nw": dict(zip(("low", "typical", "high"), self.verifier_nw, strict=True)),
        }


@dataclass(frozen=True)
class Choice:
    """The best there is: a row of the tried thresholds for each keyword, and the verifier's."""

    rows: Mapping[str, int]
    verifier_threshold: float

    __repr__ = brief


def staircase(
    streams: Sequence[tuple[Sequence[Word], Sequence[Scored]]], keyword: str, hours: float
) -> Staircase:
    """Of each stream the words that were spoken and the triggers, of all keywords."""
    hits, false, words, triggers = Counter[float](), Counter[float](), 0, 0
    for spoken, scored in streams:
        own = [word for word in spoken if word.word == keyword]
        words += len(own)
        mine = sorted((one for one in scored if one[0].keyword == keyword), key=_time)
        triggers += len(mine)
        for near, together in _groups(own, mine):
            before = (0, 0)
            for score in sorted({score for _, score in together}, reverse=True):
                events = [event for event, best in together if best >= score]
                result = score_stream(near, events, [keyword])
                now = (result.hits, len(result.false_accepts))
                hits[score] += now[0] - before[0]
                false[score] += now[1] - before[1]
                before = now
    scores = sorted(hits.keys() | false.keys())
    return Staircase(
        *(hours, words, tuple(scores)),
        hits=_from_above(hits, scores),
        false_accepts=_from_above(false, scores),
        triggers=triggers,
    )


def _time(one: Scored) -> float:
    return one[0].time_s


def _from_above(changes: Mapping[float, int], scores: Sequence[float]) -> tuple[int, ...]:
    return tuple(accumulate((changes[s] for s in reversed(scores)), initial=0))[::-1]


def _groups(
    words: Sequence[Word], scored: Sequence[Scored]
) -> list[tuple[list[Word], list[Scored]]]:
    """Words and triggers that may have to do with one another; a trigger by itself alone."""
    ordered = sorted(words, key=lambda word: word.start_s)
    groups: list[tuple[list[int], list[Scored]]] = []
    begun, near = 0, list[int]()
    for one in scored:
        while begun < len(ordered) and ordered[begun].start_s <= _time(one):
            near.append(begun)
            begun += 1
        near = [number for number in near if _time(one) <= ordered[number].end_s + REPEAT_S]
        if groups and not set(near).isdisjoint(groups[-1][0]):
            found, together = groups[-1]
            found += [number for number in near if number not in found]
            together.append(one)
        else:
            groups.append(([*near], [one]))
    return [([ordered[number] for number in found], together) for found, together in groups]


def search(
    stairs: Sequence[Mapping[str, Staircase]],
    allowed: float,
    choose: Callable[[Sequence[Mapping[str, Counts]], float], dict[str, int]],
) -> Choice:
    """The thresholds that miss the fewest words within `allowed` false accepts.

    stairs: of each keyword at each tried threshold of the network. choose: rows of these for one
    threshold of the verifier, as `choose_thresholds`. Every threshold of the verifier at which a
    count changes is tried; of equal outcomes it is the middle of the longest run. Where nothing is
    allowed, the highest.
    """
    levels = sorted({score for row in stairs for one in row.values() for score in one.scores})
    if not levels:
        return Choice(
            choose([{n: s.at(0.5) for n, s in row.items()} for row in stairs], allowed), 0.5
        )
    levels.append(levels[-1] + 1)  # above all of them
    outcomes: list[tuple[int, int] | None] = []
    least: int | None = None
    for level in levels:
        table = [{name: one.at(level) for name, one in row.items()} for row in stairs]
        if least is not None and _fewest_missed(table) > least:
            outcomes.append(None)  # and so is all above
            continue
        rows = choose(table, allowed)
        chosen = [table[row][name] for name, row in rows.items()]
        missed = sum(c.words - c.hits for c in chosen)
        false = sum(c.false_accepts for c in chosen)
        if false > allowed:
            outcomes.append(None)
            continue
        outcomes.append((missed, false))
        least = missed if least is None else min(least, missed)
    possible = [outcome for outcome in outcomes if outcome is not None]
    place = _middle(outcomes, min(possible)) if possible else len(levels) - 1
    threshold = _between(levels, place)
    table = [{name: one.at(threshold) for name, one in row.items()} for row in stairs]
    return Choice(choose(table, allowed), threshold)


def _fewest_missed(table: Sequence[Mapping[str, Counts]]) -> int:
    names = table[0]
    return sum(min(row[name].words - row[name].hits for row in table) for name in names)


def _middle(outcomes: Sequence[object], wanted: object) -> int:
    """The middle of the longest run of that outcome."""
    best, run = (0, 0), 0
    for place, outcome in enumerate(outcomes):
        run = run + 1 if outcome == wanted else 0
        if run > best[0]:
            best = (run, place)
    length, last = best
    return last - length + 1 + length // 2 if length > 1 else last


def _between(levels: Sequence[float], place: int) -> float:
    """A threshold just below that level and above the one before: as round as it may be."""
    high = min(levels[place], 1.0)
    low = levels[place - 1] if place else 0.0
    if not low < high:
        return high
    middle = (low + high) / 2
    for digits in range(2, 9):
        if low < round(middle, digits) <= high:
            return round(middle, digits)
    return high


def tail_threshold(
    stair: Staircase, target: float, raised: Callable[[float, float], float]
) -> float:
    """The verifier's threshold for `target` false accepts per hour, estimated from their tail.

    Recordings of an hour cannot show a rate of 0.3 an hour by a count of none. But a score whose
    log odds are right is passed by false accepts e times as seldom for each unit more of them. So
    the threshold is that of `TAIL` false accepts or fewer, raised by log(r / target) units, where r
    is the upper end of the 95 % interval of their rate.

    raised: a score, and by how many units of its log odds it is raised. The threshold is one that
    rejects `REJECTED` of the words at most, and `LEAST` at least, which it is too where nothing
    triggers.
    """
    place = next(i for i, count in enumerate(stair.false_accepts) if count <= TAIL)
    if place == len(stair.scores):
        return LEAST
    most = poisson_interval(stair.false_accepts[place], stair.hours)[1]
    threshold = raised(stair.scores[place], max(0.0, math.log(most / target)))
    if stair.words:
        kept = stair.hits[0] - REJECTED * stair.words
        highest = max(s for s, hits in zip(stair.scores, stair.hits, strict=False) if hits >= kept)
        threshold = min(threshold, math.floor(highest * 1000) / 1000)
    return max(LEAST, threshold)


def cascade_points(
    stairs: Sequence[Mapping[str, Staircase]],
    thresholds: Sequence[float],
    allowed: float,
    work: VerifierWork,
    choose: Callable[[Sequence[Mapping[str, Counts]], float], dict[str, int]],
) -> tuple[CascadePoint, ...]:
    """Each tried threshold of the network, with the best of the verifier.

    work: of one decision.
    """
    points = []
    for threshold, row in zip(thresholds, stairs, strict=True):
        best = search([row], allowed, choose).verifier_threshold
        per_hour = sum(one.triggers for one in row.values()) / next(iter(row.values())).hours
        low, typical, high = (nj * per_hour / 3600 for nj in work.decision_nj)
        counts = total([one.at(best) for one in row.values()])
        points.append(CascadePoint(threshold, best, counts, per_hour, (low, typical, high)))
    return tuple(points)


def total(each: Sequence[Counts]) -> Counts:
    """Of several keywords in the same hours."""
    return Counts(
        hours=each[0].hours,
        words=sum(counts.words for counts in each),
        hits=sum(counts.hits for counts in each),
        false_accepts=sum(counts.false_accepts for counts in each),
    )


def all_staircases(heard: Sequence[Heard], keywords: Sequence[str]) -> list[dict[str, Staircase]]:
    """Of each keyword at each threshold of the sweep of a hearing with `scores`."""
    hours = sum(one.seconds for one in heard) / 3600
    return [
        {
            name: staircase([(one.words, one.scored[row]) for one in heard], name, hours)
            for name in keywords
        }
        for row in range(1, len(heard[0].scored))
    ]
