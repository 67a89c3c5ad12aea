"""`kws-stream chip accumulation`: whether errors add up, with depth and with time."""

from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.options import NumberRange
from kws_stream.cli.progress import progress

if TYPE_CHECKING:
    from kws_stream.studies.accumulation import Accumulation


@click.command()
@study_options
@click.option(
    "--share",
    type=NumberRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Level of the white noise, as a share of the rms of what drives the states.",
)
def accumulation(study: Study, share: float) -> None:
    """Measure whether state errors grow with depth and time.

    White noise is added to a BMRU network, a minGRU and an LRU of equal size, and errors are
    counted by block and by time.
    """
    from kws_stream import packs, studies
    from kws_stream.studies.figures import accumulation_figure

    settings = study.settings()
    pack = packs.load(study.model)
    baselines = studies.load_baselines()
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
        theirs = study.utterances(pack, workers, baselines.about["features"])
    with progress("simulating networks") as heard:
        result = studies.accumulation(
            pack, utterances, baselines, theirs, settings, share, seed=study.seed, progress=heard
        )
    study.show(result.as_dict(), table(result), lambda: accumulation_figure(result))


def table(result: "Accumulation") -> str:
    """Of each network a line by block, and a line by time."""
    lines = [
        heading_text(result.head),
        f"white noise of {100 * result.head['share']:g} % of what drives the states",
        "",
        "state error in % of the states, both rms",
    ]
    for one in result.networks:
        blocks = "".join(f"{100 * error:9.2f}" for error in one.by_block)
        times = "".join("        -" if e is None else f"{100 * e:9.2f}" for e in one.by_time)
        since = "last set or reset" if one.network.startswith("BMRU") else "start"
        lines += [
            f"{one.network}, {one.parameters} parameters",
            f"  {'block 1, 2, ...':<32}{blocks}",
            f"  {f's since the {since}, from':<32}" + "".join(f"{s:9.2f}" for s in one.seconds),
            f"  {'block 1':<32}{times}",
        ]
    return "\n".join(lines)
