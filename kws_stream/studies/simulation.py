"""Virtual chips listening to utterances: what they call them, and how well that is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.bmru.chip import ChipBatch, ChipSettings
from kws_stream.brief import brief
from kws_stream.engine.chip import sums
from kws_stream.packs import Pack
from kws_stream.parameters import FloatArray, NetworkParameters
from kws_stream.studies.clips import Utterances
from kws_stream.workers import Progress, Workers

CHIPS_AT_ONCE = 8  # simulated side by side, whose weights a cache still holds; changes no bit

Called = NDArray[np.int16]


@dataclass(frozen=True)
class Task:
    """Chips with these numbers under these settings."""

    settings: ChipSettings
    chips: tuple[int, ...]

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Simulated:
    """What chips made of utterances: called (chips, n), rows of the classes.

    frames (chips, n, F): the class of the largest logit in each of the F frames that decide.
    """

    called: Called
    frames: Called

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Simulation:
    """A picklable function of a `Task`: every utterance on every chip of it."""

    parameters: NetworkParameters
    utterances: Utterances
    seed: int = 0

    __repr__ = brief

    def __call__(self, task: Task) -> Simulated:
        settings = replace(task.settings, frame_s=self.utterances.frame_s)
        batch = ChipBatch(self.parameters, settings, self.seed, task.chips, sums)
        start, stop = self.utterances.window
        n = len(self.utterances)
        called = np.empty((len(task.chips), n), np.int16)
        frames = np.empty((len(task.chips), n, stop - start), np.int16)
        for clip in range(n):
            logits = batch.logits(self.utterances.frames_of(clip), clip, start, stop)
            called[:, clip] = logits.mean(axis=0).argmax(axis=0)
            frames[:, clip] = logits.argmax(axis=1).T
        return Simulated(called, frames)


def listen(
    pack: Pack,
    utterances: Utterances,
    tasks: Sequence[Task],
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Iterator[Simulated]:
    """What each task's chips make of the utterances, in the order of the tasks."""
    simulation = Simulation(pack.network.parameters, utterances, seed)
    return (workers or Workers(1)).map(simulation, tasks, progress=progress)


def tasks_of(settings: ChipSettings, chips: int) -> list[Task]:
    """`chips` virtual chips in groups; one is enough where all are alike and nothing is random."""
    if not (settings.differs or settings.random):
        chips = 1
    numbers = range(chips)
    return [
        Task(settings, tuple(numbers[at : at + CHIPS_AT_ONCE]))
        for at in range(0, chips, CHIPS_AT_ONCE)
    ]


def exact(pack: Pack, utterances: Utterances) -> Simulated:
    """What the exact network makes of them, by `Network.run`: called (1, n)."""
    start, stop = utterances.window
    logits = [
        pack.network.run(utterances.frames_of(clip)).logits[start:stop]
        for clip in range(len(utterances))
    ]
    called = [one.mean(axis=0).argmax() for one in logits]
    frames = [one.argmax(axis=1) for one in logits]
    return Simulated(np.array([called], np.int16), np.array([frames], np.int16))


def joined(parts: Iterable[Simulated]) -> Simulated:
    """All chips of several groups."""
    parts = list(parts)
    return Simulated(
        np.concatenate([part.called for part in parts]),
        np.concatenate([part.frames for part in parts]),
    )


def scores(called: Called, utterances: Utterances) -> dict[str, FloatArray]:
    """accuracy and balanced_accuracy (chips,), fractions, of called (chips, n)."""
    right = called == utterances.labels
    present = np.unique(utterances.labels)
    recalls = [right[:, utterances.labels == label].mean(axis=1) for label in present]
    return {"accuracy": right.mean(axis=1), "balanced_accuracy": np.mean(recalls, axis=0)}


def headline(called: Called, utterances: Utterances) -> FloatArray:
    """The accuracy (chips,) that counts for this model."""
    return scores(called, utterances)[utterances.headline]


def spread(values: FloatArray) -> dict[str, float]:
    """Mean, standard deviation and quantiles of some chips' figure."""
    low, median, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "p5": float(low),
        "median": float(median),
        "p95": float(high),
        "max": float(values.max()),
    }


def heading(
    study: str, pack: Pack, utterances: Utterances, seed: int, settings: ChipSettings
) -> dict[str, Any]:
    """What every study's JSON begins with."""
    from kws_stream.bmru.chip import extrapolations

    frames = replace(settings, frame_s=utterances.frame_s)
    return {
        "study": study,
        "model": pack.name,
        "data": utterances.source,
        "clips": len(utterances),
        "notes": list(utterances.notes),
        "seed": seed,
        "headline": utterances.headline,
        "settings": frames.as_dict(),
        "extrapolations": extrapolations(pack.network.parameters, frames),
    }
