"""`kws-stream --power-report`: the power of the packaged recording."""

from pathlib import Path
from typing import TYPE_CHECKING

from kws_stream.cli.options import make_spotter
from kws_stream.cli.output import print_power

if TYPE_CHECKING:
    from kws_stream.power import PowerReport

RECORDING = Path(__file__).resolve().parents[1] / "_data" / "demo.flac"


def report_of(model: str, recording: str | Path = RECORDING) -> "PowerReport":
    """The report of a model that heard a recording from the start."""
    from kws_stream.live import PowerMeter
    from kws_stream.pipeline import blocks_of

    meter = PowerMeter(make_spotter(model, []))
    for block in blocks_of(recording):
        meter.process(block)
    return meter.report()


def print_packaged(model: str, as_json: bool, figure: Path | None) -> None:
    """Run a model over the packaged recording and print its report."""
    report = report_of(model)
    print_power(report, as_json, figure, typed=False)
