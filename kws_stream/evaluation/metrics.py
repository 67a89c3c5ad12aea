"""From scores of clips to the figures that are reported."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kws_stream.brief import brief
from kws_stream.evaluation.clips import Score
from kws_stream.evaluation.speech_commands import COMMANDS, TASKS, Clip

EIGHT_WORDS = tuple(word for word in COMMANDS if word not in ("on", "off"))
Z_95 = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Result:
    """Figures of a model on a task; fractions are 0..1, None where there is nothing to divide by.

    confusion: `[i][j]`, clips of class i called j, in the order of `classes`. balanced_accuracy:
    mean recall of the classes that have clips. interval: 95 % of `accuracy`, by Wilson.
    eight_words: accuracy on clips of yes no up down left right stop go, every class allowed; for
    v2-12. core_power_nw: mean, min and max over clips. split: "all" for an official test set.
    half: of the split's speakers, see `speech_commands.half_of`; None for all of them.

    What `evaluate` adds: parameters and multiply_accumulates of the network, the latter
    {"per_frame", "per_second"}; accuracy_by_snr, balanced_accuracy_by_snr: {"clean": value, "20":
    value, ...}, ratios in dB; same_when_streamed: clips whose streamed score is their offline
    score, of all `clips`.
    """

    clips: int
    accuracy: float
    balanced_accuracy: float
    classes: tuple[str, ...]
    per_class_recall: dict[str, float | None]
    confusion: list[list[int]]
    core_power_nw: dict[str, float]
    model: str
    task: str
    seed: int
    split: str
    carry: bool
    interval: tuple[float, float]
    eight_words: float | None
    per_class_precision: dict[str, float | None]
    notes: tuple[str, ...] = ()
    parameters: int | None = None
    multiply_accumulates: dict[str, float] | None = None
    accuracy_by_snr: dict[str, float] | None = None
    balanced_accuracy_by_snr: dict[str, float] | None = None
    same_when_streamed: int | None = None
    half: str | None = None

    __repr__ = brief

    @property
    def headline(self) -> tuple[str, float]:
        """Name and value of the task's figure: balanced accuracy for yes, else accuracy."""
        name = "balanced_accuracy" if self.task == "yes" else "accuracy"
        return name, float(getattr(self, name))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every field under its own name."""
        lists = ("classes", "interval", "notes")
        return asdict(self) | {name: list(getattr(self, name)) for name in lists}


def summarise(
    clips: Sequence[Clip],
    scores: Sequence[Score],
    *,
    task: str,
    model: str,
    seed: int = 0,
    split: str = "all",
    half: str | None = None,
    carry: bool = False,
    notes: Sequence[str] = (),
) -> Result:
    """Figures of scores (n,) of clips (n,), n >= 1; `notes` and the rest are passed on."""
    classes = TASKS[task]
    row_of = {name: row for row, name in enumerate(classes)}
    confusion = [[0] * len(classes) for _ in classes]
    for clip, score in zip(clips, scores, strict=True):
        confusion[row_of[clip.label]][row_of[task_class(score.called, task)]] += 1
    right = [confusion[row][row] for row in range(len(classes))]
    actual = [sum(row) for row in confusion]
    called = [sum(column) for column in zip(*confusion, strict=True)]
    recall = dict(zip(classes, map(_fraction, right, actual), strict=True))
    present = [value for value in recall.values() if value is not None]
    eight = [row_of[word] for word in EIGHT_WORDS] if task == "v2-12" else []
    powers = [score.core_nw for score in scores]
    return Result(
        clips=len(clips),
        accuracy=sum(right) / len(clips),
        balanced_accuracy=math.fsum(present) / len(present),
        classes=classes,
        per_class_recall=recall,
        confusion=confusion,
        core_power_nw={
            "mean": math.fsum(powers) / len(powers),
            "min": min(powers),
            "max": max(powers),
        },
        model=model,
        task=task,
        seed=seed,
        split=split,
        half=half,
        carry=carry,
        interval=wilson_interval(sum(right), len(clips)),
        eight_words=_fraction(sum(right[i] for i in eight), sum(actual[i] for i in eight)),
        per_class_precision=dict(zip(classes, map(_fraction, right, called), strict=True)),
        notes=tuple(notes),
    )


def task_class(called: str, task: str) -> str:
    """The task's class for a class of the model; for one that it lacks: other or unknown."""
    if called in TASKS[task]:
        return called
    return "other" if task == "yes" else "unknown"


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a fraction `right` of n >= 1 (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    share, spread = right / n, Z_95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
