"""Long recordings: how many spoken keywords are missed, and how often something else fires.

A label file stands beside its recording: NAME.json for NAME.wav, with `words`, a list of objects
with `word`, `start_s` and `end_s`. A recording without one holds no keywords.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kws_stream import packs
from kws_stream.audio import FileSource
from kws_stream.detector import Detector, DetectorSettings, WakeEvent
from kws_stream.errors import DataError
from kws_stream.evaluation.metrics import wilson_interval
from kws_stream.evaluation.streams import StreamResult, Word, score_stream
from kws_stream.pipeline import KeywordSpotter

SWEEP = tuple(round(0.05 * step, 2) for step in range(2, 20))  # thresholds 0.1 to 0.95


def poisson_interval(count: int, hours: float) -> tuple[float, float]:
    """95 % interval of a rate per hour (Garwood, Biometrika 28, 1936); no event in T h: 3.7/T."""
    from scipy.stats import chi2

    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low / hours), float(chi2.ppf(0.975, 2 * count + 2) / 2 / hours)


@dataclass(frozen=True)
class KeywordCounts:
    """Of one keyword: how often it was spoken and found, and how often it fired for nothing."""

    words: int
    hits: int
    false_accepts: int


@dataclass(frozen=True)
class OperatingPoint:
    """Counts of all recordings at one setting of the thresholds.

    latencies_s: time of each hit after the end of its word. per_keyword: for every keyword of the
    model.
    """

    thresholds: Mapping[str, float]
    hours: float
    words: int
    hits: int
    repeats: int
    false_accepts: int
    latencies_s: tuple[float, ...]
    per_keyword: Mapping[str, KeywordCounts]

    def as_dict(self) -> dict[str, Any]:
        """Counts, rates and their 95 % intervals; null where there is nothing to count."""
        missed = self.words - self.hits
        some = bool(self.latencies_s)
        return {
            "thresholds": dict(self.thresholds),
            "words": self.words,
            "hits": self.hits,
            "repeats": self.repeats,
            "false_accepts": self.false_accepts,
            "false_reject_rate": missed / self.words if self.words else None,
            "false_reject_interval": wilson_interval(missed, self.words) if self.words else None,
            "false_accepts_per_hour": self.false_accepts / self.hours,
            "false_accepts_per_hour_interval": poisson_interval(self.false_accepts, self.hours),
            "latency_median_s": float(np.median(self.latencies_s)) if some else None,
            "latency_p95_s": float(np.percentile(self.latencies_s, 95)) if some else None,
            "per_keyword": {name: asdict(counts) for name, counts in self.per_keyword.items()},
        }


@dataclass(frozen=True)
class RecordingsResult:
    """`point`: at the model's own thresholds; `sweep`: one threshold for all keywords.

    missed and false_accepts: (file, word or event) at the model's thresholds; found: (file, word,
    event).
    """

    model: str
    files: int
    hours: float
    point: OperatingPoint
    sweep: tuple[OperatingPoint, ...]
    missed: tuple[tuple[str, Word], ...]
    false_accepts: tuple[tuple[str, WakeEvent], ...]
    found: tuple[tuple[str, Word, WakeEvent], ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "files": self.files,
            "hours": self.hours,
            **self.point.as_dict(),
            "sweep": [point.as_dict() for point in self.sweep],
            "missed": [{"file": file, **vars(word)} for file, word in self.missed],
            "false_accept_events": [
                {"file": file, **event.as_dict()} for file, event in self.false_accepts
            ],
            "found": [
                {"file": file, **vars(word), "time_s": event.time_s, "score": event.score}
                for file, word, event in self.found
            ],
        }


def read_labels(recording: Path) -> list[Word]:
    """The words spoken in a recording; none if no label file stands beside it.

    Raises DataError for a label file that is none.
    """
    path = recording.with_suffix(".json")
    if not path.exists():
        return []
    try:
        labels = json.loads(path.read_text("utf-8"))["words"]
        words = [Word(str(x["word"]), float(x["start_s"]), float(x["end_s"])) for x in labels]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: need an object whose words are objects with word, start_s and end_s, "
            f"got: {error!r:.80}"
        ) from error
    for word in words:
        if not 0 <= word.start_s <= word.end_s < float("inf"):
            raise DataError(
                f"{path}: need 0 <= start_s <= end_s, got {word.start_s} and {word.end_s}"
            )
    return words


def evaluate_recordings(
    files: Sequence[str | Path],
    model: str | Path | packs.Pack = "commands-12",
    progress: Callable[[float], None] = lambda seconds: None,
) -> RecordingsResult:
    """What a model makes of long recordings, each a stream of its own.

    progress: hears of the seconds done so far. Raises AudioError for a file that cannot be read,
    DataError for wrong labels and for no audio at all, PackError for the model.
    """
    spotter = KeywordSpotter(model)
    pack = spotter.pack
    own = DetectorSettings.from_dict(pack.detector)
    settings = [own, *(replace(own, threshold=value, thresholds={}) for value in SWEEP)]
    detectors = [Detector(s, pack.classes, pack.keywords, spotter.frame_s) for s in settings]
    results: list[list[StreamResult]] = [[] for _ in detectors]
    seconds = 0.0
    for file in map(Path, files):
        words = read_labels(file)
        spotter.reset()
        events: list[list[WakeEvent]] = [[] for _ in detectors]
        for detector in detectors:
            detector.reset()
        with FileSource(file) as source:
            for block in source.blocks():
                for trace in spotter.trace(block):
                    for detector, found in zip(detectors, events, strict=True):
                        found += detector.process(trace.logits)
                progress(seconds + spotter.time_s)
        seconds += spotter.time_s
        for found, result in zip(events, results, strict=True):
            result.append(score_stream(words, found, pack.keywords))
    if not seconds:
        raise DataError("need recordings with sound in them, got none")
    points = [
        OperatingPoint(
            thresholds=detector.thresholds,
            hours=seconds / 3600,
            words=sum(r.words for r in result),
            hits=sum(r.hits for r in result),
            repeats=sum(r.repeats for r in result),
            false_accepts=sum(len(r.false_accepts) for r in result),
            latencies_s=tuple(latency for r in result for latency in r.latencies_s),
            per_keyword=_per_keyword(result, pack.keywords),
        )
        for detector, result in zip(detectors, results, strict=True)
    ]
    names = [str(file) for file in files]
    own_results = list(zip(names, results[0], strict=True))
    return RecordingsResult(
        model=pack.name,
        files=len(names),
        hours=seconds / 3600,
        point=points[0],
        sweep=tuple(points[1:]),
        missed=tuple((name, word) for name, r in own_results for word in r.misses),
        false_accepts=tuple((name, event) for name, r in own_results for event in r.false_accepts),
        found=tuple((name, *pair) for name, r in own_results for pair in r.found),
    )


def _per_keyword(
    results: Sequence[StreamResult], keywords: Sequence[str]
) -> dict[str, KeywordCounts]:
    hits = Counter(word.word for r in results for word, _ in r.found)
    misses = Counter(word.word for r in results for word in r.misses)
    false = Counter(event.keyword for r in results for event in r.false_accepts)
    return {
        name: KeywordCounts(hits[name] + misses[name], hits[name], false[name]) for name in keywords
    }
