"""The figures of the studies (extra: report, which brings matplotlib)."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kws_stream.plots import check_matplotlib
from kws_stream.studies.accumulation import Accumulation
from kws_stream.studies.calibration import Calibration
from kws_stream.studies.conditions import Conditions
from kws_stream.studies.frontier import Frontier
from kws_stream.studies.montecarlo import MonteCarlo
from kws_stream.studies.noise import CLAIM, NoiseStudy
from kws_stream.studies.robustness import Robustness
from kws_stream.studies.scaling import Scaling
from kws_stream.studies.settling import Settling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f6f8b", "#d1603d", "#5b8c5a", "#8d5a97", "#b08a2e")
GREY = "#777777"


def new_figure(panels: int = 1, width_in: float = 7.0) -> tuple["Figure", list["Axes"]]:
    """A figure with panels side by side; MissingExtraError without matplotlib."""
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, 3.6), layout="constrained", dpi=110)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(True, alpha=0.25)
    return figure, axes


def _log(axes: "Axes", which: str = "both") -> None:
    """Logarithmic axes with plain numbers at 1, 2 and 5 times each power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for name in ("x", "y") if which == "both" else (which,):
        axes.set(**{f"{name}scale": "log"})
        axis = getattr(axes, f"{name}axis")
        low, high = getattr(axes, f"get_{name}lim")()
        axis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def montecarlo_figure(study: MonteCarlo) -> "Figure":
    """Histogram of the accuracies, and the yield at every accuracy."""
    figure, (left, right) = new_figure(2, 8.5)
    percent = 100 * study.accuracies
    name = study.head["headline"].replace("_", " ")
    left.hist(percent, bins=min(25, max(8, len(np.unique(percent)))), color=COLOURS[0])
    left.axvline(100 * study.exact_accuracy, color=COLOURS[1], label="exact network")
    left.set(xlabel=f"{name} of a chip, %", ylabel="chips")
    left.legend(frameon=False)
    levels = np.sort(percent)
    shares = 100 * (1 - np.arange(len(levels)) / len(levels))
    wanted = 100 * study.wanted
    begin = min(wanted, levels[0])  # below the worst chip, all reach it
    right.step([begin, *levels], [100, *shares], where="pre", color=COLOURS[0])
    share = 100 * study.share_above(study.wanted)[0]
    right.plot([wanted], [share], "o", color=COLOURS[1])
    right.annotate(f"{share:.1f} % of chips\nreach {wanted:g} %", (wanted, share), **_BELOW)
    right.set(xlabel=f"{name}, %", ylabel="chips that reach it, %", ylim=(0, 103))
    figure.suptitle(
        f"{study.head['model']}: {len(percent)} virtual chips, {study.head['clips']} clips", size=10
    )
    return figure


_BELOW: dict[str, Any] = {"xytext": (6, -26), "textcoords": "offset points", "size": 8}


def noise_figure(study: NoiseStudy) -> "Figure":
    """State error against candidate error, and the suppression factor by level."""
    figure, (left, right) = new_figure(2, 8.5)
    blocks = sorted({row.block for row in study.rows})
    for block in blocks:
        rows = [row for row in study.rows if row.block == block and row.candidate_na > 0]
        colour = COLOURS[block % len(COLOURS)]
        shown = [row for row in rows if row.state_na > 0]
        candidate = [1000 * row.candidate_na for row in shown]
        left.plot(
            candidate,
            [1000 * row.state_na for row in shown],
            "o-",
            color=colour,
            label=f"block {block + 1}",
        )
        factors = [row for row in rows if row.factor is not None and row.interval is not None]
        highs = [(row.interval or (0, 0))[1] for row in factors]
        lows = [row.factor - (row.interval or (0, 0))[0] for row in factors if row.factor]
        ups = [
            (high if high is not None else row.factor) - row.factor
            for high, row in zip(highs, factors, strict=True)
            if row.factor
        ]
        right.errorbar(
            [row.level for row in factors],
            [row.factor or 0 for row in factors],
            yerr=[lows, ups],
            fmt="o-",
            color=colour,
            capsize=2,
        )
    span = np.array(left.get_xlim())
    ends = 10 ** np.array([math.floor(math.log10(max(span[0], 0.3))), math.log10(span[1])])
    left.plot(ends, ends, ":", color=GREY, label="equal")
    left.plot(ends, ends / CLAIM, "--", color=GREY, label=f"{CLAIM:g} times less")
    left.set(xlabel="candidate error, pA", ylabel="state error, pA")
    _log(left)
    left.legend(frameon=False, fontsize=8)
    right.axhline(CLAIM, ls="--", color=GREY)
    right.axhline(1, ls=":", color=GREY)
    what = {
        "circuit": "unit current, nA",
        "noise": "noise on the candidates, rms, nA",
        "mismatch": "mismatch, 3 sigma, %",
    }
    right.set(xlabel=what[study.head["source"]])
    _log(right)
    right.set_ylabel("candidate error / state error")
    figure.suptitle(
        f"{study.head['model']}: errors against the exact network, {study.head['clips']} clips",
        size=10,
    )
    return figure


def robustness_figure(study: Robustness) -> "Figure":
    """Accuracies of every network by mismatch: boxes of the middle half, whiskers 5 to 95 %."""
    figure, (axes,) = new_figure()
    names = list(dict.fromkeys(one.network for one in study.populations))
    percents = sorted({one.percent for one in study.populations})
    for index, name in enumerate(names):
        mine = [one for one in study.populations if one.network == name]
        colour = COLOURS[index % len(COLOURS)]
        places = [
            percents.index(one.percent) + 1 + 0.2 * (index - (len(names) - 1) / 2) for one in mine
        ]
        axes.boxplot(
            [100 * one.accuracies for one in mine],
            positions=places,
            widths=0.16,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": colour, "alpha": 0.6},
            medianprops={"color": "black"},
        )
        axes.plot([0.4], [100 * mine[0].exact], ">", color=colour, label=f"{name}; exact")
        axes.axhline(100 * mine[0].exact, color=colour, lw=0.6, ls=":")
    axes.set_xticks(range(1, len(percents) + 1), [f"{percent:g} %" for percent in percents])
    axes.set(xlabel="mismatch, 3 sigma", xlim=(0.4, len(percents) + 0.6))
    axes.set_ylabel(f"{study.head['headline'].replace('_', ' ')}, %")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    figure.suptitle(
        f"{study.head['chips']} virtual chips each, {study.head['clips']} clips", size=10
    )
    return figure


def pvt_figure(study: Conditions) -> "Figure":
    """Accuracy against temperature: a panel a supply, a line a corner."""
    supplies = study.values("supply_v")
    figure, panels = new_figure(len(supplies), max(4.0, 2.9 * len(supplies)))
    temperatures = study.values("temperature_c")
    for axes in panels[1:]:
        axes.sharey(panels[0])  # before lines are drawn, so that all of them count for the limits
    for axes, supply in zip(panels, supplies, strict=True):
        for index, corner in enumerate(study.values("corner")):
            row = [
                study.at(corner=corner, supply_v=supply, temperature_c=temperature)
                for temperature in temperatures
            ]
            means = [100 * one.accuracy for one in row]
            colour = COLOURS[index % len(COLOURS)]
            width = 6 - index  # lines of corners that agree lie upon one another
            axes.plot(temperatures, means, "-", color=colour, lw=width, label=corner)
        axes.axhline(100 * study.exact, color=GREY, ls=":")
        axes.set(title=f"{supply:g} V", xlabel="temperature, C")
    panels[0].set_ylabel(f"{study.head['headline'].replace('_', ' ')}, %")
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{study.head['model']} (dotted: exact network)", size=10)
    return figure


def quantise_figure(study: Conditions) -> "Figure":
    """Accuracy by bits of weights (rows) and of bias currents (columns)."""
    figure, (axes,) = new_figure(width_in=5.6)
    weights, biases = study.values("weight_bits"), study.values("bias_bits")
    grid = np.array(
        [[100 * study.at(weight_bits=w, bias_bits=b).accuracy for b in biases] for w in weights]
    )
    axes.grid(False)
    image = axes.imshow(grid, cmap="viridis", aspect="auto", origin="lower")
    middle = (grid.min() + grid.max()) / 2
    for row, column in np.ndindex(grid.shape):
        value = grid[row, column]
        colour = "black" if value > middle else "white"
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", size=7, color=colour)
    axes.set_xticks(range(len(biases)), [str(bits or "as is") for bits in biases])
    axes.set_yticks(range(len(weights)), [str(bits or "as is") for bits in weights])
    axes.set(xlabel="bits of biases and cell currents", ylabel="bits of weights")
    name = study.head["headline"].replace("_", " ")
    figure.colorbar(image, label=f"{name}, %")
    figure.suptitle(f"{study.head['model']}, {study.head['clips']} clips", size=10)
    return figure


def scaling_figure(study: Scaling) -> "Figure":
    """Power of cells and mirrors of a block against d, with the counted lines."""
    figure, (axes,) = new_figure()
    for index, (part, name) in enumerate(_PARTS.items()):
        colour = COLOURS[index]
        trained = [size for size in study.sizes if size.trained]
        counted = [size for size in study.sizes if not size.trained]
        axes.plot(
            [size.d for size in trained],
            [getattr(size, part) for size in trained],
            "o",
            color=colour,
            label=f"{name}, trained",
        )
        found = study.exponents[f"{part}_counted"]
        label = f"{name}, counted" + ("" if found is None else f": d^{found.value:.2f}")
        axes.plot(
            [size.d for size in counted],
            [getattr(size, part) for size in counted],
            "x--",
            color=colour,
            label=label,
        )
        fitted = study.exponents[f"{part}_trained"]
        if fitted is not None:
            x = np.log([size.d for size in trained])
            y = np.log([getattr(size, part) for size in trained])
            ends = np.array([x.min(), x.max()])
            line = np.exp(y.mean() + fitted.value * (ends - x.mean()))
            axes.plot(np.exp(ends), line, color=colour, lw=0.8, label=f"fit: d^{fitted.value:.2f}")
    axes.set(xscale="log", yscale="log", xlabel="cells a block, d", ylabel="power a block, nW")
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle("estimated at 1 nA by the formulas of docs/power.md", size=10)
    return figure


def settling_figure(study: Settling) -> "Figure":
    """Accuracy, and the share of late switches, against the time constant."""
    figure, (left, right) = new_figure(2, 8.5)
    times_ms = [1000 * row.settling_s for row in study.rows]
    left.plot(times_ms, [100 * row.accuracy for row in study.rows], "o-", color=COLOURS[0])
    left.axhline(100 * study.exact, color=GREY, ls=":")
    left.set_ylabel(f"{study.head['headline'].replace('_', ' ')}, %")
    right.plot(times_ms, [100 * row.late for row in study.rows], "o-", color=COLOURS[1])
    right.set_ylabel("switches late by a frame or more, %")
    for axes in (left, right):
        axes.set(xlabel="time constant of the candidate nodes, ms")
        _log(axes, "x")
    left.set_ylim(top=min(100.0, left.get_ylim()[1]))
    figure.suptitle(f"{study.head['model']} (dotted: exact network)", size=10)
    return figure


def accumulation_figure(study: Accumulation) -> "Figure":
    """State error by block, and by time, of every network."""
    figure, (left, right) = new_figure(2, 8.5)
    for colour, one in zip(COLOURS, study.networks, strict=False):
        name = one.network
        left.plot(range(1, len(one.by_block) + 1), one.by_block, "o-", color=colour, label=name)
        times = [math.nan if error is None else error for error in one.by_time]
        right.plot(one.seconds, times, ".-", color=colour)
    blocks = max(len(one.by_block) for one in study.networks)
    left.set(xlabel="block", ylabel="state error, rms, of the states' rms")
    left.set_xticks(range(1, blocks + 1))
    right.set(xlabel="s since set or reset (BMRU) or start (others)")
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    left.legend()
    figure.suptitle(
        f"white noise of {100 * study.head['share']:g} % of what drives the states, "
        f"{study.head['clips']} clips",
        size=10,
    )
    return figure


def frontier_figure(study: Frontier) -> "Figure":
    """Accuracy of chips, and core power, over the suppression of white noise: a line a model."""
    figure, (left, right) = new_figure(2, 8.5)
    models = list(dict.fromkeys(row.model for row in study.rows))
    for index, model in enumerate(models):
        rows = [row for row in study.rows if row.model == model and row.suppression is not None]
        factors = [row.suppression or 0.0 for row in rows]
        colour = COLOURS[index % len(COLOURS)]
        panels = ((left, [100 * row.accuracy for row in rows]), (right, [r.core_nw for r in rows]))
        for axes, heights in panels:
            axes.plot(factors, heights, "o-", color=colour, label=model)
            for row, factor, height in zip(rows, factors, heights, strict=True):
                place: Any = {"xytext": (3, 4), "textcoords": "offset points"}
                axes.annotate(f"/{row.divisor}", (factor, height), size=8, **place)
        if rows:
            left.axhline(100 * rows[0].exact, color=colour, ls="--", lw=0.8)
    for axes in (left, right):
        axes.axvline(CLAIM, color=GREY, ls=":")
        axes.set(xlabel="suppression of white noise, factor")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    left.set_ylabel(f"{study.head['headline'].replace('_', ' ')}, %")
    right.set_ylabel("core power at 1 nA, estimated, nW")
    right.set_ylim(0, 1.12 * max((row.core_nw for row in study.rows), default=1.0))
    left.legend(frameon=False, fontsize=8)
    figure.suptitle(f"states divided (dashed: exact networks; dotted: {CLAIM:g})", size=10)
    return figure


_PARTS = {"cells_nw": "cells", "feedforward_nw": "mirrors"}


def calibration_figure(study: Calibration) -> "Figure":
    """Errors of every bias current from nominal, before and after."""
    figure, (axes,) = new_figure()
    for index, name in enumerate(("alpha", "beta2", "delta")):
        codes = [code for code in study.codes if code.parameter == name]
        places = np.arange(len(codes)) + index * (len(codes) + 1)
        for when, marker in (("before", "x"), ("after", "o")):
            errors = [1000 * (getattr(code, f"{when}_na") - code.nominal_na) for code in codes]
            axes.plot(places, errors, marker, color=COLOURS[index], label=f"{name}, {when}", ms=5)
    axes.set_xticks([])
    axes.set(xlabel="cells, block by block", ylabel="error from nominal, pA")
    axes.legend(frameon=False, fontsize=8, ncol=3)
    figure.suptitle(
        f"{study.head['model']}: {100 * study.before:.2f} % before, {100 * study.after:.2f} % "
        f"after, nominal {100 * study.exact:.2f} %",
        size=10,
    )
    return figure


def figure_of(study: object) -> "Figure":
    """The figure of a study, by its kind; TypeError for one that has none."""
    for kind, draw in _FIGURES.items():
        if isinstance(study, kind):
            figure: Figure = draw(study)
            return figure
    raise TypeError(f"no figure of {type(study).__name__}")


_FIGURES: dict[type, Callable[[Any], "Figure"]] = {
    MonteCarlo: montecarlo_figure,
    NoiseStudy: noise_figure,
    Scaling: scaling_figure,
    Settling: settling_figure,
    Accumulation: accumulation_figure,
}
