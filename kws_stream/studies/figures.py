"""The figures of the studies (extra: report, which brings matplotlib)."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kws_stream.errors import DataError, MissingExtraError
from kws_stream.studies.montecarlo import MonteCarlo
from kws_stream.studies.noise import CLAIM, NoiseStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f6f8b", "#d1603d", "#5b8c5a", "#8d5a97", "#b08a2e")
GREY = "#777777"


def new_figure(panels: int = 1, width_in: float = 7.0) -> tuple["Figure", list["Axes"]]:
    """A figure with panels side by side; MissingExtraError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            f"need matplotlib for a figure, got: {error}; pip install 'kws-stream[report]'"
        ) from error
    figure = Figure(figsize=(width_in, 3.6), layout="constrained", dpi=110)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(True, alpha=0.25)
    return figure, axes


def save(figure: "Figure", path: Path) -> None:
    """Write as PNG, SVG or PDF, by the suffix; DataError where that cannot be done."""
    kinds = sorted(figure.canvas.get_supported_filetypes())
    kind = path.suffix.lower().removeprefix(".")
    if kind not in kinds:
        raise DataError(f"{path}: need a figure's name that ends in .png, .svg or .pdf")
    metadata: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}}.get(kind, {})
    try:
        figure.savefig(path, format=kind, metadata=metadata)
    except OSError as error:
        raise DataError(f"{path}: cannot write the figure: {error.strerror or error}") from error


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
    right.step(levels, shares, where="pre", color=COLOURS[0])
    wanted = 100 * study.wanted
    share = 100 * study.share_above(study.wanted)[0]
    right.plot([wanted], [share], "o", color=COLOURS[1])
    right.annotate(f"{share:.1f} % of chips\nreach {wanted:g} %", (wanted, share), **_BESIDE)
    right.set(xlabel=f"{name}, %", ylabel="chips that reach it, %", ylim=(0, 103))
    figure.suptitle(
        f"{study.head['model']}: {len(percent)} virtual chips, {study.head['clips']} clips", size=10
    )
    return figure


_BESIDE: dict[str, Any] = {"xytext": (6, 6), "textcoords": "offset points", "size": 8}


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
            label=f"block {block}",
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
    left.set(xscale="log", yscale="log", xlabel="candidate error, pA", ylabel="state error, pA")
    left.legend(frameon=False, fontsize=8)
    right.axhline(CLAIM, ls="--", color=GREY)
    right.axhline(1, ls=":", color=GREY)
    unit = study.head["level_unit"]
    what = "noise on the candidates, rms" if unit == "nA" else "mismatch, 3 sigma"
    right.set(xscale="log", yscale="log", xlabel=f"{what}, {unit}")
    right.set_ylabel("candidate error / state error")
    figure.suptitle(
        f"{study.head['model']}: errors against the exact network, {study.head['clips']} clips",
        size=10,
    )
    return figure
