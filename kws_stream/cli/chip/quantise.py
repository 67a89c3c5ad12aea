"""`kws-stream chip quantise`: accuracy against the bits of weights and bias currents."""

from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.files import check_new_pack
from kws_stream.cli.progress import progress

if TYPE_CHECKING:
    from kws_stream.studies import Conditions


@click.command()
@study_options
@click.option(
    *("--weights", "weight_bits"),
    type=click.IntRange(0, 24),
    multiple=True,
    metavar="BITS",
    help="Bits of a weight, including the sign. 0 leaves weights as they are. Repeatable. "
    "Default: 2 to 8, and 0.",
)
@click.option(
    *("--biases", "bias_bits"),
    type=click.IntRange(0, 24),
    multiple=True,
    metavar="BITS",
    help="Bits of biases, including the sign, and of cell currents. Otherwise as --weights.",
)
@click.option(
    *("-o", "--output", "save"),
    type=click.Path(),
    metavar="DIR",
    callback=check_new_pack,
    help="Write the pack with these bits to this folder. Needs exactly one --weights and one "
    "--biases.",
)
def quantise(
    study: Study, weight_bits: tuple[int, ...], bias_bits: tuple[int, ...], save: str | None
) -> None:
    """Measure accuracy over the bits of weights and biases."""
    from kws_stream import packs, studies
    from kws_stream.studies.conditions import BITS
    from kws_stream.studies.figures import quantise_figure

    if save is not None and (len(weight_bits), len(bias_bits)) != (1, 1):
        raise click.UsageError("--output needs one --weights and one --biases.")
    settings = study.settings()
    pack = packs.load(study.model)
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
        with progress("evaluating numbers of bits") as heard:
            result = studies.quantise(
                pack,
                utterances,
                settings,
                weight_bits=weight_bits or BITS,
                bias_bits=bias_bits or BITS,
                seed=study.seed,
                workers=workers,
                progress=heard,
            )
    if save is not None:
        studies.requantised_pack(pack, save, weight_bits[0], bias_bits[0])
    study.show(result.as_dict(), table(result), lambda: quantise_figure(result))


def table(result: "Conditions") -> str:
    """A line a number of bits of the weights, a column one of the biases."""
    biases = result.values("bias_bits")
    name = result.head["headline"].replace("_", " ")
    lines = [
        heading_text(result.head),
        "",
        f"{name} in %; the exact network has {100 * result.exact:.2f} %",
        f"{'weights':>10}  biases and cell currents, bits",
        f"{'bits':>10}" + "".join(f"{bits or 'as is':>8}" for bits in biases),
    ]
    for weights in result.values("weight_bits"):
        row = [result.at(weight_bits=weights, bias_bits=bits) for bits in biases]
        cells = "".join(f"{100 * one.accuracy:8.2f}" for one in row)
        lines.append(f"{weights or 'as is':>10}{cells}")
    return "\n".join(lines)
