"""`kws-stream tune`: thresholds for a target of false accepts per hour, from own recordings."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.evaluate import typed
from kws_stream.cli.evaluate_stream import FOLDER, counts_row, mixtures, share, synthesis_options
from kws_stream.cli.files import check_file, write_json
from kws_stream.cli.options import (
    channel_option,
    check_workers,
    load_pack,
    no_verify_option,
    workers_options,
)
from kws_stream.cli.output import complain, counted, print_json, say, tell_channels
from kws_stream.cli.progress import progress
from kws_stream.errors import PackError

if TYPE_CHECKING:
    from kws_stream.evaluation import Setting, Stream, Tuning


@click.command()
@click.argument("model", metavar="PACK")
@click.argument("audio", nargs=-1)
@click.option(
    "--positives",
    type=FOLDER,
    metavar="DIR",
    help="Clips of the keywords, in DIR/<word>; or right in DIR for a model with one keyword.",
)
@click.option(
    "--background",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="Recordings without keywords, heard alone and under the clips; repeatable.",
)
@click.option(
    "--target-fa-per-hour",
    "target",
    type=click.FloatRange(0, min_open=True, max=1e6),
    default=0.5,
    show_default=True,
    help="False accepts per hour, of all keywords together.",
)
@synthesis_options
@no_verify_option
@channel_option
@click.option(
    *("-o", "--output"), type=FOLDER, metavar="NEWPACK", help="Write a copy with these thresholds."
)
@click.option(
    *("--json", "json_file"),
    metavar="FILE",
    callback=check_file,
    help='Write the figures as JSON; "-": print them in place of the table.',
)
@workers_options
@click.pass_context
def tune(
    context: click.Context,
    model: str,
    no_verify: bool,
    audio: tuple[str, ...],
    positives: Path | None,
    background: tuple[Path, ...],
    target: float,
    split: str | None,
    snr_db: float,
    seed: int,
    channel: int | None,
    output: Path | None,
    json_file: str | None,
    jobs: int | None,
    cluster: str | None,
) -> None:
    """Recommend thresholds for a target of false accepts per hour.

    PACK: a model's name or folder; it is never changed. AUDIO: recordings and folders as of
    evaluate-stream, best with labels."""
    from kws_stream import evaluation, packs
    from kws_stream.workers import Workers

    check_workers(jobs, cluster)
    if not audio and not background and positives is None:
        raise click.UsageError("need AUDIO, --background or --positives.")
    if positives is None and split is not None:
        raise click.UsageError("--split is for clips: add --positives DIR.")
    if output is not None and output.exists():
        raise PackError(f"{output} exists; need a new folder for the tuned pack, name another")
    pack = load_pack(model, no_verify)
    with (
        progress("hearing recordings", "s") as heard,
        Workers(jobs, cluster) as workers,
    ):
        skipped = evaluation.Skipped()
        streams: list[Stream] = [
            *evaluation.streams_of(audio, skipped, channel),
            *evaluation.streams_of(background, skipped, channel, mono_too=True),
        ]
        notes = skipped.notes
        if positives is not None:
            made, said = mixtures(pack, positives, background, None, snr_db, seed, split, channel)
            streams += made
            notes += [note for note in said if note not in notes]
        tuning = evaluation.tune(streams, pack, target, heard, workers, notes)
    tell_channels(tuning.channel_notes)
    if output is not None:
        detector = pack.detector | {"thresholds": dict(tuning.recommended.thresholds)}
        figures = {"target_false_accepts_per_hour": target, **tuning.recommended.as_dict()}
        record = {"command": typed(context), "model": pack.name, "figures": figures}
        packs.save_copy(
            pack.path, output, name=output.resolve().name, detector=detector, tuning=record
        )
    if json_file is not None and json_file != "-":
        write_json(Path(json_file), tuning.as_dict())
    if json_file == "-":
        print_json(tuning.as_dict())
    else:
        say(table(tuning))
    if output is not None:
        complain(f"wrote {shlex.quote(str(output))}")


def table(tuning: "Tuning") -> str:
    """The trade-off and the recommendation, in 80 columns."""
    counts = tuning.recommended.counts
    lines = [
        f"{tuning.model}: {tuning.hours:.2f} h, {counted(counts.words, 'keyword')} spoken; target "
        f"{tuning.target:g} false accepts per hour",
        "",
        f"{'one threshold for all':<24}{'hours':>6}{'spoken':>8}{'missed':>9}"
        f"{'false accepts per hour (95 %)':>32}",
        *(
            counts_row(f"{next(iter(setting.thresholds.values())):>21g}", setting.counts)
            for setting in tuning.trade_off[1::2]
        ),
    ]
    for title, setting in (("now", tuning.current), ("recommended", tuning.recommended)):
        lines += ["", title, *_setting(setting)]
    return "\n".join([*lines, "", *(f"Note: {note}." for note in tuning.notes)])


def _setting(setting: "Setting") -> list[str]:
    rows = [
        counts_row(f"  {name:<12} {setting.thresholds[name]:>8g}", counts)
        for name, counts in setting.per_keyword.items()
    ]
    missed = setting.counts.as_dict()["false_reject_interval"]
    if len(rows) > 1:
        rows.append(counts_row("  all", setting.counts))
    if missed is not None:
        rows.append(f"  missed, 95 %: {share(missed[0])} to {share(missed[1])}")
    return rows
