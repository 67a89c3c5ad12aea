"""The learning curves of a training run: loss, core power and accuracy over steps, from log.csv."""

import csv
from pathlib import Path

from kws_stream.errors import DataError
from kws_stream.plots import SERIES, figure_file


def draw_curves(log: Path, picture: Path) -> None:
    """Draw the last run in a `log` of `training.loop.Training`: loss, nW, and percent, over steps.

    Raises MissingExtraError without Matplotlib, DataError for a log that cannot be read.
    """
    steps, columns = _last_run(log)
    lines = (  # column, its name, its place from the top, its factor
        ("loss", "loss", 0, 1.0),
        ("power_nw", "core power at 1 nA", 1, 1.0),
        ("fresh", "fresh", 2, 100.0),
        ("carried", "carried", 2, 100.0),
    )
    with figure_file(picture, 6.4, 6.4) as figure:
        axes = figure.subplots(3, sharex=True)
        for (column, name, place, factor), colour in zip(lines, SERIES, strict=False):
            values = [factor * value for value in columns[column]]
            axes[place].plot(steps, values, color=colour, label=name, marker=".")
        for axis, title in zip(
            axes,
            (
                "Loss, running mean over training batches",
                "Core power in nW at 1 nA, running mean over training batches",
                "Balanced accuracy on validation clips in %",
            ),
            strict=True,
        ):
            axis.set_title(title)
            axis.grid(axis="y")
        axes[2].legend(loc="lower right")
        axes[2].set_xlabel("step")


def _last_run(log: Path) -> tuple[list[int], dict[str, list[float]]]:
    """Steps and columns since the steps last began anew: a log is added to, run after run."""
    try:
        with log.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        steps = [int(row["step"]) for row in rows]
        begins = max((i for i in range(1, len(steps)) if steps[i] <= steps[i - 1]), default=0)
        names = ("loss", "power_nw", "fresh", "carried")
        columns = {name: [float(row[name]) for row in rows[begins:]] for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{log}: need the log of a training run, got: {error!r}") from error
    return steps[begins:], columns
