"""`kws-stream tune`: thresholds for a target of false accepts per hour, from own recordings."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.evaluate import typed
from kws_stream.cli.evaluate_stream import FOLDER, counts_row, share, synthesis_options
from kws_stream.cli.files import check_new_pack, write_json
from kws_stream.cli.options import (
    channel_option,
    check_workers,
    fa_target_option,
    json_file_options,
    load_pack,
    no_verify_option,
    plot_option,
    workers_options,
)
from kws_stream.cli.output import complain, print_json, say, tell_channels
from kws_stream.cli.progress import progress
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.evaluation import Setting, Stream, Tuning


@click.command()
@click.argument("model", metavar="PACK")
@click.argument("audio", nargs=-1)
@click.option(
    "--positives",
    type=FOLDER,
    metavar="DIR",
    help="Clips of the keywords in DIR/<word>, or directly in DIR for a model with one keyword.",
)
@click.option(
    "--background",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    help="Recordings without keywords, heard alone and under the clips. Repeatable.",
)
@fa_target_option("Accept at most this many false accepts an hour, of all keywords together.")
@synthesis_options
@no_verify_option
@channel_option
@click.option(
    *("-o", "--output"),
    type=FOLDER,
    metavar="NEWPACK",
    callback=check_new_pack,
    help="Write a copy of the pack with these thresholds to this folder.",
)
@json_file_options
@plot_option(
    "Draw misses, false accepts and the verifier's power over the network's threshold to this file "
    "(extra: report)."
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
    as_json: bool,
    json_file: str | None,
    figure: Path | None,
    jobs: int | None,
    cluster: str | None,
) -> None:
    """Recommend thresholds for a rate of false accepts.

    PACK is a model's name or folder; it is never changed. AUDIO is a recording or a folder, as for
    evaluate-stream, best with labels.

    Example: kws-stream tune yes-4 evening.wav -o my-yes
    """
    from kws_stream import evaluation
    from kws_stream.workers import Workers

    check_workers(jobs, cluster)
    if not audio and not background and positives is None:
        raise click.UsageError("need AUDIO, --background or --positives.")
    if positives is None and split is not None:
        raise click.UsageError("--split is for clips: add --positives DIR.")
    pack = load_pack(model, no_verify)
    if figure is not None and pack.verifier is None:
        raise click.UsageError("--plot is for a model with a verifier.")
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
            made, said = evaluation.mixtures_of(
                pack.keywords, positives, background, None, snr_db, seed, split, channel
            )
            streams += made
            notes += [note for note in said if note not in notes]
        tuning = evaluation.tune(streams, pack, target, heard, workers, notes)
    tell_channels(tuning.channel_notes)
    if figure is not None:
        from kws_stream.evaluation.cascade_figure import draw_cascade

        draw_cascade(tuning, figure)
    if output is not None:
        evaluation.save_tuned(pack, tuning, output, typed(context))
    if json_file is not None:
        write_json(Path(json_file), tuning.as_dict())
    if as_json:
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
        *(_cascade_rows(tuning) if tuning.cascade else _rows(tuning)),
    ]
    now, new = "now", "recommended"
    if tuning.recommended_verifier_nw is not None:
        now += f", verifier's threshold {tuning.verifier_threshold:g}"
        microwatts = tuning.recommended_verifier_nw[1] / 1000
        new += (
            f", verifier's threshold {tuning.recommended_verifier_threshold:g}: "
            f"{tuning.recommended_triggers_per_hour:.0f} triggers an hour, {microwatts:.3g} uW"
        )
    for title, setting in ((now, tuning.current), (new, tuning.recommended)):
        lines += ["", title, *_setting(setting)]
    return "\n".join([*lines, "", *(f"Note: {note}." for note in tuning.notes)])


def _rows(tuning: "Tuning") -> list[str]:
    return [
        f"{'one threshold for all':<24}{'hours':>6}{'spoken':>8}{'missed':>9}"
        f"{'false accepts per hour (95 %)':>32}",
        *(
            counts_row(f"{next(iter(setting.thresholds.values())):>21g}", setting.counts)
            for setting in tuning.trade_off[1::2]
        ),
    ]


def _cascade_rows(tuning: "Tuning") -> list[str]:
    """Each threshold of the network with the best of the verifier for the target."""
    lines = [
        "one threshold   triggers   verifier's                  false accepts   verifier",
        "for all         per hour   best        missed          per hour        uW",
    ]
    for point in tuning.cascade[1::2]:
        counts = point.counts
        missed = share((counts.words - counts.hits) / counts.words) if counts.words else "-"
        lines.append(
            f"{point.threshold:<16g}{point.triggers_per_hour:<11.0f}"
            f"{point.verifier_threshold:<12g}{missed:<16}"
            f"{counts.false_accepts / counts.hours:<16.2f}{point.verifier_nw[1] / 1000:.3g}"
        )
    return lines


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
