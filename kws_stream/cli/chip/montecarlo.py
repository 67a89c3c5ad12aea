"""`kws-stream chip montecarlo`: the accuracy of many virtual chips, and the yield."""

from typing import Any

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.options import NumberRange
from kws_stream.cli.progress import progress
from kws_stream.names import counted


@click.command()
@study_options
@click.option(
    "--chips",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Number of virtual chips to draw.",
)
@click.option(
    "--mismatch",
    type=NumberRange(0, 50),
    metavar="PERCENT",
    help="Take the ideal chip with this percentage as 3 sigma of every programmed parameter; "
    "the paper takes 5, 10 and 15. Default: chips as a foundry would make them, which are"
    " typical except for Pelgrom's mismatch.",
)
@click.option(
    "--accuracy",
    type=NumberRange(0, 1),
    default=0.9,
    show_default=True,
    help="A chip with at least this accuracy is good. The yield is the share of good chips.",
)
def montecarlo(study: Study, chips: int, mismatch: float | None, accuracy: float) -> None:
    """Measure accuracy and yield of many virtual chips."""
    from kws_stream import packs, studies
    from kws_stream.bmru.chip import ChipSettings
    from kws_stream.studies.figures import montecarlo_figure

    if mismatch is None:
        settings = study.settings(**ChipSettings.foundry().as_dict())
    else:
        settings = study.settings(mismatch_percent=mismatch)
    pack = packs.load(study.model)
    with study.workers() as workers:
        utterances = study.utterances(pack, workers)
        with progress("simulating chips, in groups") as heard:
            result = studies.montecarlo(
                pack,
                utterances,
                settings,
                chips,
                wanted=accuracy,
                seed=study.seed,
                workers=workers,
                progress=heard,
            )
    figures = result.as_dict()
    study.show(figures, table(figures, chips), lambda: montecarlo_figure(result))


def table(figures: dict[str, Any], asked: int) -> str:
    """The figures in 80 columns; asked: how many chips were, of which one stands for all alike."""
    names = ("mean", "std", "min", "p5", "median", "p95", "max")
    chips = figures["chips"]
    alike = " (these settings make all chips alike)" if chips < asked else ""
    lines = [
        heading_text(figures, f", {counted(chips, 'chip')}{alike}"),
        _mismatch(figures["settings"]),
        "",
        f"{'in %':<22}" + "".join(f"{name:>8}" for name in names),
    ]
    rows = {
        "accuracy": "accuracy",
        "balanced accuracy": "balanced_accuracy",
        "clips that flip": "flips",
        "frames that flip": "frame_flips",
    }
    for title, name in rows.items():
        mark = " *" if name == figures["headline"] else ""
        cells = "".join(f"{100 * figures[name][key]:8.2f}" for key in names)
        lines.append(f"{title + mark:<22}{cells}")
    lines += [
        f"* the figure of this model; the exact network has {100 * figures['exact']:.2f} %",
        "  flip: called otherwise than by the exact network",
        "",
    ]
    name = figures["headline"].replace("_", " ")
    lines.append(f"yield: the share of chips whose {name} is at least")
    wanted = figures["yield"][0]  # then those at a distance from the exact network
    for one in sorted(figures["yield"], key=lambda one: -one["accuracy"]):
        drop = f"{100 * (figures['exact'] - one['accuracy']):.3g}"
        reason = (
            "as --accuracy asks"
            if one is wanted
            else f"{drop} point{'s' * (drop != '1')} below exact"
        )
        low, high = (100 * value for value in one["interval"])
        lines.append(
            f"{100 * one['accuracy']:8.2f} % ({reason}):".ljust(36)
            + f"{100 * one['share']:6.2f} % (95 % interval {low:.1f} to {high:.1f} %)"
        )
    return "\n".join(lines)


def _mismatch(settings: dict[str, Any]) -> str:
    """What makes the chips differ, in words."""
    parts = []
    if settings["mismatch_percent"]:
        parts.append(f"{settings['mismatch_percent']:g} % of every parameter (3 sigma)")
    if settings["avt_mv_um"]:
        avt, area = settings["avt_mv_um"], settings["unit_area_um2"]
        parts.append(f"A_VT = {avt:g} mV um on {area:g} um2")
    return "mismatch: " + (" and ".join(parts) or "none")
