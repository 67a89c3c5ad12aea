"""What a model makes of long recordings: misses and false accepts per hour, at many thresholds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kws_stream import packs
from kws_stream.arguments import number_above_zero, whole_number
from kws_stream.audio import to_int16
from kws_stream.audio.mix import checked_channel
from kws_stream.brief import brief
from kws_stream.detector import Detector, DetectorSettings, WakeEvent
from kws_stream.errors import DataError
from kws_stream.evaluation.folders import Skipped
from kws_stream.evaluation.labels import read_labels
from kws_stream.evaluation.metrics import wilson_interval
from kws_stream.evaluation.sources import Recordings, Stream, checked_streams, streams_of
from kws_stream.evaluation.streams import StreamResult, Word, as_keywords, score_stream
from kws_stream.evaluation.verified import Check
from kws_stream.names import known_name
from kws_stream.pipeline import NO_FRAMES, Frames, KeywordSpotter, Observation
from kws_stream.workers import Workers

SWEEP = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.97, 0.98, 0.99, 0.995, 0.999)
"""Thresholds that are tried for all keywords at once."""
JUDGED_FRAMES = 4096  # at a time, by every detector
MOST_AT_ONCE_S = 120.0  # in one piece of a stream


def poisson_interval(count: int, hours: float) -> tuple[float, float]:
    """95 % interval of a rate per hour (Garwood, Biometrika 28, 1936); no event in T h: 3.7/T.

    Raises ParameterError for a count that is no whole number from 0, and for hours not above 0.
    """
    count, hours = whole_number(count, "count", 0), number_above_zero(hours, "hours")
    from scipy.special import gammaincinv  # scipy.stats, which has chi-square's, loads slowly

    low = gammaincinv(count, 0.025) if count else 0.0
    return float(low / hours), float(gammaincinv(count + 1, 0.975) / hours)


@dataclass(frozen=True)
class Counts:
    """What was counted in some hours: spoken keywords, hits, and events without a keyword."""

    hours: float
    words: int
    hits: int
    false_accepts: int

    def as_dict(self) -> dict[str, Any]:
        """Counts, rates and their 95 % intervals; null where there is nothing to count."""
        missed = self.words - self.hits
        return {
            "hours": self.hours,
            "words": self.words,
            "hits": self.hits,
            "false_accepts": self.false_accepts,
            "false_reject_rate": missed / self.words if self.words else None,
            "false_reject_interval": wilson_interval(missed, self.words) if self.words else None,
            "false_accepts_per_hour": self.false_accepts / self.hours if self.hours else None,
            "false_accepts_per_hour_interval": (
                poisson_interval(self.false_accepts, self.hours) if self.hours else None
            ),
        }


@dataclass(frozen=True)
class OperatingPoint(Counts):
    """Counts of all streams at one setting of the thresholds.

    latencies_s: time of each hit after the end of its word. per_keyword: for every keyword of the
    model.
    """

    thresholds: Mapping[str, float]
    repeats: int
    latencies_s: tuple[float, ...]
    per_keyword: Mapping[str, Counts]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        some = bool(self.latencies_s)
        return {
            "thresholds": dict(self.thresholds),
            **super().as_dict(),
            "repeats": self.repeats,
            "latency_median_s": float(np.median(self.latencies_s)) if some else None,
            "latency_p95_s": float(np.percentile(self.latencies_s, 95)) if some else None,
            "per_keyword": {name: counts.as_dict() for name, counts in self.per_keyword.items()},
        }


@dataclass(frozen=True)
class Verified:
    """What a verifier did at the model's own thresholds.

    cpu_ms: mean time of a processor that a decision took, None without one. misses: words that the
    network triggered on and the verifier rejected.
    """

    kind: str
    threshold: float
    decisions: int
    cpu_ms: float | None
    misses: int


@dataclass(frozen=True)
class RecordingsResult:
    """`point`: at the model's own thresholds; `sweep`: one threshold for all keywords.

    triggers_per_hour: of the network alone; verifier: None for a model without one.
    At the model's thresholds: sources, each thing that was named by itself; missed and
    false_accepts, (file, word or event), and found, (file, word, event), on the file's clock.
    channel_notes: what should be said of the channels of recordings, one sentence for each.
    """

    model: str
    files: int
    hours: float
    point: OperatingPoint
    triggers_per_hour: float
    verifier: Verified | None
    sweep: tuple[OperatingPoint, ...]
    sources: Mapping[str, Counts]
    missed: tuple[tuple[str, Word], ...]
    false_accepts: tuple[tuple[str, WakeEvent], ...]
    found: tuple[tuple[str, Word, WakeEvent], ...]
    notes: tuple[str, ...] = ()
    channel_notes: tuple[str, ...] = ()

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "files": self.files,
            **self.point.as_dict(),
            "triggers_per_hour": self.triggers_per_hour,
            "verifier": None if self.verifier is None else asdict(self.verifier),
            "sources": [{"source": name, **c.as_dict()} for name, c in self.sources.items()],
            "sweep": [point.as_dict() for point in self.sweep],
            "missed": [{"file": file, **vars(word)} for file, word in self.missed],
            "false_accept_events": [
                {"file": file, **event.as_dict()} for file, event in self.false_accepts
            ],
            "found": [
                {"file": file, **vars(word), "time_s": event.time_s, "score": event.score}
                for file, word, event in self.found
            ],
            "notes": [*self.notes, *self.channel_notes],
        }


@dataclass(frozen=True)
class Heard:
    """One stream. results[i]: at the i-th of the thresholds. files: name and start in s of each.

    unverified: the first of the results without the verifier; triggers: what the network triggered
    on there, decisions: those that the verifier judged, in cpu_s seconds of a processor.
    channel_notes: what should be said of the channels of its recordings. scored: of a hearing with
    `scores`, every trigger at the i-th of the thresholds, and the verifier's best score of it.
    """

    source: str
    seconds: float
    words: tuple[Word, ...]
    results: tuple[StreamResult, ...]
    unverified: StreamResult
    triggers: int
    decisions: int
    cpu_s: float
    files: tuple[tuple[str, float], ...]
    channel_notes: tuple[str, ...] = ()
    scored: tuple[tuple[tuple[WakeEvent, float], ...], ...] = ()

    __repr__ = brief

    def file_at(self, time_s: float) -> tuple[str, float]:
        """The file that is heard at a time, and when it began."""
        return [file for file in self.files if file[1] <= time_s][-1]


@dataclass(frozen=True)
class StreamHearing:
    """Hears a stream with one model at its own thresholds, and then at each of `sweep`.

    scores: whether the verifier scores every trigger to the end.
    """

    pack: packs.Pack
    sweep: tuple[float, ...] = SWEEP
    scores: bool = False

    __repr__ = brief

    def detectors(self, frame_s: float) -> list[Detector]:
        own = DetectorSettings.from_dict(self.pack.detector)
        settings = [own, *(replace(own, threshold=t, thresholds={}) for t in self.sweep)]
        return [Detector(s, self.pack.classes, self.pack.keywords, frame_s) for s in settings]

    def __call__(self, stream: Stream) -> Heard:
        """Raises AudioError for sound that cannot be read, DataError for wrong labels."""
        spotter = KeywordSpotter(self.pack)
        detectors = self.detectors(spotter.frame_s)
        triggers: list[list[WakeEvent]] = [[] for _ in detectors]
        check = None
        if spotter.verifier is not None:
            seconds = JUDGED_FRAMES * spotter.frame_s + MOST_AT_ONCE_S
            check = Check(spotter.verifier, seconds, len(detectors), self.scores)
        words: list[Word] = []
        files: list[tuple[str, float]] = []
        notes: list[str] = []
        samples, waiting = 0, list[np.ndarray]()  # smoothed scores that no detector has judged

        def judge() -> None:
            scores = np.concatenate(waiting)
            for row, (detector, found) in enumerate(zip(detectors, triggers, strict=True)):
                new = detector.judge(scores)
                found += new
                if check is not None:
                    check.judge(row, new)
            waiting.clear()

        for piece in stream.pieces(spotter.rate_hz):
            words += piece.words
            notes += piece.notes
            if piece.file is not None:
                files.append((piece.file, samples / spotter.rate_hz))
            samples += len(piece.pcm)
            frames = spotter.observe(piece.pcm)
            waiting += [seen.smoothed for seen in frames]
            if check is not None:
                check.add(to_int16(piece.pcm), _frames(frames))
            if sum(map(len, waiting)) >= JUDGED_FRAMES:
                judge()
        waiting.append(spotter.observe_end().smoothed)
        if check is not None and spotter.frames:
            check.add(*spotter.silence_behind())
        judge()
        events = triggers
        if check is not None:
            events = check.finish()
        words = as_keywords(words, self.pack.keywords)
        return Heard(
            source=stream.source,
            seconds=spotter.time_s,
            words=tuple(words),
            results=tuple(score_stream(words, found, self.pack.keywords) for found in events),
            unverified=score_stream(words, triggers[0], self.pack.keywords),
            triggers=len(triggers[0]),
            decisions=spotter.decisions,
            cpu_s=spotter.verifier_cpu_s,
            files=tuple(files),
            channel_notes=tuple(notes),
            scored=() if check is None else tuple(map(tuple, check.scored)),
        )


def _frames(seen: Sequence[Observation]) -> Frames:
    if not seen:
        return NO_FRAMES
    return Frames(*(np.concatenate([getattr(s, n) for s in seen]) for n in Frames._fields))


def evaluate_recordings(
    names: Sequence[str | Path],
    model: str | Path | packs.Pack = "commands-12",
    progress: Callable[[float], None] = lambda seconds: None,
    workers: Workers | None = None,
    channel: int | None = None,
) -> RecordingsResult:
    """What a model makes of recordings: `evaluate_streams` of `streams_of(names)`.

    channel: which is heard, from 1; None for the mean of all.
    """
    skipped = Skipped()
    streams = streams_of(names, skipped, checked_channel(channel))
    return evaluate_streams(streams, model, progress, workers, skipped.notes)


def evaluate_streams(
    streams: Sequence[Stream],
    model: str | Path | packs.Pack = "commands-12",
    progress: Callable[[float], None] = lambda seconds: None,
    workers: Workers | None = None,
    notes: Sequence[str] = (),
) -> RecordingsResult:
    """What a model makes of streams; the same figures for any workers.

    progress: hears of the seconds done so far. workers: by default all processors. Raises
    AudioError for a file that cannot be read, DataError for wrong labels and for no sound at all,
    PackError for the model, and what `Workers` raises.
    """
    pack = model if isinstance(model, packs.Pack) else packs.load(model)
    hearing = StreamHearing(pack)
    streams = checked_streams(streams)
    said = label_notes(streams, pack.keywords)
    heard = hear(hearing, streams, progress, workers)
    points = operating_points(hearing, heard)
    own = [(one, one.results[0]) for one in heard]
    return RecordingsResult(
        model=pack.name,
        files=sum(len(one.files) for one in heard),
        hours=points[0].hours,
        point=points[0],
        triggers_per_hour=sum(one.triggers for one in heard) / points[0].hours,
        verifier=_verified(pack, heard),
        sweep=tuple(points[1:]),
        sources={
            source: _counts([one for one in heard if one.source == source])
            for source in dict.fromkeys(one.source for one in heard)
        },
        missed=tuple(
            (file, _word_after(word, at))
            for one, result in own
            for word in result.misses
            for file, at in [one.file_at(word.start_s)]
        ),
        false_accepts=tuple(
            (file, _event_after(event, at))
            for one, result in own
            for event in result.false_accepts
            for file, at in [one.file_at(event.time_s)]
        ),
        found=tuple(
            (file, _word_after(word, at), _event_after(event, at))
            for one, result in own
            for word, event in result.found
            for file, at in [one.file_at(word.start_s)]
        ),
        notes=(*notes, *said),
        channel_notes=channel_notes(heard),
    )


def channel_notes(heard: Sequence[Heard]) -> tuple[str, ...]:
    """Those of all streams, each once: a recording may be heard in several."""
    return tuple(dict.fromkeys(note for one in heard for note in one.channel_notes))


def label_notes(streams: Sequence[Stream], keywords: Sequence[str]) -> list[str]:
    """What to say of the labels of recordings: names that were read as keywords, and none at all.

    Raises DataError for wrong labels, before anything is heard.
    """
    files = [path for stream in streams if isinstance(stream, Recordings) for path in stream.files]
    names = Counter(word.word for path in files for word in read_labels(path))
    taken = {name: known_name(name, keywords) for name in names}
    notes = [
        f"the label {name!r:.60} was read as {word!r}, {names[name]} times"
        for name, word in taken.items()
        if word != name
    ]
    if names and not any(word in keywords for word in taken.values()):
        some = ", ".join(repr(name)[:60] for name, _ in names.most_common(3))
        notes.append(f"no label is a keyword of the model: the words are {some}")
    return notes


def _verified(pack: packs.Pack, heard: Sequence[Heard]) -> Verified | None:
    if pack.verifier is None:
        return None
    decisions = sum(one.decisions for one in heard)
    return Verified(
        kind=pack.verifier.kind,
        threshold=pack.verifier.threshold,
        decisions=decisions,
        cpu_ms=1000 * sum(one.cpu_s for one in heard) / decisions if decisions else None,
        misses=sum(one.unverified.hits - one.results[0].hits for one in heard),
    )


def hear(
    hearing: StreamHearing,
    streams: Sequence[Stream],
    progress: Callable[[float], None] = lambda seconds: None,
    workers: Workers | None = None,
) -> list[Heard]:
    """Hear the streams, wherever the workers are; arguments and errors as of `evaluate_streams`."""
    KeywordSpotter(hearing.pack)  # an unusable one is refused here
    heard: list[Heard] = []
    with nullcontext(workers) if workers is not None else Workers() as all_workers:
        for one in all_workers.map(hearing, streams):
            heard.append(one)
            progress(sum(each.seconds for each in heard))
    if not sum(one.seconds for one in heard):
        raise DataError("need recordings with sound in them, got none")
    return heard


def _word_after(word: Word, at_s: float) -> Word:
    """On the clock of a file that began at `at_s`."""
    start_s, end_s = round(word.start_s - at_s, 6), round(word.end_s - at_s, 6)
    return replace(word, start_s=start_s, end_s=end_s)


def _event_after(event: WakeEvent, at_s: float) -> WakeEvent:
    time_s, start_s = round(event.time_s - at_s, 6), round(event.start_s - at_s, 6)
    known_s = None if event.confirmed_s is None else round(event.confirmed_s - at_s, 6)
    return replace(event, time_s=time_s, start_s=start_s, confirmed_s=known_s)


def operating_points(hearing: StreamHearing, heard: Sequence[Heard]) -> list[OperatingPoint]:
    """The counts of all streams together: at the model's thresholds, then along the sweep."""
    detectors = hearing.detectors(KeywordSpotter(hearing.pack, verify=False).frame_s)
    return [
        OperatingPoint(
            **vars(_counts(heard, row)),
            thresholds=detector.thresholds,
            repeats=sum(one.results[row].repeats for one in heard),
            latencies_s=tuple(s for one in heard for s in one.results[row].latencies_s),
            per_keyword={name: _counts(heard, row, name) for name in hearing.pack.keywords},
        )
        for row, detector in enumerate(detectors)
    ]


def _counts(heard: Sequence[Heard], row: int = 0, keyword: str | None = None) -> Counts:
    """Of one threshold, and of one keyword or all."""
    results = [one.results[row] for one in heard]
    words = _number((word.word for one in heard for word in one.words), keyword)
    missed = _number((word.word for result in results for word in result.misses), keyword)
    false = _number((e.keyword for result in results for e in result.false_accepts), keyword)
    return Counts(sum(one.seconds for one in heard) / 3600, words, words - missed, false)


def _number(names: Iterable[str], wanted: str | None) -> int:
    counted = Counter(names)
    return counted.total() if wanted is None else counted[wanted]
