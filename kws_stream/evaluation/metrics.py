"""From scores of clips to the figures that are reported."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kws_stream import packs
from kws_stream.errors import ParameterError, TaskError
from kws_stream.evaluation.clips import Progress, Score, score_clips
from kws_stream.evaluation.speech_commands import COMMANDS, TASKS, Clip, select

EIGHT_WORDS = tuple(word for word in COMMANDS if word not in ("on", "off"))
Z_95 = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Result:
    """Figures of a model on a task; fractions are 0..1, None where there is nothing to divide by.

    confusion: [i][j], clips of class i called j, in the order of `classes`. balanced_accuracy:
    mean recall of the classes that have clips. interval: 95 % of `accuracy`, by Wilson.
    eight_words: accuracy on clips of yes no up down left right stop go, every class allowed; for
    v2-12. core_power_nw: mean, min and max over clips. split: "all" for an official test set.
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

    @property
    def headline(self) -> tuple[str, float]:
        """Name and value of the task's figure: balanced accuracy for yes, accuracy for v2-12."""
        name = "balanced_accuracy" if self.task == "yes" else "accuracy"
        return name, float(getattr(self, name))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every field under its own name."""
        lists = ("classes", "interval", "notes")
        return asdict(self) | {name: list(getattr(self, name)) for name in lists}


def evaluate(
    folder: str | os.PathLike[str],
    task: str = "v2-12",
    split: str = "validation",
    model: str | Path | packs.Pack = "commands-12",
    jobs: int | None = None,
    seed: int = 0,
    carry: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Figures of a model on the clips of a Speech Commands folder.

    Arguments as of `select` and `score_clips`. Raises TaskError for a model that cannot do the
    task, and what those two raise.
    """
    pack = model if isinstance(model, packs.Pack) else packs.load(model)
    check_task(pack, task)
    selection = select(folder, task, split, seed)
    scores = score_clips(pack, selection.clips, jobs, carry, seed, progress)
    return summarise(
        selection.clips,
        scores,
        task=task,
        model=pack.name,
        seed=seed,
        split=selection.split,
        carry=carry,
        notes=selection.notes,
    )


def check_task(pack: packs.Pack, task: str) -> None:
    """Raises TaskError unless the pack has the classes of the task; for yes, the class yes."""
    if task not in TASKS:
        raise ParameterError(f"task: need one of {', '.join(TASKS)}, got {task!r}")
    needed = ("yes",) if task == "yes" else TASKS[task]
    missing = [name for name in needed if name not in pack.classes]
    if missing:
        raise TaskError(
            f"task {task}: need a model with the classes {', '.join(needed)}, but {pack.name} has "
            f"{', '.join(pack.classes)}; choose another model or task"
        )


def summarise(
    clips: Sequence[Clip],
    scores: Sequence[Score],
    *,
    task: str,
    model: str,
    seed: int = 0,
    split: str = "all",
    carry: bool = False,
    notes: Sequence[str] = (),
) -> Result:
    """Figures of scores (n,) of clips (n,), n >= 1; `notes` and the rest are passed on.

    A class of the model that is none of the task's counts as the task's class for the rest: other
    or unknown.
    """
    classes = TASKS[task]
    rest = "other" if task == "yes" else "unknown"
    row_of = {name: row for row, name in enumerate(classes)}
    confusion = [[0] * len(classes) for _ in classes]
    for clip, score in zip(clips, scores, strict=True):
        confusion[row_of[clip.label]][row_of.get(score.called, row_of[rest])] += 1
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
        carry=carry,
        interval=wilson_interval(sum(right), len(clips)),
        eight_words=_fraction(sum(right[i] for i in eight), sum(actual[i] for i in eight)),
        per_class_precision=dict(zip(classes, map(_fraction, right, called), strict=True)),
        notes=tuple(notes),
    )


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a fraction `right` of n >= 1 (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    share, spread = right / n, Z_95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
