"""Error rates over all thresholds, from the scores of clips."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.evaluation.metrics import task_class
from kws_stream.evaluation.running import ClipRun
from kws_stream.evaluation.table import posteriors

Array = NDArray[np.float64]
REST = ("other", "unknown", "silence")  # classes that are no keywords


@dataclass(frozen=True)
class Curve:
    """A detection error trade-off: false_alarms[i] and misses[i], 0..1, at one threshold each.

    From the highest threshold, where all is missed, to the lowest, where all is called.
    """

    false_alarms: Array
    misses: Array

    __repr__ = brief

    @property
    def equal_error_rate(self) -> float:
        """Where both rates are the same, by a straight line between the points around it."""
        gap = self.false_alarms - self.misses  # rises from -1 to 1
        after = int(np.argmax(gap >= 0))
        before = max(0, after - 1)
        rise = gap[after] - gap[before]
        share = -gap[before] / rise if rise > 0 else 0.0
        rates = self.misses
        return float(rates[before] + share * (rates[after] - rates[before]))


def trade_off(scores: Array, targets: NDArray[np.bool_]) -> Curve | None:
    """Rates of scores (n,) of which `targets` (n,) should be high; None without one of each."""
    wanted, others = int(targets.sum()), int((~targets).sum())
    if not wanted or not others:
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of equal scores
    hits, alarms = np.cumsum(targets[order])[ends], np.cumsum(~targets[order])[ends]
    return Curve(
        np.concatenate([[0.0], alarms / others]), np.concatenate([[1.0], 1 - hits / wanted])
    )


def confidences(run: ClipRun) -> Array:
    """How sure the model was of each of the task's classes, (clips, classes), 0..1.

    A class of the task that stands for several of the model's has their sum.
    """
    classes = run.result.classes
    belongs = np.zeros((len(run.pack.classes), len(classes)))
    for row, name in enumerate(run.pack.classes):
        name = task_class(name, run.result.task)
        if name in classes:
            belongs[row, classes.index(name)] = 1
    return np.array([posteriors(score) for score in run.scores]) @ belongs


def keyword_curves(run: ClipRun) -> tuple[dict[str, Curve], Curve | None]:
    """The trade-off of each keyword against all other clips, and of all of them pooled."""
    scores = confidences(run)
    labels = np.array([clip.label for clip in run.clips])
    keywords = [name for name in run.result.classes if name not in REST]
    columns = scores[:, [run.result.classes.index(name) for name in keywords]]
    targets = labels[:, None] == np.array(keywords)
    curves = {
        name: curve
        for index, name in enumerate(keywords)
        if (curve := trade_off(columns[:, index], targets[:, index])) is not None
    }
    return curves, trade_off(columns.ravel(), targets.ravel())
