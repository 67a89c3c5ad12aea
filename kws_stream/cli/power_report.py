"""`kws-stream --power-report`: the power of the packaged recording."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.files import open_sound
from kws_stream.cli.options import make_spotter
from kws_stream.cli.output import print_power
from kws_stream.constants import RECORDING

if TYPE_CHECKING:
    from kws_stream.packs import Pack
    from kws_stream.power import PowerReport


def report_of(
    model: str, recording: str | Path = RECORDING, channel: int | None = None
) -> "tuple[PowerReport, str]":
    """The report of a model that heard a recording from the start, and which did which."""
    from kws_stream.live import PowerMeter
    from kws_stream.pipeline import blocks_of

    meter = PowerMeter(make_spotter(model, []))
    rate_hz = meter.spotter.rate_hz
    for block in blocks_of(open_sound(recording, channel, rate_hz), rate_hz):
        meter.process(block)
    return meter.report(), subject_of(meter.spotter.pack, [recording])


def subject_of(pack: "Pack", heard: Sequence[str | Path]) -> str:
    """Which model heard what, as the beginning of a title."""
    model = f"{pack.name} {pack.version}"
    match heard:
        case [one] if one == RECORDING:
            return f"{model} on the packaged recording"
        case ["-"]:
            return f"{model} on standard input"
        case [one]:
            return f"{model} on {click.format_filename(one, shorten=True)}"
        case _:
            return f"{model} on {len(heard)} recordings"


def print_packaged(model: str, as_json: bool, figure: Path | None, full: bool) -> None:
    """Run a model over the packaged recording and print its report."""
    report, subject = report_of(model)
    print_power(report, subject, as_json, figure, full=full, typed=False)
