"""`kws-stream evaluate`: figures of a model on a data set."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kws_stream.cli.evaluate_table import table
from kws_stream.cli.files import check_file, encoded, write_file, write_json
from kws_stream.cli.options import (
    channel_option,
    check_workers,
    json_file_options,
    model_option,
    power_option,
    power_plot_option,
    workers_options,
)
from kws_stream.cli.output import complain, print_json, print_power, say, tell_channels
from kws_stream.cli.progress import progress
from kws_stream.errors import TaskError

if TYPE_CHECKING:
    from kws_stream.power import PowerReport


@click.command()
@click.argument("folder", metavar="DIR")
@click.option(
    "--task",
    type=click.Choice(["yes", "v2-12", "v2-35"]),
    required=True,
    help='What to tell apart: "yes" from other words, the 12 classes of Speech Commands, or the '
    "35 words of its version 2.",
)
@click.option(
    "--split",
    type=click.Choice(["validation", "testing"]),
    default="validation",
    show_default=True,
    help="Score the speakers of this split of the data set.",
)
@click.option(
    "--half",
    type=click.Choice(["choosing", "reported"]),
    help="Score only one half of the split's speakers: the one that models are chosen with, or"
    " the other one.",
)
@model_option("commands-12")
@channel_option
@json_file_options
@click.option(
    *("--csv", "csv_file"),
    metavar="FILE",
    callback=check_file,
    help='Write a row for each clip to this file as CSV. "-" prints the rows in place of the '
    "table.",
)
@click.option(
    "--report",
    metavar="FILE.html",
    callback=check_file,
    help="Write a page with curves, histograms and the worst errors (extra: report).",
)
@click.option(
    *("--stream", "streams"),
    metavar="AUDIO",
    multiple=True,
    help="Long recording for the page, as for evaluate-stream. Repeatable.",
)
@click.option(
    "--snr/--no-snr",
    default=None,
    help="Also score the clips in noise at 20, 10, 5 and 0 dB. This is the default for a "
    "report, if the folder has noise.",
)
@click.option(
    "--noise",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of noise for --snr. Default: _background_noise_ of the data set.",
)
@click.option(
    "--check-streaming",
    is_flag=True,
    help="Also hear every clip 10 ms at a time, and compare every score.",
)
@power_option("Also hear every clip once more, and print the power report.")
@power_plot_option
@click.option(
    "--carry",
    is_flag=True,
    help="Reset nothing between clips, which gives the continuous (carried) accuracy. Default: "
    "reset the model before each clip, which gives the reset (fresh) accuracy.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed that draws unknown words, silence and noise, and the order of --carry.",
)
@workers_options
@click.pass_context
def evaluate(
    context: click.Context,
    folder: str,
    task: str,
    split: str,
    half: str | None,
    model: str,
    channel: int | None,
    as_json: bool,
    json_file: str | None,
    csv_file: str | None,
    report: str | None,
    streams: tuple[str, ...],
    snr: bool | None,
    noise: Path | None,
    check_streaming: bool,
    power_report: bool,
    full: bool,
    figure: Path | None,
    carry: bool,
    seed: int,
    jobs: int | None,
    cluster: str | None,
) -> None:
    """Score a model on the clips of a data set.

    DIR is a Speech Commands folder, with one folder for each word, or its official test set.

    Example: kws-stream evaluate speech_commands --task v2-12
    """
    from kws_stream import evaluation
    from kws_stream.workers import Workers

    check_options(as_json, csv_file, report, streams, snr, noise)
    check_workers(jobs, cluster)
    if snr is None:  # a report wants it, and an official test set has no noise
        own = evaluation.folder_of(Path(folder), evaluation.NOISE)
        known = noise is not None or own.is_dir()
        snr = report is not None and known
    check_streams(streams, channel)
    try:
        with progress("scoring clips") as scored:
            run = evaluation.evaluate_clips(
                folder,
                task,
                split,
                model=model,
                jobs=jobs,
                seed=seed,
                carry=carry,
                progress=scored,
                snrs_db=evaluation.SNRS_DB if snr else (),
                noise=noise,
                check_streaming=check_streaming,
                cluster=cluster,
                channel=channel,
                half=half,
            )
        if streams:
            with progress("hearing streams", "s") as heard, Workers(jobs, cluster) as workers:
                recordings = evaluation.evaluate_recordings(
                    streams, run.pack, heard, workers, channel
                )
    except TaskError as error:
        raise click.UsageError(str(error)) from error
    power = None
    if power_report or figure is not None:
        with progress("measuring the power of clips") as measured:
            power = evaluation.power_of_clips(run, jobs, measured, cluster)
    asked = context.get_parameter_source("split") is ParameterSource.COMMANDLINE
    if run.result.split == "all" and asked and split != "testing":
        complain(
            f"{folder} is the official test set, which has no {split} split: all of its clips "
            "were scored"
        )
    tell_channels([*run.channel_notes, *(recordings.channel_notes if streams else ())])
    figures = run.result.as_dict() | ({"power": power.as_dict()} if power is not None else {})
    if json_file is not None:
        write_json(Path(json_file), figures)
    if csv_file is not None and csv_file != "-":
        write_file(Path(csv_file), evaluation.clip_table(run))
    if report is not None:
        from kws_stream.evaluation.report import render

        with progress("drawing the page"):
            page = render(run.pack, run, recordings if streams else None, typed(context))
        write_file(Path(report), page)
    if as_json:
        print_json(figures)
    elif csv_file == "-":
        click.echo(encoded(evaluation.clip_table(run)), nl=False)
    else:
        say(table(run.result))
    if power is not None:
        printed = as_json or csv_file == "-"
        subject = f"{run.pack.name} {run.pack.version} on {len(run.clips)} clips"
        show_power(power, subject, figure, as_table=not printed, full=full)


def show_power(
    report: "PowerReport", subject: str, figure: Path | None, as_table: bool, full: bool
) -> None:
    """The power report below the figures, and as a picture in a file."""
    if figure is not None:
        from kws_stream.power.figure import draw

        draw(report, figure, subject)
    if as_table:
        click.echo()
        print_power(report, subject, as_json=False, full=full)


def check_options(
    as_json: bool,
    csv_file: str | None,
    report: str | None,
    streams: tuple[str, ...],
    snr: bool | None,
    noise: Path | None,
) -> None:
    """Refuse what does not go together, and a report that cannot be drawn."""
    if as_json and csv_file == "-":
        raise click.UsageError("--json and --csv: only one of them can be printed.")
    if noise is not None and not snr and (report is None or snr is False):
        raise click.UsageError("--noise is for --snr: give both.")
    if streams and report is None:
        raise click.UsageError("--stream is for the page of --report: give both.")
    if report is not None:
        check_report(report)


def check_streams(names: Sequence[str], channel: int | None = None) -> None:
    """Open, before the work, the recordings that come after it, and read their labels."""
    from kws_stream import evaluation
    from kws_stream.audio import FileSource

    for stream in evaluation.streams_of(names):
        for file in stream.files:
            FileSource(file, channel).close()
            evaluation.read_labels(file)


def check_report(file: str) -> None:
    """Refuse, before the work, a page that cannot be made."""
    from kws_stream.plots import check_matplotlib

    if file == "-":
        raise click.UsageError("--report: need the name of a file, got '-'.")
    check_matplotlib("a report")


def typed(context: click.Context) -> str:
    """The command line as it was typed, but for the order of its options."""
    words = ["kws-stream", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        if value is None:  # --channel mean, which is the default
            continue
        values = [value] if isinstance(value, str | Path | int | float) else list(value)
        if isinstance(parameter, click.Argument):
            words += map(str, values)
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += [word for v in values for word in (parameter.opts[0], _word(v))]
    return shlex.join(words)


def _word(value: Any) -> str:
    """A value as it is typed; a threshold is a pair of a keyword, or None, and a number."""
    if isinstance(value, tuple):
        keyword, threshold = value
        return f"{threshold}" if keyword is None else f"{keyword}={threshold}"
    return str(value)
