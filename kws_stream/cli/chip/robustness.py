"""`kws-stream chip robustness`: mismatch on a BMRU network, a minGRU and an LRU."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.options import NumberRange
from kws_stream.cli.progress import progress
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.studies.robustness import Robustness


@click.command()
@study_options
@click.option(
    "--chips",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Number of virtual chips to draw for each network and mismatch.",
)
@click.option(
    "--mismatch",
    "percents",
    type=NumberRange(0, 50),
    multiple=True,
    metavar="PERCENT",
    help="3 sigma of every programmed parameter, in percent. Repeatable. Default: 5, 10 and 15.",
)
@click.option(
    "--baselines",
    "baselines_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Networks made by scripts/train_baselines.py. Default: the packaged ones.",
)
def robustness(
    study: Study, chips: int, percents: tuple[float, ...], baselines_file: Path | None
) -> None:
    """Compare what mismatch does to BMRU, minGRU and LRU."""
    from kws_stream import packs, studies
    from kws_stream.studies.baselines import PACKAGED_BASELINES
    from kws_stream.studies.figures import robustness_figure

    settings = study.settings()
    pack = packs.load(study.model)
    baselines = studies.load_baselines(baselines_file or PACKAGED_BASELINES)
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
        theirs = study.utterances(pack, workers, baselines.about["features"])
        with progress("simulating chips, in groups") as heard:
            result = studies.robustness(
                pack,
                utterances,
                baselines,
                theirs,
                settings,
                percents or studies.PERCENTS,
                chips,
                seed=study.seed,
                workers=workers,
                progress=heard,
            )
    study.show(result.as_dict(), table(result), lambda: robustness_figure(result))


def table(result: "Robustness") -> str:
    """A heading a network, and a line a mismatch."""
    head = result.head
    lines = [
        heading_text(head, f", {counted(head['chips'], 'chip')}"),
        "",
        f"{head['headline'].replace('_', ' ')} in %, and its mean loss with the standard error",
        f"{'mismatch':>12}{'mean':>9}{'std':>8}{'p5':>9}{'worst':>9}   loss",
    ]
    shown = ""
    for row in result.as_dict()["populations"]:
        if row["network"] != shown:
            shown = row["network"]
            lines.append(
                f"{shown}, {head['parameters'][shown]} parameters, exact {100 * row['exact']:.2f} %"
            )
        lines.append(
            f"{row['mismatch_percent']:>10g} %{100 * row['mean']:9.2f}{100 * row['std']:8.2f}"
            f"{100 * row['p5']:9.2f}{100 * row['min']:9.2f}"
            f"   {100 * row['loss']:.2f} +- {100 * row['loss_standard_error']:.2f}"
        )
    return "\n".join(lines)
