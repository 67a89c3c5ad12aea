"""`kws-stream chip scaling`: power against the number of cells."""

from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.chip.common import Study, study_options
from kws_stream.cli.progress import progress
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.studies.scaling import Scaling, Size


@click.command()
@study_options
@click.option(
    *("--also", "also"),
    multiple=True,
    metavar="MODEL",
    help="Further models beside -m. Repeatable. Default: every shipped model of command words.",
)
def scaling(study: Study, also: tuple[str, ...]) -> None:
    """Compute the power of cells and mirrors over the size d.

    The table has trained networks, and counts of larger ones beyond them. The formulas are those of
    the exact network at 1 nA, so chip settings change nothing here.
    """
    from kws_stream import packs, studies
    from kws_stream.studies.figures import scaling_figure

    names = dict.fromkeys([study.model, *(also or _of_commands())])
    heard = []
    with study.workers() as workers:
        for name in names:
            pack = packs.load(name)
            heard.append((pack, study.utterances(pack, workers)))
    with progress(f"evaluating {len(names)} models"):
        result = studies.scaling(heard)
    study.show(result.as_dict(), table(result), lambda: scaling_figure(result))


def _of_commands() -> list[str]:
    """The shipped models that know words of the packaged clips; one for a wake phrase does not."""
    from kws_stream import packs
    from kws_stream.evaluation.speech_commands import COMMANDS

    names = packs.list_packs()
    return [name for name in names if not set(COMMANDS).isdisjoint(packs.load(name).keywords)]


def table(result: "Scaling") -> str:
    """A line a size, then the exponents."""
    head = result.head
    lines = [
        f"mean power of a block over {counted(head['clips'], 'clip')} ({head['data']}),",
        "at a unit current of 1 nA; d: cells of a block",
        "",
        f"{'':<17}{'d':>5}{'blocks':>7}{'parameters':>11}{'mirrors':>9}{'cells, nW':>10}"
        f"{'mirrors, nW':>12}{'accuracy':>9}",
    ]
    lines += [_line(size) for size in result.sizes if size.trained]
    lines.append("counted: a mean cell and a mean mirror of those above, times their number")
    lines += [_line(size) for size in result.sizes if not size.trained]
    lines.append("")
    for part, name in (("cells_nw", "cells"), ("feedforward_nw", "mirrors")):
        for kind in ("trained", "counted"):
            exponent = _exponent(result, f"{part}_{kind}")
            lines.append(f"power of {name} goes with d^x, {kind}: x = {exponent}")
    return "\n".join(lines)


def _line(size: "Size") -> str:
    accuracy = "" if size.accuracy is None else f"{100 * size.accuracy:7.2f} %"
    return (
        f"{size.name:<17}{size.d:>5}{size.blocks:>7}{size.parameters:>11}{size.mirrors:>9.0f}"
        f"{size.cells_nw:>10.1f}{size.feedforward_nw:>12.1f}{accuracy}"
    )


def _exponent(result: "Scaling", name: str) -> str:
    found: Any = result.exponents[name]
    if found is None:
        return "unknown"
    error = "two sizes" if found.error is None else f"+- {found.error:.2f}"
    return f"{found.value:.2f} ({error})"
