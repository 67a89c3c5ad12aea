"""`kws-stream --power-report`: the power of the packaged recording."""

from pathlib import Path

from kws_stream.cli.options import make_spotter
from kws_stream.cli.output import power_json, print_json, print_power, report_of

RECORDING = Path(__file__).resolve().parents[1] / "_data" / "demo.flac"


def print_packaged(model: str, as_json: bool) -> None:
    """Run a model over the packaged recording and print its report."""
    spotter = make_spotter(model, [])
    for _ in spotter.events(RECORDING):
        pass
    if as_json:
        print_json(power_json(report_of(spotter)))
    else:
        print_power(spotter, as_json=False)
