"""The power report as one picture: from a cell to the microphone, and what stands beside it."""

from pathlib import Path
from typing import Any

from kws_stream.plots import INK, MUTED, SERIES, STATUS_COLOURS, figure_file
from kws_stream.power.quantity import format_quantity
from kws_stream.power.report import PowerReport

Bar = tuple[str, float | None, float | None, float | None, str]  # name, low, typical, high, status

MANY_CELLS = 32


def draw(report: PowerReport, path: Path, subject: str) -> None:
    """Write the picture to `path`, whose suffix says in which format; subject: its title."""
    with figure_file(path, 11.0, 7.6) as figure:
        panels: Any = figure.subfigures(1, 2, width_ratios=(1.25, 1))
        left, right = panels
        _spans(left.subplots(), report)
        by_activity, by_block, by_cell = right.subplots(3, 1)
        _activity(by_activity, report)
        _blocks(by_block, report)
        _cells(by_cell, report)
        figure.suptitle(
            f"{subject}: power over {report.seconds:.4g} s of sound, unit current 1 nA, 1.8 V",
            weight="bold",
        )


def _spans(axes: Any, report: PowerReport) -> None:
    """Every row and total from low to high, then other spotters, on one logarithmic axis."""
    parts = (
        ("core", report.core_rows, report.core),
        ("chip", report.chip_rows, report.chip),
        ("system", report.system_rows, report.system),
    )
    bars: list[Bar] = []
    for name, rows, span in parts:
        bars += [(row.block, row.low, row.typical, row.high, row.status) for row in rows]
        bars.append((f"= {name}", span.low, span.typical, span.high, "total"))
    if report.mcus is not None:
        bars += [(f"{r.mcu.name}, C firmware", *r.average_nw, r.status) for r in report.mcus.rows]
    bars += [
        (
            ", ".join([peer.name, *peer.scope.split(", ")[:2]]),
            None,
            peer.power_nw,
            None,
            peer.status,
        )
        for peer in report.peers
        if peer.power_nw is not None
    ]
    known = [nw for bar in bars for nw in bar[1:4] if nw is not None and nw > 0]
    floor = min(known) / 2
    for place, (_, low, typical, high, status) in enumerate(bars):
        colour = STATUS_COLOURS.get(status, INK)
        start = typical if low is None else low
        ends = [max(nw, floor) for nw in (start, high) if nw is not None]
        if len(ends) == 2:
            axes.plot(ends, [place, place], color=colour, lw=4, alpha=0.35, solid_capstyle="butt")
        elif typical is None and high is not None:
            axes.plot([high], [place], marker="<", color=colour, ms=5)  # at most
        elif typical is None:
            axes.annotate("unknown", (floor * 1.5, place), fontsize=7, va="center", color=MUTED)
        if typical is not None:
            axes.plot([max(typical, floor)], [place], "o", color=colour, ms=5)
            axes.annotate(
                format_quantity(typical, "W"),
                (max(typical, floor), place),
                (0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    axes.set_xscale("log")
    axes.set_xlim(floor, max(known) * 2)
    axes.set_yticks(range(len(bars)), [bar[0] for bar in bars])
    for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
        label.set_fontweight("bold" if bar[4] == "total" else "normal")
    axes.set_ylim(len(bars) - 0.4, -0.8)
    axes.grid(axis="x")
    _watts(axes.xaxis)
    axes.set_title("From the cells to the microphone, and others")
    names = [*STATUS_COLOURS.items(), ("total", INK)]
    for name, colour in names:
        axes.plot([], [], color=colour, marker="o", lw=4, alpha=0.6, label=name)
    axes.plot([], [], color=MUTED, marker="<", lw=0, label="at most")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.05), ncols=5)


def _watts(axis: Any) -> None:
    axis.set_major_formatter(lambda nw, _: _round_watts(nw))
    axis.set_minor_formatter("")


def _round_watts(nano: float) -> str:
    for limit, scale, unit in ((1e3, 1.0, "nW"), (1e6, 1e3, "uW"), (1e9, 1e6, "mW")):
        if nano < limit:
            return f"{nano / scale:g} {unit}"
    return f"{nano / 1e9:g} W"


def _stacked(
    axes: Any, names: list[str], series: dict[str, list[float]], width: float = 0.6
) -> None:
    base = [0.0] * len(names)
    for (name, values), colour in zip(series.items(), SERIES, strict=False):
        axes.bar(range(len(names)), values, width, base, color=colour, label=name)
        base = [a + b for a, b in zip(base, values, strict=True)]
    axes.set_ylabel("nW")
    axes.grid(axis="y")
    axes.set_ylim(0, 1.3 * max([*base, 1e-9]))
    axes.legend(ncols=len(series), loc="upper left")


def _activity(axes: Any, report: PowerReport) -> None:
    kinds = [kind for kind in report.activity or () if kind.core_nw is not None]
    axes.set_title("Core, by what was heard")
    if not kinds:
        axes.set_axis_off()
        return
    _stacked(
        axes,
        [kind.kind for kind in kinds],
        {
            "cells": [kind.cells_nw or 0.0 for kind in kinds],
            "mirrors": [kind.feedforward_nw or 0.0 for kind in kinds],
        },
    )
    labels = [f"{kind.kind}\n{kind.seconds:.3g} s" for kind in kinds]
    axes.set_xticks(range(len(kinds)), labels)


def _blocks(axes: Any, report: PowerReport) -> None:
    blocks = report.blocks
    if not blocks:
        axes.set_axis_off()
        return
    names = [f"block {number}" for number in range(1, len(blocks) + 1)]
    axes.set_title("Core, by layer")
    _stacked(
        axes,
        names,
        {
            "cells": [block.cells_nw for block in blocks],
            "candidates": [block.candidate_nw for block in blocks],
            "post": [block.post_nw for block in blocks],
            "at rest": [block.rest_nw for block in blocks],
        },
    )
    axes.set_xticks(range(len(names)), names)


def _cells(axes: Any, report: PowerReport) -> None:
    cells = [
        (f"{number}.{index}", cell)
        for number, block in enumerate(report.blocks, 1)
        for index, cell in enumerate(block.cells, 1)
    ]
    if not cells:
        axes.set_axis_off()
        return
    names = [name for name, _ in cells]
    many = len(cells) > MANY_CELLS
    axes.set_title("Cells, block.cell")
    _stacked(
        axes,
        names,
        {
            "bias": [cell.bias_nw for _, cell in cells],
            "candidate": [cell.candidate_nw for _, cell in cells],
            "state": [cell.state_nw for _, cell in cells],
        },
        width=1.0 if many else 0.6,
    )
    every = max(1, len(cells) // 12) if many else 1
    axes.set_xticks(range(0, len(cells), every), names[::every])
