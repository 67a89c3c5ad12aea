"""`kws-stream chip calibrate`: codes that bring a measured chip back to nominal."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.files import check_file, write_file
from kws_stream.cli.progress import progress

if TYPE_CHECKING:
    from kws_stream.studies import Calibration


@click.command()
@click.argument("csv_file", metavar="CSV", type=click.Path(path_type=Path))
@study_options
@click.option(
    "--bits",
    type=click.IntRange(1, 24),
    default=8,
    show_default=True,
    help="Number of bits of a code.",
)
@click.option(
    *("-o", "--output", "out_file"),
    metavar="FILE",
    callback=check_file,
    help="Write the codes to this file as CSV.",
)
@click.option(
    "--virtual",
    type=click.IntRange(0),
    metavar="CHIP",
    help="First write to the CSV file what virtual chip number CHIP would measure with the "
    "given settings.",
)
def calibrate(
    study: Study, csv_file: Path, bits: int, out_file: str | None, virtual: int | None
) -> None:
    """Find the codes that bring one chip's cells back to nominal.

    The CSV file holds the effective thresholds and the state current of every cell, as measured
    with the nominal currents programmed. Its columns are block, cell (both counted from 0),
    beta1_na, beta2_na and alpha_na.
    """
    from kws_stream import packs, studies
    from kws_stream.studies.figures import calibration_figure

    settings = study.settings()
    pack = packs.load(study.model)
    parameters = pack.network.parameters
    if virtual is not None:
        if csv_file.exists():
            raise click.UsageError(f"--virtual writes {csv_file}, which exists; name a new file.")
        text = studies.virtual_measurements(parameters, settings, study.seed, virtual)
        write_file(csv_file, text)
    measured = studies.read_measurements(csv_file, parameters)
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
    with progress("evaluating the chip before and after"):
        result = studies.calibrate(pack, utterances, measured, settings, bits=bits)
    if out_file is not None:
        write_file(Path(out_file), studies.codes_csv(result.codes))
    figures = result.as_dict() | {"seed": study.seed}
    study.show(figures, table(result, study.seed), lambda: calibration_figure(result))


def table(result: "Calibration", seed: int) -> str:
    """A line a bias current, then the accuracies."""
    lines = [
        heading_text(result.head | {"seed": seed}),
        "",
        f"{'block':>5}{'cell':>5}  {'parameter':<10}{'nominal':>9}{'measured':>10}{'code':>6}"
        f"{'current':>9}{'expected':>10}   in nA",
    ]
    lines += [
        f"{one.block + 1:>5}{one.cell + 1:>5}  {one.parameter:<10}{one.nominal_na:9.4f}"
        f"{one.before_na:10.4f}{one.code:6d}{one.current_na:9.4f}{one.after_na:10.4f}"
        for one in result.codes
    ]
    name = result.head["headline"].replace("_", " ")
    lines += [
        "",
        f"error from nominal, rms: {1000 * result.error_na('before'):.2f} pA before, "
        f"{1000 * result.error_na('after'):.2f} pA after, with codes of {result.head['bits']} bits",
        f"{name}: {100 * result.before:.2f} % before, {100 * result.after:.2f} % after; "
        f"nominal {100 * result.exact:.2f} %",
        "Blocks and cells are counted from 1 here and from 0 in CSV and JSON.",
    ]
    return "\n".join(lines)
