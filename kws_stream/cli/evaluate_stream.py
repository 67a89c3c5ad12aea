"""`kws-stream evaluate-stream`: misses and false accepts per hour on long recordings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.evaluate import check_report, typed
from kws_stream.cli.files import check_file, write_file, write_json
from kws_stream.cli.options import (
    NumberRange,
    channel_option,
    check_workers,
    json_file_options,
    load_pack,
    model_option,
    no_verify_option,
    with_options,
    workers_options,
)
from kws_stream.cli.output import print_json, say, tell_channels
from kws_stream.cli.progress import progress
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.evaluation import Counts, OperatingPoint, RecordingsResult, Stream, Verified
    from kws_stream.workers import Workers

FOLDER = click.Path(file_okay=False, path_type=Path)
ONLY_SYNTHETIC = ("split", "background", "hours", "snr_db", "save")


def synthesis_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How clips become a stream."""
    options = [
        click.option(
            "--split",
            type=click.Choice(["training", "validation", "testing"]),
            help="Use only the clips of this split of Speech Commands. Default: all.",
        ),
        click.option(
            "--snr",
            "snr_db",
            type=NumberRange(-100, 100),
            default=20.0,
            show_default=True,
            help="Level of a word of median loudness above the background, in dB.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="Seed that draws clips, pauses and background.",
        ),
    ]
    return with_options(command, options)


@click.command("evaluate-stream")
@click.argument("audio", nargs=-1)
@model_option("commands-12")
@no_verify_option
@channel_option
@click.option(
    "--synthesise",
    "clips",
    type=FOLDER,
    metavar="DIR",
    help="Also make a stream of the clips in DIR/<word>.",
)
@click.option(
    "--background",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="Recordings to play under the clips. Repeatable. Default: DIR/_background_noise_.",
)
@click.option(
    "--hours",
    type=NumberRange(0, 10_000, min_open=True),
    default=1.0,
    show_default=True,
    help="Hours of stream to make.",
)
@synthesis_options
@click.option(
    "--save",
    type=FOLDER,
    metavar="DIR",
    help="Write the streams that are made, with their labels, to this folder.",
)
@json_file_options
@click.option(
    "--report",
    metavar="FILE.html",
    callback=check_file,
    help="Write a page with curves, latencies and lists of events (extra: report).",
)
@workers_options
@click.pass_context
def evaluate_stream(
    context: click.Context,
    audio: tuple[str, ...],
    model: str,
    no_verify: bool,
    channel: int | None,
    clips: Path | None,
    background: tuple[Path, ...],
    hours: float,
    split: str | None,
    snr_db: float,
    seed: int,
    save: Path | None,
    as_json: bool,
    json_file: str | None,
    report: str | None,
    jobs: int | None,
    cluster: str | None,
) -> None:
    """Count misses and false accepts in long recordings.

    AUDIO is a sound file, which is a stream of its own, or a folder, whose files are heard one
    after another. NAME.json beside NAME.wav tells the words in it. A file without such labels holds
    no keywords, so that each event is a false accept.

    Example: kws-stream evaluate-stream evening.wav radio/
    """
    from kws_stream import evaluation
    from kws_stream.evaluation.saving import check_save
    from kws_stream.workers import Workers

    check_workers(jobs, cluster)
    if clips is None:
        if not audio:
            raise click.UsageError("need AUDIO, or --synthesise with a folder of clips.")
        _refuse_what_needs_clips(context)
    if save is not None:
        check_save(save)
    if report is not None:
        check_report(report)
    pack = load_pack(model, no_verify)
    with (
        progress("hearing recordings", "s") as heard,
        Workers(jobs, cluster) as workers,
    ):
        skipped = evaluation.Skipped()
        streams: list[Stream] = [*evaluation.streams_of(audio, skipped, channel)]
        notes = skipped.notes
        if clips is not None:
            made, said = evaluation.mixtures_of(
                pack.keywords, clips, background, hours, snr_db, seed, split, channel
            )
            streams += made if save is None else _saved(made, save, workers, context)
            notes += said
        result = evaluation.evaluate_streams(streams, pack, heard, workers, notes)
    tell_channels(result.channel_notes)
    if json_file is not None:
        write_json(Path(json_file), result.as_dict())
    if report is not None:
        from kws_stream.evaluation.report import render

        with progress("drawing the page"):
            page = render(pack, None, result, typed(context))
        write_file(Path(report), page)
    if as_json:
        print_json(result.as_dict())
    else:
        say(table(result))


def _refuse_what_needs_clips(context: click.Context) -> None:
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if option.name in ONLY_SYNTHETIC and source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{option.opts[0]} is for a stream made of clips: add --synthesise DIR."
            )


def _saved(
    streams: Sequence["Stream"], folder: Path, workers: "Workers", context: click.Context
) -> Sequence["Stream"]:
    from kws_stream import evaluation

    names = ("clips", "background", "hours", "snr_db", "seed", "split", "channel")
    values = {name: context.params[name] for name in names}
    about = values | {
        "clips": str(values["clips"]),
        "background": [str(place) for place in values["background"]],
    }
    return evaluation.save_streams(streams, folder, workers, {"made_from": about})


def table(result: "RecordingsResult") -> str:
    """The figures in 80 columns: at the model's thresholds, then one threshold after another."""
    point = result.point.as_dict()
    lines = [
        f"{result.model}: {result.hours:.2f} h in {counted(result.files, 'recording')}, "
        f"{counted(result.point.words, 'keyword')} spoken",
        "",
        "at the model's thresholds",
        f"  found              {result.point.hits} of {result.point.words}, "
        f"{result.point.repeats} more than once",
        f"  false reject rate  {share(point['false_reject_rate'])} "
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
    if result.verifier is not None:
        lines.append(_verifier_line(result.triggers_per_hour, result.verifier))
    head = f"{'hours':>6}{'spoken':>8}{'missed':>9}{'false accepts per hour (95 %)':>32}"
    if len(result.sources) > 1:
        lines += ["", f"{'':<24}{head}"]
        lines += [counts_row(name, c) for name, c in result.sources.items()]
    if len(result.point.per_keyword) > 1:
        lines += ["", f"{'':<24}{head}"]
        lines += [counts_row(name, c) for name, c in result.point.per_keyword.items()]
    lines += ["", "one threshold for all   found  false reject rate  false accepts per hour"]
    lines += map(_row, result.sweep)
    return "\n".join([*lines, *(f"Note: {note}" for note in result.notes)])


def _verifier_line(triggers_per_hour: float, verifier: "Verified") -> str:
    text = f"  verifier           {triggers_per_hour:.1f} triggers per hour"
    if verifier.cpu_ms is None:
        return f"{text}, none to judge"
    return f"{text}, {verifier.cpu_ms:.0f} ms each; it missed {verifier.misses}"


def counts_row(name: str, counts: "Counts") -> str:
    """A line of 79 columns: name, hours, words, and rates with their intervals."""
    figures = counts.as_dict()
    bounds, rate = figures["false_accepts_per_hour_interval"], "-"
    if bounds is not None:
        rate = f"{figures['false_accepts_per_hour']:.2f} ({bounds[0]:.2f} to {bounds[1]:.2f})"
    short = name if len(name) < 24 else f"...{name[-20:]}"
    return (
        f"{short:<24}{counts.hours:>6.2f}{counts.words:>8}"
        f"{share(figures['false_reject_rate']):>9}{rate:>32}"
    )


def _row(point: "OperatingPoint") -> str:
    figures = point.as_dict()
    threshold = f"{next(iter(point.thresholds.values())):g}"
    return (
        f"{threshold:>21}{point.hits:>8}"
        f"{share(figures['false_reject_rate']):>19}{figures['false_accepts_per_hour']:>24.2f}"
    )


def share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(bounds: tuple[float, float] | None, scale: float, unit: str) -> str:
    if bounds is None:
        return ""
    return f"(95 %: {scale * bounds[0]:.1f} to {scale * bounds[1]:.1f}{unit})"
