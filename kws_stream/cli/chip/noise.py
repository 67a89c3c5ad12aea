"""`kws-stream chip noise`: candidate error against state error, by block and level."""

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.chip.common import Study, heading_text, study_options
from kws_stream.cli.progress import progress
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.studies.noise import BlockErrors, NoiseStudy


ALL_LEVELS = {"circuit": (1.0, 2.0, 4.0), "noise": (0.01, 0.023, 0.1)}  # with --all-models


@click.command()
@study_options
@click.option(
    "--source",
    type=click.Choice(["circuit", "noise", "mismatch"]),
    help="Where the errors come from. Default: circuit, then noise. With --level, the default "
    "is noise.",
)
@click.option(
    "--level",
    "levels",
    type=float,
    multiple=True,
    metavar="X",
    help="Unit current in nA for a circuit, rms in nA for noise, or percent of mismatch. "
    "Repeatable. Default: about the published range.",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Draws of noise, or chips, for each clip.",
)
@click.option(
    "--all-models", is_flag=True, help="Print a line for every packaged model in place of -m."
)
def noise(
    study: Study, source: str | None, levels: tuple[float, ...], draws: int, all_models: bool
) -> None:
    """Count how many errors of the candidates reach the states.

    The question is asked twice: for the typical circuit as it is, which is what was published, and
    for white noise on every candidate, which is harder. --plot draws the second.
    """
    from kws_stream import packs, studies
    from kws_stream.bmru.chip import ChipSettings
    from kws_stream.studies.figures import noise_figure
    from kws_stream.studies.noise import with_level

    if all_models and (source or levels or study.figure):
        raise click.UsageError("--all-models: needs none of --source, --level and --plot.")
    sources = [source] if source else ["noise"] if levels else ["circuit", "noise"]
    typical = ChipSettings.typical().as_dict()
    chips = {one: study.settings(**typical if one == "circuit" else {}) for one in sources}
    for one in sources:
        for level in levels:
            with_level(chips[one], one, level)
    names = packs.list_packs() if all_models else [study.model]
    found: list[dict[str, NoiseStudy]] = []
    with study.workers() as workers:
        for name in names:
            pack = packs.load(name)
            utterances = study.utterances(pack, workers, need_a_word=False)
            with progress(f"simulating levels of {pack.name}, in groups of clips") as heard:
                results = {
                    one: studies.noise(
                        pack,
                        utterances,
                        chips[one],
                        one,
                        ALL_LEVELS[one] if all_models else levels or None,
                        draws=draws,
                        seed=study.seed,
                        workers=workers,
                        progress=heard,
                    )
                    for one in sources
                }
            found.append(results)
    if all_models:
        study.show(_every(found), all_table(found))
        return
    (results,) = found
    last = results[sources[-1]]
    figures = last.as_dict()
    if len(sources) > 1:
        first = results[sources[0]]
        figures["circuit"] = first.as_dict()
        figures["extrapolations"] = list(
            dict.fromkeys([*first.head["extrapolations"], *last.head["extrapolations"]])
        )
    parts = [table(result) for result in results.values()]
    if len(sources) > 1:
        parts.append(_which_is_which())
    study.show(figures, "\n\n".join(parts), lambda: noise_figure(last))


def _which_is_which() -> str:
    from kws_stream.studies.noise import QUESTIONS

    text = (
        f"The first table answers {QUESTIONS['circuit']}; the second answers {QUESTIONS['noise']}."
    )
    return "\n".join(wrap(text, 80))


def _every(found: "list[dict[str, NoiseStudy]]") -> dict[str, Any]:
    """The JSON of all models."""
    head = found[0]["noise"].head
    return {
        "study": "noise",
        **{name: head[name] for name in ("data", "clips", "seed", "draws", "notes")},
        "models": [
            result["noise"].as_dict() | {"circuit": result["circuit"].as_dict()} for result in found
        ],
    }


def all_table(found: "list[dict[str, NoiseStudy]]") -> str:
    """A line a model: the factors of all blocks at every level, and those of single blocks."""
    head = found[0]["noise"].head
    lines = [
        f"suppression on {counted(head['clips'], 'clip')} ({head['data']}), seed {head['seed']}, "
        f"{counted(head['draws'], 'draw')}:",
        "factor of all blocks, its 95 % interval, and least and greatest of a block",
    ]
    for source, levels in ALL_LEVELS.items():
        unit = found[0][source].head["level_unit"]
        lines += ["", f"{source:<18}" + "".join(f"{f'{level:g} {unit}':>21}" for level in levels)]
        for result in found:
            study = result[source]
            cells = "".join(f"{_factor(one):>21}" for one in study.overall)
            lines.append(f"{study.head['model']:<18}{cells}")
            if len(study.rows) > len(study.overall):
                blocks = [
                    [row.factor for row in study.rows if row.level == level and row.factor]
                    for level in levels
                ]
                spans = (f"{min(one):.3g} .. {max(one):.3g}" if one else "-" for one in blocks)
                lines.append(f"{'  by block':<18}" + "".join(f"{span:>21}" for span in spans))
    return "\n".join([*lines, "", _which_is_which()])


def _factor(one: "BlockErrors") -> str:
    if one.factor is None:
        return "none differ"
    if one.interval is None:
        return f"{one.factor:.3g}"
    low, high = one.interval
    return f"{one.factor:.3g} ({low:.3g} to " + ("any)" if high is None else f"{high:.3g})")


def table(result: "NoiseStudy") -> str:
    """A line a block and level: errors in pA, bits, factor and its interval."""
    head = result.head
    lines = [
        heading_text(head, f", {counted(head['draws'], 'draw')}"),
        "",
        f"{_column(head):>14}{'block':>7}{'candidate':>11}"
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
    if row.factor is not None:
        factor = f"{row.factor:.3g}"
    if row.interval is not None:
        low, high = row.interval
        interval = f"{low:.3g} to " + ("any" if high is None else f"{high:.3g}")
    return (
        f"{row.level:14g}{block:>7}{1000 * row.candidate_na:11.2f}{1000 * row.state_na:13.3f}"
        f"{100 * row.bits_agree:11.3f}{factor:>13}  {interval}"
    )


def _column(head: dict[str, Any]) -> str:
    return "unit, nA" if head["source"] == "circuit" else f"{head['source']}, {head['level_unit']}"
