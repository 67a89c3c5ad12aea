"""`kws-stream evaluate-stream`: misses and false accepts per hour on long recordings."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.evaluate import check_report, typed
from kws_stream.cli.files import check_file, write_file, write_json
from kws_stream.cli.options import model_option
from kws_stream.cli.output import print_json

if TYPE_CHECKING:
    from kws_stream.evaluation import OperatingPoint, RecordingsResult


@click.command("evaluate-stream")
@click.argument("audio", nargs=-1, required=True)
@model_option("commands-12")
@click.option(
    *("--json", "json_file"),
    metavar="FILE",
    callback=check_file,
    help='Write the figures as JSON; "-": print them in place of the table.',
)
@click.option(
    "--report",
    metavar="FILE.html",
    callback=check_file,
    help="Write a page with curves, latencies and lists of events.",
)
@click.pass_context
def evaluate_stream(
    context: click.Context,
    audio: tuple[str, ...],
    model: str,
    json_file: str | None,
    report: str | None,
) -> None:
    """Count missed words and false accepts in long recordings.

    AUDIO: sound files. NAME.json beside NAME.wav tells the words in it; a file without one
    holds no keywords, so that each event is a false accept."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from kws_stream import evaluation, packs

    if report is not None:
        check_report(report)
    pack = packs.load(model)
    console = Console(stderr=True)
    columns = (TextColumn("{task.completed:.0f} s heard"), *Progress.get_default_columns()[-1:])
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        heard = bar.add_task("heard", total=None)
        result = evaluation.evaluate_recordings(
            audio, pack, lambda seconds: bar.update(heard, completed=seconds)
        )
    if json_file is not None and json_file != "-":
        write_json(Path(json_file), result.as_dict())
    if report is not None:
        from kws_stream.evaluation.report import render

        write_file(Path(report), render(pack, None, result, typed(context)))
    if json_file == "-":
        print_json(result.as_dict())
    else:
        click.echo(table(result))


def table(result: "RecordingsResult") -> str:
    """The figures in 80 columns: at the model's thresholds, then one threshold after another."""
    point = result.point.as_dict()
    lines = [
        f"{result.model}: {result.hours:.2f} h in {result.files} "
        f"recording{'s' * (result.files != 1)}, {result.point.words} keywords spoken",
        "",
        "at the model's thresholds",
        f"  found              {result.point.hits} of {result.point.words}, "
        f"{result.point.repeats} more than once",
        f"  false reject rate  {_share(point['false_reject_rate'])} "
        f"{_interval(point['false_reject_interval'], 100, ' %')}",
        f"  false accepts      {result.point.false_accepts}, "
        f"{point['false_accepts_per_hour']:.2f} per hour "
        f"{_interval(point['false_accepts_per_hour_interval'], 1, ' per hour')}",
    ]
    if point["latency_median_s"] is not None:
        lines.append(
            f"  after word's end   median {point['latency_median_s']:.2f} s, "
            f"95 % within {point['latency_p95_s']:.2f} s"
        )
    lines += ["", "one threshold for all   found  false reject rate  false accepts per hour"]
    return "\n".join([*lines, *map(_row, result.sweep)])


def _row(point: "OperatingPoint") -> str:
    figures = point.as_dict()
    return (
        f"{next(iter(point.thresholds.values())):>21.2f}{point.hits:>8}"
        f"{_share(figures['false_reject_rate']):>19}{figures['false_accepts_per_hour']:>24.2f}"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(bounds: tuple[float, float] | None, scale: float, unit: str) -> str:
    if bounds is None:
        return ""
    return f"(95 %: {scale * bounds[0]:.1f} to {scale * bounds[1]:.1f}{unit})"
