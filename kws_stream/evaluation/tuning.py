"""Thresholds for a wanted rate of false accepts, from recordings.

A keyword fires by its own score and threshold alone, so the counts of each keyword at each
threshold are found once, and any combination of thresholds is a sum of them.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kws_stream import packs
from kws_stream.arguments import instance_of, number_above_zero
from kws_stream.brief import brief
from kws_stream.errors import DataError
from kws_stream.evaluation.cascade_tuning import (
    CascadePoint,
    all_staircases,
    cascade_points,
    search,
    staircase,
    tail_threshold,
    total,
)
from kws_stream.evaluation.recordings import (
    Counts,
    Heard,
    OperatingPoint,
    StreamHearing,
    channel_notes,
    hear,
    label_notes,
    operating_points,
)
from kws_stream.evaluation.sources import Stream, checked_streams
from kws_stream.power import VerifierWork
from kws_stream.verifier import McuVerifier, load_verifier
from kws_stream.workers import Workers

_OF_STREAMS = re.compile(r"kws-stream (tune|evaluate-stream)\b")  # what thresholds decide

TRIED = (
    *(round(0.025 * step, 3) for step in range(2, 39)),
    *(0.96, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 0.9995, 0.9999),
)
"""Thresholds from 0.05 to 0.9999."""


@dataclass(frozen=True)
class Setting:
    """Thresholds, and what was counted with them: of all keywords, and of each."""

    thresholds: Mapping[str, float]
    counts: Counts
    per_keyword: Mapping[str, Counts]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        return {
            "thresholds": dict(self.thresholds),
            **self.counts.as_dict(),
            "per_keyword": {name: counts.as_dict() for name, counts in self.per_keyword.items()},
        }


@dataclass(frozen=True)
class Tuning:
    """A recommendation. target: false accepts per hour. trade_off: one threshold for all keywords.

    verifier_threshold, recommended_verifier_threshold, cascade: of a model with a verifier, whose
    threshold is chosen too; cascade: each threshold of the network with the verifier's that is best
    for it. recommended_triggers_per_hour: of the network, with the recommended thresholds.
    met: the recommended thresholds stay within the target in these recordings. shown: they are long
    enough, and the upper end of the 95 % interval is within the target too. channel_notes: as of
    `RecordingsResult`.
    """

    model: str
    target: float
    current: Setting
    recommended: Setting
    trade_off: tuple[Setting, ...]
    notes: tuple[str, ...]
    channel_notes: tuple[str, ...] = ()
    verifier_threshold: float | None = None
    recommended_verifier_threshold: float | None = None
    recommended_triggers_per_hour: float | None = None
    recommended_verifier_nw: tuple[float, float, float] | None = None
    cascade: tuple[CascadePoint, ...] = ()

    __repr__ = brief

    @property
    def hours(self) -> float:
        return self.recommended.counts.hours

    @property
    def hours_to_show_target(self) -> float:
        """Without any false accept: T hours bound the rate by 3/T at 95 % (e^-3 = 0.05)."""
        return 3 / self.target

    @property
    def met(self) -> bool:
        return self.recommended.counts.false_accepts <= self.target * self.hours

    @property
    def shown(self) -> bool:
        high = self.recommended.counts.as_dict()["false_accepts_per_hour_interval"][1]
        return self.hours >= self.hours_to_show_target and high <= self.target

    def as_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "target_false_accepts_per_hour": self.target,
            "hours": self.hours,
            "hours_to_show_target": self.hours_to_show_target,
            "target_met": self.met,
            "target_shown": self.shown,
            "current": self.current.as_dict(),
            "recommended": self.recommended.as_dict(),
            "trade_off": [setting.as_dict() for setting in self.trade_off],
            **self._of_cascade(),
            "notes": [*self.notes, *self.channel_notes],
        }

    def _of_cascade(self) -> dict[str, Any]:
        if self.recommended_verifier_nw is None:
            return {}
        names = ("low", "typical", "high")
        return {
            "verifier_threshold": self.verifier_threshold,
            "recommended_verifier_threshold": self.recommended_verifier_threshold,
            "recommended_triggers_per_hour": self.recommended_triggers_per_hour,
            "recommended_verifier_nw": dict(zip(names, self.recommended_verifier_nw, strict=True)),
            "cascade": [point.as_dict() for point in self.cascade],
        }


def tune(
    streams: Sequence[Stream],
    model: str | Path | packs.Pack,
    target: float = 0.5,
    progress: Callable[[float], None] = lambda seconds: None,
    workers: Workers | None = None,
    notes: Sequence[str] = (),
) -> Tuning:
    """The thresholds that miss the fewest words within `target` false accepts per hour.

    Of a model with a verifier those of the network and the verifier's, together.

    Arguments and errors as of `evaluate_streams`; ParameterError for a target that is not above 0.
    """
    target = number_above_zero(target, "target", "false accepts per hour above 0")
    pack = model if isinstance(model, packs.Pack) else packs.load(model)
    if not pack.keywords:
        raise DataError(f"{pack.name}: need a model with keywords to tune, it has none")
    hearing = StreamHearing(pack, TRIED, scores=pack.verifier is not None)
    streams = checked_streams(streams)
    of_labels = label_notes(streams, pack.keywords)
    heard: list[Heard] = hear(hearing, streams, progress, workers)
    own, *swept = operating_points(hearing, heard)
    of_cascade: dict[str, Any] = {}
    if pack.verifier is None:
        chosen = choose_thresholds([point.per_keyword for point in swept], target * own.hours)
        per_keyword = {name: swept[row].per_keyword[name] for name, row in chosen.items()}
    else:
        chosen, per_keyword, of_cascade = _tune_cascade(pack, heard, target * own.hours)
    rows = {name: TRIED[row] for name, row in chosen.items()}
    recommended = Setting(rows, total(list(per_keyword.values())), per_keyword)
    tuning = Tuning(
        model=pack.name,
        target=target,
        current=_setting(own),
        recommended=recommended,
        trade_off=tuple(map(_setting, swept)),
        notes=(),
        channel_notes=channel_notes(heard),
        **of_cascade,
    )
    said = [*notes, *of_labels, *_notes(tuning)]
    return Tuning(**{**vars(tuning), "notes": tuple(said)})


def verifier_threshold(
    streams: Sequence[Stream],
    pack: packs.Pack,
    target: float,
    progress: Callable[[float], None] = lambda seconds: None,
    workers: Workers | None = None,
) -> tuple[float, Counts]:
    """The verifier's threshold of a pack with one keyword for `target` false accepts per hour, as
    `tail_threshold` estimates it, and what is counted with it.

    The network's threshold stays. Arguments and errors as of `evaluate_streams`.
    """
    verifier = load_verifier(pack)
    assert verifier is not None
    (keyword,) = pack.keywords
    heard = hear(StreamHearing(pack, (), scores=True), streams, progress, workers)
    hours = sum(one.seconds for one in heard) / 3600
    stair = staircase([(one.words, one.scored[0]) for one in heard], keyword, hours)
    estimated = tail_threshold(stair, target, verifier.raised)
    threshold = min(math.ceil(round(estimated * 1000, 6)) / 1000, 1.0)
    return threshold, stair.at(threshold)


def choose_thresholds(counts: Sequence[Mapping[str, Counts]], allowed: float) -> dict[str, int]:
    """Which of the tried thresholds, by number from the lowest, is best for each keyword.

    counts: of each keyword at each threshold. Together the keywords fire falsely `allowed` times
    at most; the fewest words are missed; of equal ones the fewest false accepts. Among thresholds
    with equal counts it is the middle one, and the lowest for a keyword that nobody spoke. Where
    no combination is allowed, the highest of each.
    """
    names = list(counts[0])
    best: dict[int, tuple[tuple[int, int], tuple[tuple[int, int], ...]]] = {0: ((0, 0), ())}
    for name in names:
        outcomes = {(at[name].words - at[name].hits, at[name].false_accepts) for at in counts}
        after: dict[int, tuple[tuple[int, int], tuple[tuple[int, int], ...]]] = {}
        for spent, ((missed, _), choice) in best.items():
            for outcome in outcomes:
                total = spent + outcome[1]
                cost = (missed + outcome[0], total)
                if total <= allowed and (total not in after or cost < after[total][0]):
                    after[total] = (cost, (*choice, outcome))
        best = after
    if not best:
        return dict.fromkeys(names, len(counts) - 1)
    _, choice = min(best.values())
    return {
        name: _row_of([at[name] for at in counts], outcome)
        for name, outcome in zip(names, choice, strict=True)
    }


def _row_of(counts: Sequence[Counts], outcome: tuple[int, int]) -> int:
    """Of the longest run of thresholds with this outcome: its middle, or its lowest (no words)."""
    runs: list[list[int]] = []
    for row, at in enumerate(counts):
        if (at.words - at.hits, at.false_accepts) == outcome:
            if runs and runs[-1][-1] == row - 1:
                runs[-1].append(row)
            else:
                runs.append([row])
    run = max(runs, key=len)
    return run[len(run) // 2] if counts[0].words else run[0]


def _tune_cascade(
    pack: packs.Pack, heard: Sequence[Heard], allowed: float
) -> tuple[dict[str, int], dict[str, Counts], dict[str, Any]]:
    """The row of each keyword, its counts, and the fields of `Tuning` that are of a cascade."""
    verifier = load_verifier(pack)
    assert verifier is not None
    work = VerifierWork(1, verifier.multiplications, isinstance(verifier, McuVerifier))
    stairs = all_staircases(heard, pack.keywords)
    choice = search(stairs, allowed, choose_thresholds)
    taken = {name: stairs[row][name] for name, row in choice.rows.items()}
    per_hour = sum(one.triggers for one in taken.values()) / next(iter(taken.values())).hours
    fields = {
        "verifier_threshold": verifier.threshold,
        "recommended_verifier_threshold": choice.verifier_threshold,
        "recommended_triggers_per_hour": per_hour,
        "recommended_verifier_nw": tuple(nj * per_hour / 3600 for nj in work.decision_nj),
        "cascade": cascade_points(stairs, TRIED, allowed, work, choose_thresholds),
    }
    counts = {name: one.at(choice.verifier_threshold) for name, one in taken.items()}
    return dict(choice.rows), counts, fields


def _setting(point: OperatingPoint) -> Setting:
    return Setting(point.thresholds, total(list(point.per_keyword.values())), point.per_keyword)


def _notes(tuning: Tuning) -> list[str]:
    """What the recommendation cannot tell."""
    notes = []
    if not tuning.met:
        notes.append(
            "no thresholds reach the target in these recordings; the highest of each is given"
        )
    if tuning.hours < tuning.hours_to_show_target:
        notes.append(
            f"the recordings are too short to show {tuning.target:g} per hour: {tuning.hours:.2f} "
            f"h without a false accept would bound the rate by {3 / tuning.hours:.2f} per hour at "
            f"95 %; the target takes {tuning.hours_to_show_target:.2g} h"
        )
    unspoken = [name for name, c in tuning.recommended.per_keyword.items() if not c.words]
    if unspoken:
        notes.append(
            f"nobody says {', '.join(unspoken)}: the lowest threshold without a false accept, and "
            "how many would be missed is unknown"
        )
    notes.append(
        "the thresholds were chosen on these recordings; on others the figures are rather worse"
    )
    return notes


def save_tuned(
    pack: packs.Pack,
    tuning: Tuning,
    directory: str | os.PathLike[str],
    command: str = "kws_stream.evaluation.tune",
) -> Path:
    """Write a copy of a pack with the recommended thresholds and how they were found.

    Of the metrics, those of streams stay behind, for they came of other thresholds.
    command: what chose them. Returns the folder; raises PackError as `packs.save_copy`, so for a
    folder that exists.
    """
    instance_of(pack, packs.Pack, "pack", "a loaded pack, of `packs.load`")
    instance_of(tuning, Tuning, "tuning", "what `tune` found")
    figures = {"target_false_accepts_per_hour": tuning.target, **tuning.recommended.as_dict()}
    metrics = pack.manifest["metrics"]
    fields: dict[str, Any] = {
        "name": Path(directory).resolve().name,
        "detector": pack.detector | {"thresholds": dict(tuning.recommended.thresholds)},
        "metrics": {k: m for k, m in metrics.items() if not _OF_STREAMS.match(m["command"])},
        "tuning": {"command": command, "model": pack.name, "figures": figures},
    }
    if tuning.recommended_verifier_threshold is not None:
        threshold = tuning.recommended_verifier_threshold
        fields["verifier"] = {**pack.manifest["verifier"], "threshold": threshold}
    return packs.save_copy(pack.path, directory, **fields)
