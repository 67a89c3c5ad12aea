"""`kws-stream power`: the power report of a model on a file, or its sweep."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.options import channel_option, full_option, json_option, plot_option
from kws_stream.cli.output import print_json, print_power, say, tell_channels
from kws_stream.cli.power_report import report_of, subject_of
from kws_stream.cli.progress import progress
from kws_stream.constants import RECORDING
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.studies.unit_current import SweepPoint


def _numbers(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError as error:
        raise click.BadParameter(f"need numbers with commas between, got {text!r}.") from error


@click.command()
@click.argument("model")
@click.argument("audio", required=False, type=click.Path())
@channel_option
@click.option(
    "--sweep",
    is_flag=True,
    help="Print power over unit currents and supply voltages in place of the report.",
)
@click.option(
    "--units", callback=_numbers, metavar="nA,nA,...", help="Unit currents for --sweep, in nA."
)
@click.option(
    "--supplies", callback=_numbers, metavar="V,V,...", help="Supply voltages for --sweep, in V."
)
@full_option("Print the whole report, not only a summary.")
@json_option("Print one JSON object.")
@plot_option("Also draw the report to this file (extra: report).")
def power(
    model: str,
    audio: str | None,
    channel: int | None,
    sweep: bool,
    units: tuple[float, ...] | None,
    supplies: tuple[float, ...] | None,
    full: bool,
    as_json: bool,
    figure: Path | None,
) -> None:
    """Estimate the power of a chip while it hears a recording.

    MODEL is a name or the folder of a pack. AUDIO is a sound file, by default the packaged
    recording.

    Example: kws-stream power commands-12 evening.wav --full
    """
    recording = RECORDING if audio is None else audio
    if not sweep:
        if units is not None or supplies is not None:
            raise click.UsageError("--units and --supplies are for --sweep: give it, too.")
        report, subject = report_of(model, recording, channel)
        print_power(report, subject, as_json, figure, full=full, typed=False)
        return
    from kws_stream import packs
    from kws_stream.audio import read_whole
    from kws_stream.features import FeatureSettings
    from kws_stream.power.sweep import SUPPLIES_V, UNITS_NA
    from kws_stream.studies.unit_current import draw_sweep, unit_current

    pack = packs.load(model)
    rate_hz = FeatureSettings.from_dict(pack.features).rate_hz
    samples = read_whole(recording, channel, lambda note: tell_channels([note]), to_hz=rate_hz)
    with progress("simulating unit currents"):
        points = unit_current(pack, samples, units or UNITS_NA, supplies or SUPPLIES_V)
    if figure is not None:
        draw_sweep(points, figure)
    if as_json:
        print_json({"model": pack.name, "points": [point.as_dict() for point in points]})
    else:
        say(table(points, subject_of(pack, [recording])))


def table(points: "tuple[SweepPoint, ...]", subject: str) -> str:
    """A row a point in 80 columns; * marks what is extrapolated."""
    lines = [
        f"{subject}: power of the core,",
        "and what a typical chip hears as the exact network does, which detects "
        f"{counted(points[0].words, 'word')}",
        "",
        "supply  unit    core, nW     cells    mirrors     bits decisions  words  extra",
    ]
    for point in points:
        at = point.power
        lines.append(
            f"{at.supply_v:g} V".ljust(8)
            + f"{at.unit_na:g} nA".ljust(8)
            + f"{at.core_nw:8.4g} {at.cells_nw:9.4g} "
            f"{at.feedforward_nw:11.4g}{'*' if at.extrapolated else ' '} "
            f"{100 * point.bits_equal:5.1f} % {100 * point.decisions_equal:7.1f} % "
            f"{point.found:6} {point.extra:6}"
        )
    lines += [
        "",
        "* extrapolated: the formulas were fitted at 1 nA and 1.8 V.",
        "Bits and decisions: the share that is as in the exact network; words: of its",
        "words, those that are detected; extra: others. The chip is the typical one, with",
        "shot noise and no mismatch; --json says where that leaves its own conditions.",
    ]
    return "\n".join(lines)
