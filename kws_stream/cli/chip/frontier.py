"""`kws-stream chip frontier`: suppression, power and accuracy with lower state currents."""

from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.progress import progress

if TYPE_CHECKING:
    from kws_stream.studies.frontier import Frontier


@click.command()
@study_options
@click.option(
    *("--divide", "divisors"),
    type=click.IntRange(1),
    multiple=True,
    metavar="K",
    help="Divide state currents by this power of two. Repeatable. Default: 1 to 32.",
)
@click.option("--chips", type=click.IntRange(1), default=50, show_default=True)
@click.option(
    "--save",
    type=click.Path(),
    metavar="DIR",
    help="Write the pack with these state currents to this folder. Needs exactly one --divide.",
)
def frontier(study: Study, divisors: tuple[int, ...], chips: int, save: str | None) -> None:
    """Measure what suppression of white noise costs.

    State currents are lowered and mirrors widened by the same factor, so the network stays the
    same. The table shows suppression, power and accuracy. Without --set the chips are as a foundry
    would make them.
    """
    from kws_stream import packs, studies
    from kws_stream.bmru.chip import ChipSettings
    from kws_stream.studies.figures import frontier_figure
    from kws_stream.studies.frontier import DIVISORS

    if save is not None and len(divisors) != 1:
        raise click.UsageError("--save needs one --divide.")
    settings = study.settings(**ChipSettings.foundry().as_dict())
    pack = packs.load(study.model)
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
        with progress("simulating state currents") as heard:
            result = studies.frontier(
                pack,
                utterances,
                settings,
                divisors or DIVISORS,
                chips,
                seed=study.seed,
                workers=workers,
                progress=heard,
            )
    if save is not None:
        studies.lowered_pack(pack, save, divisors[0])
    study.show(result.as_dict(), table(result), lambda: frontier_figure(result))


def table(result: "Frontier") -> str:
    """A line a divisor."""
    head = result.head
    name = head["headline"].replace("_", " ")
    lines = [
        heading_text(head, f", {head['chips']} chips, {head['draws']} draws"),
        f"white noise of {1000 * head['level_na']:g} pA on every candidate",
        "",
        f"{name} in %; the exact network has {100 * result.exact:.2f} % at every divisor",
        f"{'states':>8}{'at most,':>10}{'suppression':>13}{'':>18}{'bits that':>11}"
        f"{'core,':>8}{'accuracy':>10}{'widest':>13}",
        f"{'through':>8}{'nA':>10}{'factor':>13}{'95 % interval':>18}{'agree, %':>11}"
        f"{'nW':>8}{'of chips':>10}{'mirror, um':>13}",
    ]
    for row in result.rows:
        low, high = row.interval or (None, None)
        span = "" if low is None else f"{low:.3g} to " + ("any" if high is None else f"{high:.3g}")
        factor = "none differ" if row.suppression is None else f"{row.suppression:.3g}"
        lines.append(
            f"{row.divisor:8d}{row.state_na:10.4f}{factor:>13}{span:>18}"
            f"{100 * row.bits_agree:11.3f}{row.core_nw:8.1f}{100 * row.accuracy:10.2f}"
            f"{row.widest_um:13.1f}"
        )
    return "\n".join(lines)
