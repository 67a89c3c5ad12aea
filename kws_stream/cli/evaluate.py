"""`kws-stream evaluate`: figures of a model on a data set."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.options import model_option
from kws_stream.cli.output import print_json
from kws_stream.errors import TaskError

if TYPE_CHECKING:
    from kws_stream.evaluation import Result


def check_json(context: click.Context, option: click.Parameter, file: str | None) -> str | None:
    """Refuse, before hours of work, a file that cannot be written after them."""
    if file is not None and file != "-":
        path = Path(file)
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise click.BadParameter(f"need a file in a folder that can be written, got {file!r}.")
    return file


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--task", type=click.Choice(["yes", "v2-12"]), required=True)
@click.option(
    "--split", type=click.Choice(["validation", "testing"]), default="validation", show_default=True
)
@model_option("commands-12")
@click.option(
    *("--json", "json_file"),
    metavar="FILE",
    callback=check_json,
    help='Write the figures as JSON; "-": print them in place of the table.',
)
@click.option("--carry", is_flag=True, help="Reset nothing between clips.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Draws unknown and silence, and the order of --carry.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes. Default: one a processor.")
def evaluate(
    folder: str,
    task: str,
    split: str,
    model: str,
    json_file: str | None,
    carry: bool,
    seed: int,
    jobs: int | None,
) -> None:
    """Score a model on a data set.

    DIR: Speech Commands, its words as folders, or its official test set."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from kws_stream import evaluation

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        clips = bar.add_task("clips", total=None)
        try:
            result = evaluation.evaluate(
                folder,
                task,
                split,
                model=model,
                jobs=jobs,
                seed=seed,
                carry=carry,
                progress=lambda done, total: bar.update(clips, completed=done, total=total),
            )
        except TaskError as error:
            raise click.UsageError(str(error)) from error
    if json_file == "-":
        print_json(result.as_dict())
        return
    if json_file is not None:
        write_json(Path(json_file), result.as_dict())
    click.echo(table(result))


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """All of the file or nothing of it."""
    text = json.dumps(figures, allow_nan=False, indent=2) + "\n"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_text(text, "utf-8")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise click.FileError(os.fspath(path), error.strerror or str(error)) from error


def table(result: "Result") -> str:
    """The figures in 80 columns: totals, then clips of each class (rows) by what they were called.

    Counts above 9999 take a column more each.
    """
    low, high = result.interval
    headline, _ = result.headline
    lines = [
        f"{result.model} on {result.task}, split {result.split}: {result.clips} clips, "
        f"seed {result.seed}" + (", carried" if result.carry else ""),
        "",
        f"{'accuracy':<20}{_percent(result.accuracy)} %   "
        f"95 % interval {_percent(low).strip()} to {_percent(high).strip()} %",
        f"{'balanced accuracy':<20}{_percent(result.balanced_accuracy)} %"
        + ("   (the figure of this task)" if headline == "balanced_accuracy" else ""),
    ]
    if result.eight_words is not None:
        lines.append(f"{'eight words':<20}{_percent(result.eight_words)} %")
    power = result.core_power_nw
    lines.append(
        f"{'core power':<20}{power['mean']:6.1f} nW   "
        f"clips from {power['min']:.1f} to {power['max']:.1f} nW"
    )
    return "\n".join([*lines, "", *_confusion(result), *(f"Note: {n}" for n in result.notes)])


def _percent(share: float | None) -> str:
    return "     -" if share is None else f"{100 * share:6.2f}"


def _confusion(result: "Result") -> list[str]:
    # as many letters of the names as there is room for, four at least
    letters = max(4, min(max(map(len, result.classes)), 58 // len(result.classes) - 1))
    width = max(letters, *(len(str(count)) for row in result.confusion for count in row)) + 1
    titles = "".join(f"{name[:letters]:>{width}}" for name in result.classes)
    lines = [f"{'called':<9}{titles}  recall"]
    for name, counts in zip(result.classes, result.confusion, strict=True):
        cells = "".join(f"{count or '.':>{width}}" for count in counts)
        lines.append(f"{name:<9}{cells}  {_percent(result.per_class_recall[name])}")
    shares = (result.per_class_precision[name] for name in result.classes)
    cells = "".join(f"{'-' if s is None else f'{100 * s:.0f}':>{width}}" for s in shares)
    return [*lines, f"{'precision':<9}{cells}  in %"]
