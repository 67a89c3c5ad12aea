"""`kws-stream chip pvt`: corners, supply and temperature."""

from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.progress import progress

if TYPE_CHECKING:
    from kws_stream.studies import Conditions


@click.command()
@study_options
@click.option(
    "--ideal",
    is_flag=True,
    help="Start from the ideal chip, not from the typical one with its fits and leakage.",
)
@click.option(
    "--corner",
    "corners",
    multiple=True,
    help="Process corner: tt, ff, ss, fs or sf. Repeatable. Default: all five.",
)
@click.option(
    *("--supply", "supplies"),
    type=float,
    multiple=True,
    metavar="V",
    help="Supply voltage. Repeatable. Default: 1.62, 1.8 and 1.98.",
)
@click.option(
    *("--temperature", "temperatures"),
    type=float,
    multiple=True,
    metavar="C",
    help="Temperature in degrees Celsius. Repeatable. Default: -20, 27 and 85.",
)
@click.option(
    "--chips",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Number of virtual chips for each condition, if --set makes chips differ.",
)
def pvt(
    study: Study,
    ideal: bool,
    corners: tuple[str, ...],
    supplies: tuple[float, ...],
    temperatures: tuple[float, ...],
    chips: int,
) -> None:
    """Measure accuracy over corners, supply and temperature."""
    from kws_stream import packs, studies
    from kws_stream.bmru.chip import ChipSettings
    from kws_stream.bmru.chip_settings import CORNERS
    from kws_stream.studies.conditions import SUPPLIES_V, TEMPERATURES_C
    from kws_stream.studies.figures import pvt_figure

    base = ChipSettings() if ideal else ChipSettings.typical()
    settings = study.settings(**base.as_dict())
    pack = packs.load(study.model)
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
        with progress("simulating conditions") as heard:
            result = studies.pvt(
                pack,
                utterances,
                settings,
                corners=corners or tuple(CORNERS),
                supplies_v=supplies or SUPPLIES_V,
                temperatures_c=temperatures or TEMPERATURES_C,
                chips=chips,
                seed=study.seed,
                workers=workers,
                progress=heard,
            )
    study.show(result.as_dict(), table(result), lambda: pvt_figure(result))


def table(result: "Conditions") -> str:
    """A line a supply and temperature, a column a corner; then power."""
    corners = result.values("corner")
    name = result.head["headline"].replace("_", " ")
    lines = [
        heading_text(result.head),
        "",
        f"mean {name} in %; the exact network has {100 * result.exact:.2f} %",
        f"{'supply':>8}{'temperature':>13}"
        + "".join(f"{corner:>8}" for corner in corners)
        + f"{'core, nW':>11}",
    ]
    for supply in result.values("supply_v"):
        for temperature in result.values("temperature_c"):
            row = [
                result.at(corner=corner, supply_v=supply, temperature_c=temperature)
                for corner in corners
            ]
            cells = "".join(f"{100 * one.accuracy:8.2f}" for one in row)
            lines.append(f"{supply:6g} V{temperature:11g} C{cells}{row[0].core_nw:11.1f}")
    return "\n".join(
        [*lines, f"Core power is estimated, of the first chip at corner {corners[0]}."]
    )
