"""`kws-stream chip frontier`: suppression, power and accuracy of models and of lower states."""

from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.files import check_new_pack
from kws_stream.cli.progress import progress
from kws_stream.names import counted

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
@click.option(
    *("--also", "also"),
    multiple=True,
    metavar="MODEL",
    help="Show this model beside -m, such as one that was trained with a margin. Repeatable.",
)
@click.option(
    "--chips",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Number of virtual chips to draw for each model and divisor.",
)
@click.option(
    *("-o", "--output", "save"),
    type=click.Path(),
    metavar="DIR",
    callback=check_new_pack,
    help="Write the pack with these state currents to this folder. Needs exactly one --divide, and "
    "no --also.",
)
def frontier(
    study: Study, divisors: tuple[int, ...], also: tuple[str, ...], chips: int, save: str | None
) -> None:
    """Measure what suppression of white noise costs.

    State currents are lowered and mirrors widened by the same factor, so the network stays the
    same. The table shows suppression, power and accuracy. Without --set the chips are as a foundry
    would make them.
    """
    from kws_stream import packs, studies
    from kws_stream.bmru.chip import ChipSettings
    from kws_stream.studies.figures import frontier_figure
    from kws_stream.studies.frontier import DIVISORS

    if save is not None and (len(divisors) != 1 or also):
        raise click.UsageError("--output needs one --divide and no --also.")
    settings = study.settings(**ChipSettings.foundry().as_dict())
    with study.workers() as workers:
        heard = []
        for name in dict.fromkeys([study.model, *also]):
            pack = packs.load(name)
            heard.append((pack, study.utterances(pack, workers)))
        with progress("simulating state currents") as told:
            result = studies.frontier(
                heard,
                settings,
                divisors or DIVISORS,
                chips,
                seed=study.seed,
                workers=workers,
                progress=told,
            )
    if save is not None:
        studies.lowered_pack(heard[0][0], save, divisors[0])
    study.show(result.as_dict(), table(result), lambda: frontier_figure(result))


def table(result: "Frontier") -> str:
    """A line for each model and divisor."""
    head = result.head
    name = head["headline"].replace("_", " ")
    models = list(dict.fromkeys(row.model for row in result.rows))
    wide = max(map(len, models)) + 1
    lines = [
        heading_text(head, f", {counted(head['chips'], 'chip')}, {counted(head['draws'], 'draw')}"),
        f"white noise of {1000 * head['level_na']:g} pA on every candidate; {name} in %",
        "",
        f"{'':{wide}}{'states':>7}{'at most,':>9}{'suppression':>12}{'':>14}{'bits that':>10}"
        f"{'core,':>7}{'accuracy':>9}{'of':>7}{'widest':>11}",
        f"{'':{wide}}{'through':>7}{'nA':>9}{'factor':>12}{'95 % interval':>14}{'agree, %':>10}"
        f"{'nW':>7}{'exact':>9}{'chips':>7}{'mirror, um':>11}",
    ]
    for row in result.rows:
        low, high = row.interval or (None, None)
        span = "" if low is None else f"{low:.3g} to " + ("any" if high is None else f"{high:.3g}")
        factor = "none differ" if row.suppression is None else f"{row.suppression:.3g}"
        lines.append(
            f"{row.model:{wide}}{row.divisor:7d}{row.state_na:9.4f}{factor:>12}{span:>14}"
            f"{100 * row.bits_agree:10.3f}{row.core_nw:7.1f}{100 * row.exact:9.2f}"
            f"{100 * row.accuracy:7.2f}{row.widest_um:11.1f}"
        )
    return "\n".join(lines)
