"""Figures as inline SVG that takes its colours from the page, and so is readable on any."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kws_stream.evaluation.report.html import text
from kws_stream.plots import check_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Drawn in these colours, which stand for the page's own and are replaced by them.
INK, MUTED, GRID, ACCENT, BAD = (f"#f{i}e{i}d{i}" for i in range(5))
SERIES = tuple(f"#a{i}b{i}c{i}" for i in range(10))
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", ACCENT: "accent", BAD: "bad"} | {
    colour: f"s{index + 1}" for index, colour in enumerate(SERIES)
}

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # class and file names are what they are
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextmanager
def drawing(width: float, height: float, rows: int = 1, **layout: Any) -> Iterator[Any]:
    """A figure of that size in inches, and its axes from top to bottom."""
    check_matplotlib("a report")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=rows > 1, **layout)
        yield figure, axes


def as_html(figure: "Figure", label: str, caption: str = "") -> str:
    """The figure as HTML; `label` says to those who cannot see it what it shows."""
    import matplotlib

    stream = io.StringIO()
    # ids in the file come from the salt and the content: the same figure, the same file
    with matplotlib.rc_context({"svg.hashsalt": label}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{text(label)}" ', 1)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 system-ui, sans-serif", svg)
    for colour, name in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f"<figure>{svg}{below}</figure>"


def histogram(
    values: list[float],
    unit: str,
    lines: dict[str, float],
    things: str,
    label: str,
    size: tuple[float, float],
) -> str:
    """How often each value came, with named lines; size in inches."""
    with drawing(*size) as (figure, axes):
        axes.hist(values, bins=min(40, max(8, len(set(values)))), color=ACCENT, alpha=0.75)
        for index, (name, value) in enumerate(lines.items()):
            axes.axvline(value, color=BAD, linestyle="--" if index else "-", lw=1.4, label=name)
        axes.legend()
        axes.set_xlabel(unit)
        axes.set_ylabel(things)
        axes.grid(axis="x", visible=False)
        return as_html(figure, label)


def percent_axis(axis: Any, decimals: int = 0) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=decimals, symbol=" %"))


def probit_axes(axes: "Axes") -> Any:
    """Make both axes normal deviates of rates; gives the function from a rate to its place."""
    import numpy as np
    from scipy.special import ndtri

    low, high = 1e-3, 0.7
    ticks = [1e-3, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6]
    names = [f"{100 * t:g} %" for t in ticks]
    axes.set_xticks(ndtri(ticks), names)
    axes.set_yticks(ndtri(ticks), names)
    axes.set_xlim(ndtri(low), ndtri(high))
    axes.set_ylim(ndtri(low), ndtri(high))
    return lambda rates: ndtri(np.clip(rates, low / 10, 1 - 1e-6))  # zero lies off the picture
