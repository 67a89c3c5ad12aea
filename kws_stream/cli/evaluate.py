"""`kws-stream evaluate`: figures of a model on a data set."""

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kws_stream.cli.options import model_option
from kws_stream.cli.output import print_json
from kws_stream.errors import TaskError

if TYPE_CHECKING:
    from kws_stream.evaluation import Result


def check_file(context: click.Context, option: click.Parameter, file: str | None) -> str | None:
    """Refuse, before hours of work, a file that cannot be written after them."""
    if file is not None and file != "-":
        path = Path(file)
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise click.BadParameter(f"need a file in a folder that can be written, got {file!r}.")
    return file


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--task", type=click.Choice(["yes", "v2-12", "v2-35"]), required=True)
@click.option(
    "--split", type=click.Choice(["validation", "testing"]), default="validation", show_default=True
)
@model_option("commands-12")
@click.option(
    *("--json", "json_file"),
    metavar="FILE",
    callback=check_file,
    help='Write the figures as JSON; "-": print them in place of the table.',
)
@click.option(
    *("--csv", "csv_file"),
    metavar="FILE",
    callback=check_file,
    help='Write a row a clip as CSV; "-": print them in place of the table.',
)
@click.option(
    "--report",
    metavar="FILE.html",
    callback=check_file,
    help="Write a page with curves, histograms and the worst errors.",
)
@click.option(
    *("--stream", "streams"),
    metavar="AUDIO",
    multiple=True,
    help="Long recording for the page, as of evaluate-stream. Repeatable.",
)
@click.option(
    "--snr/--no-snr",
    default=None,
    help="Also score the clips in noise: 20, 10, 5 and 0 dB. Default: for a report, where there "
    "is noise.",
)
@click.option(
    "--noise",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Recordings for --snr. Default: _background_noise_ of the data set.",
)
@click.option(
    "--check-streaming", is_flag=True, help="Also hear every clip 10 ms at a time, and compare."
)
@click.option("--carry", is_flag=True, help="Reset nothing between clips.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Draws unknown, silence and noise, and the order of --carry.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes. Default: one a processor.")
@click.pass_context
def evaluate(
    context: click.Context,
    folder: str,
    task: str,
    split: str,
    model: str,
    json_file: str | None,
    csv_file: str | None,
    report: str | None,
    streams: tuple[str, ...],
    snr: bool | None,
    noise: Path | None,
    check_streaming: bool,
    carry: bool,
    seed: int,
    jobs: int | None,
) -> None:
    """Score a model on a data set.

    DIR: Speech Commands, its words as folders, or its official test set."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from kws_stream import evaluation

    check_options(json_file, csv_file, report, streams, snr, noise)
    if snr is None:  # a report wants it, and an official test set has no noise
        snr = report is not None and (noise or Path(folder, evaluation.NOISE)).is_dir()
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        clips = bar.add_task("clips", total=None)
        try:
            run = evaluation.evaluate_clips(
                folder,
                task,
                split,
                model=model,
                jobs=jobs,
                seed=seed,
                carry=carry,
                progress=lambda done, total: bar.update(clips, completed=done, total=total),
                snrs_db=evaluation.SNRS_DB if snr else (),
                noise=noise,
                check_streaming=check_streaming,
            )
            if streams:
                heard = bar.add_task("seconds of stream", total=None)
                recordings = evaluation.evaluate_recordings(
                    streams, run.pack, lambda seconds: bar.update(heard, completed=round(seconds))
                )
        except TaskError as error:
            raise click.UsageError(str(error)) from error
    if json_file is not None and json_file != "-":
        write_json(Path(json_file), run.result.as_dict())
    if csv_file is not None and csv_file != "-":
        write_file(Path(csv_file), evaluation.clip_table(run))
    if report is not None:
        from kws_stream.evaluation.report import render

        page = render(run.pack, run, recordings if streams else None, typed(context))
        write_file(Path(report), page)
    if json_file == "-":
        print_json(run.result.as_dict())
    elif csv_file == "-":
        click.echo(encoded(evaluation.clip_table(run)), nl=False)
    else:
        click.echo(table(run.result))


def check_options(
    json_file: str | None,
    csv_file: str | None,
    report: str | None,
    streams: tuple[str, ...],
    snr: bool | None,
    noise: Path | None,
) -> None:
    """Refuse what does not go together, and a report that cannot be drawn."""
    if json_file == csv_file == "-":
        raise click.UsageError("--json and --csv: only one of them can be printed.")
    if noise is not None and not snr and (report is None or snr is False):
        raise click.UsageError("--noise is for --snr: give both.")
    if streams and report is None:
        raise click.UsageError("--stream is for the page of --report: give both.")
    if report is not None:
        check_report(report)


def check_report(file: str) -> None:
    """Refuse, before the work, a page that cannot be made."""
    from kws_stream.evaluation.report import check_extra

    if file == "-":
        raise click.UsageError("--report: need the name of a file, got '-'.")
    check_extra()


def typed(context: click.Context) -> str:
    """The command line as it was typed, but for the order of its options."""
    words = ["kws-stream", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        values = [value] if isinstance(value, str | Path | int) else list(value)
        if isinstance(parameter, click.Argument):
            words += map(str, values)
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += [word for v in values for word in (parameter.opts[0], str(v))]
    return shlex.join(words)


def write_json(path: Path, figures: dict[str, Any]) -> None:
    write_file(path, json.dumps(figures, allow_nan=False, indent=2) + "\n")


def encoded(text: str) -> bytes:
    """UTF-8; file names that are no text come out as the bytes that they are."""
    return text.encode("utf-8", "surrogateescape")


def write_file(path: Path, text: str) -> None:
    """All of the file or nothing of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_bytes(encoded(text))
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
    if result.accuracy_by_snr is not None:
        lines += ["", *_by_snr(result)]
    if result.same_when_streamed is not None:
        lines.append(
            f"{'10 ms at a time':<20}{result.same_when_streamed} of {result.clips} clips have "
            "the same score in every bit"
        )
    matrix = _confusion if len(result.classes) <= 12 else _classes
    return "\n".join([*lines, "", *matrix(result), *(f"Note: {n}" for n in result.notes)])


def _by_snr(result: "Result") -> list[str]:
    """Columns: without noise, and each ratio."""
    by_snr = {"accuracy": result.accuracy_by_snr, "balanced": result.balanced_accuracy_by_snr}
    ratios = list(result.accuracy_by_snr or {})
    titles = "".join(f"{n if n == 'clean' else f'{n} dB':>9}" for n in ratios)
    lines = [f"{'in noise, at an SNR of':<24}{titles}"]
    for name, shares in by_snr.items():
        cells = "".join(f"{_percent(shares[ratio]):>9}" for ratio in ratios) if shares else ""
        lines.append(f"{name + ' in %':<24}{cells}")
    return lines


def _classes(result: "Result") -> list[str]:
    """A row a class, for more classes than a matrix has room for."""
    lines = [f"{'class':<12}{'clips':>6}{'recall':>9}{'precision':>11}   most often called instead"]
    for row, name in enumerate(result.classes):
        counts = result.confusion[row]
        wrong = sorted((-n, i) for i, n in enumerate(counts) if n and i != row)[:3]
        instead = ", ".join(f"{result.classes[i]} {-n}" for n, i in wrong)
        recall, precision = result.per_class_recall[name], result.per_class_precision[name]
        lines.append(
            f"{name:<12}{sum(counts):>6}{_percent(recall):>9}{_percent(precision):>11}   {instead}"
        )
    return [line.rstrip() for line in lines]


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
