"""`kws-stream chip noise`: candidate error against state error, by block and level."""

from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.progress import progress

if TYPE_CHECKING:
    from kws_stream.studies.noise import BlockErrors, NoiseStudy


@click.command()
@study_options
@click.option(
    "--source",
    type=click.Choice(["noise", "mismatch"]),
    default="noise",
    show_default=True,
    help="Where the errors come from.",
)
@click.option(
    "--level",
    "levels",
    type=float,
    multiple=True,
    metavar="X",
    help="nA rms of noise, or percent of mismatch; repeatable. Default: the published range.",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Noise, or chips, for each clip.",
)
def noise(study: Study, source: str, levels: tuple[float, ...], draws: int) -> None:
    """How much of an error in the candidates reaches the states."""
    from kws_stream import packs, studies
    from kws_stream.studies.figures import noise_figure
    from kws_stream.studies.noise import with_level

    settings = study.settings()
    for level in levels:
        with_level(settings, source, level)
    pack = packs.load(study.model)
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
        with progress("simulating levels, in groups of clips") as heard:
            result = studies.noise(
                pack,
                utterances,
                settings,
                source,
                levels or None,
                draws=draws,
                seed=study.seed,
                workers=workers,
                progress=heard,
            )
    study.show(result.as_dict(), table(result), lambda: noise_figure(result))


def table(result: "NoiseStudy") -> str:
    """A line a block and level: errors in pA, bits, factor and its interval."""
    head = result.head
    lines = [
        heading_text(head, f", {head['draws']} draws"),
        "",
        f"{head['source'] + ', ' + head['level_unit']:>14}{'block':>7}{'candidate':>11}"
        f"{'state error':>13}{'bits that':>11}{'suppression':>13}",
        f"{'':>14}{'':>7}{'error, pA':>11}{'pA':>13}{'agree, %':>11}{'factor':>13}  95 % interval",
    ]
    for level in result.levels:
        lines += [_line(row, str(row.block + 1)) for row in result.rows if row.level == level]
        if len(result.rows) > len(result.levels):  # more than one block
            lines += [_line(row, "all") for row in result.overall if row.level == level]
    return "\n".join([*lines, "", result.verdict])


def _line(row: "BlockErrors", block: str) -> str:
    factor, interval = "none differ", ""
    if row.factor is not None and row.interval is not None:
        low, high = row.interval
        factor = f"{row.factor:.3g}"
        interval = f"{low:.3g} to " + ("any" if high is None else f"{high:.3g}")
    return (
        f"{row.level:14g}{block:>7}{1000 * row.candidate_na:11.2f}{1000 * row.state_na:13.3f}"
        f"{100 * row.bits_agree:11.3f}{factor:>13}  {interval}"
    )
