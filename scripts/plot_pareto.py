"""Accuracy against core power: our models by their manifests, beside published figures.

    python scripts/plot_pareto.py models docs/figures/pareto.png

Needs the extra report (matplotlib). Our accuracies are those of the held-out half of the validation
speakers, with their 95 % intervals; those of others are what they published, on their own splits.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kws_stream import packs

COLOURS = {"simulated": "#1f6fb4", "silicon": "#c0392b"}
MARKERS = {"simulated": "o", "silicon": "s"}


@dataclass(frozen=True)
class Point:
    """One keyword spotter: power in nW, accuracy as a fraction, and what the power covers.

    interval: the ends of the 95 % interval of the accuracy, where they are known.
    """

    name: str
    power_nw: float
    accuracy: float
    status: str
    interval: tuple[float, float] | None = None


# Power and accuracy published together, for the same run.
OTHERS = {
    "yes": [
        Point("arXiv:2605.15216,\nd = 4, core", 82.6, 0.942, "simulated"),
    ],
    "v2-12": [
        # the empty line lifts the label over the interval of commands-12
        Point("JSSC 2024, 28 nm,\n7 classes, chip\n", 1480.0, 0.928, "silicon"),
        Point("JSSC 2022, 65 nm,\n12 classes, chip", 23_000.0, 0.86, "silicon"),
    ],
}
TITLES = {"yes": "yes against five other words and silence", "v2-12": "twelve classes"}
RANGES_NW = {"yes": (10, 2000), "v2-12": (200, 100_000)}
METRIC = "weighed_accuracy_reported"
OURS = "ours: core, simulated, 1 nA; held-out speakers"


def models(folder: Path, task: str) -> list[Point]:
    """The packs of a task, by the metrics in their manifests."""
    points = []
    for path in sorted(p.parent for p in folder.glob("*/manifest.json")):
        manifest = packs.load(path).manifest
        metrics = manifest["metrics"]
        if manifest["recipe"].get("task") != task or METRIC not in metrics:
            continue
        low, high = metrics[METRIC]["interval"]
        accuracy, power_nw = metrics[METRIC]["value"], metrics["core_power_nw"]["value"]
        points.append(Point(manifest["name"], power_nw, accuracy, "simulated", (low, high)))
    return sorted(points, key=lambda point: point.power_nw)


def draw(axes: Any, task: str, ours: list[Point], others: list[Point]) -> None:
    for point in ours + others:
        mine = point in ours
        if point.interval is not None:
            ends = [100 * end for end in point.interval]
            axes.vlines(point.power_nw, *ends, color=COLOURS[point.status], lw=1, zorder=1)
        axes.scatter(
            point.power_nw,
            100 * point.accuracy,
            s=46,
            marker=MARKERS[point.status],
            facecolor=COLOURS[point.status] if mine else "white",
            edgecolor=COLOURS[point.status],
            zorder=2,
        )
        axes.annotate(
            point.name,
            (point.power_nw, 100 * point.accuracy),
            xytext=(7, -3) if mine else (0, -7),
            ha="left" if mine else "center",
            va="top",
            textcoords="offset points",
            fontsize=8,
            fontweight="bold" if mine else "normal",
        )
    axes.set_xscale("log")
    axes.set_xlabel("power, nW")
    axes.set_ylabel("accuracy with 95 % interval, %")
    axes.set_title(TITLES[task], fontsize=10)
    axes.set_xlim(RANGES_NW[task])
    axes.margins(y=0.2)
    axes.grid(which="major", color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def main(folder: str, out: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for axes, task in zip(panels, TITLES, strict=True):
        draw(axes, task, models(Path(folder), task), OTHERS[task])
    simulated, silicon = COLOURS["simulated"], COLOURS["silicon"]
    blank = {"color": "none", "marker": "o", "markeredgecolor": simulated}
    handles = [
        Line2D([], [], **blank, markerfacecolor=simulated, label=OURS),
        Line2D([], [], **blank, markerfacecolor="white", label="published: simulated"),
        Line2D(
            [], [], color="none", marker="s", markeredgecolor=silicon, markerfacecolor="white",
            label="published: silicon",
        ),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:])
