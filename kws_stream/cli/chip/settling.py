"""`kws-stream chip settling`: candidates that need time, and no clock to wait for them."""

from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.progress import progress

if TYPE_CHECKING:
    from kws_stream.studies.settling import Settling


@click.command()
@study_options
@click.option(
    *("--time", "times_s"),
    type=float,
    multiple=True,
    metavar="S",
    help="Time constant of the candidate nodes at 1 nA. Repeatable. Default: 10 us to 5 ms.",
)
def settling(study: Study, times_s: tuple[float, ...]) -> None:
    """Measure what slow candidate nodes cost.

    The table shows accuracy and late switches over the time constant of the candidate nodes.
    """
    from kws_stream import packs, studies
    from kws_stream.studies.figures import settling_figure
    from kws_stream.studies.settling import TIME_CONSTANTS_S

    settings = study.settings()
    pack = packs.load(study.model)
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
        with progress("simulating time constants") as heard:
            result = studies.settling(
                pack,
                utterances,
                settings,
                times_s or TIME_CONSTANTS_S,
                seed=study.seed,
                workers=workers,
                progress=heard,
            )
    study.show(result.as_dict(), table(result), lambda: settling_figure(result))


def table(result: "Settling") -> str:
    """A line a time constant."""
    name = result.head["headline"].replace("_", " ")
    lines = [
        heading_text(result.head),
        "",
        f"{name} in %; the exact network has {100 * result.exact:.2f} %",
        f"{'time constant':>15}{'accuracy':>11}{'bits that agree, %':>20}{'switches late, %':>18}",
    ]
    lines += [
        f"{1000 * row.settling_s:>12g} ms{100 * row.accuracy:11.2f}{100 * row.bits_agree:20.3f}"
        f"{100 * row.late:18.2f}"
        for row in result.rows
    ]
    lines.append("Bits at the ends of frames; a switch is late by a frame or more.")
    return "\n".join(lines)
