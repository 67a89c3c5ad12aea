"""The power report as a table for a terminal of 80 columns; needs rich."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kws_stream.power.by_activity import ActivityPower
from kws_stream.power.detail import BlockDetail
from kws_stream.power.mcu import McuComparison
from kws_stream.power.report import PowerReport, Row, Span

UNKNOWN = "unknown"
_PREFIXES = ("n", "u", "m", "")
# Plain ANSI colours follow the terminal's theme; these stay readable on light and dark.
_STATUS_STYLES = {"silicon": "green", "simulated": "none", "estimated": "magenta"}


def format_quantity(nano: float | None, unit: str) -> str:
    """Three significant digits, with the prefix n, u or m: "82.6 nW"; "unknown" for None."""
    if nano is None:
        return UNKNOWN
    if nano == 0:
        return f"0 n{unit}"
    digits = 2 - math.floor(math.log10(abs(nano)))
    nano = round(nano, digits)  # first, so that 999.9 becomes 1.00 of the next prefix
    prefix = min(max(math.floor(math.log10(abs(nano)) / 3), 0), len(_PREFIXES) - 1)
    scaled = nano / 1000**prefix
    decimals = max(2 - math.floor(math.log10(abs(scaled))), 0)
    return f"{scaled:.{decimals}f} {_PREFIXES[prefix]}{unit}"


def render(report: PowerReport) -> RenderableType:
    """The report for rich's `print`: core, chip and system, energy, batteries, peers, sources."""
    sources: list[str] = []
    parts: list[RenderableType] = [
        _heading(f"Power, mean over {report.seconds:.4g} s of audio, unit current 1 nA"),
        _rows_table(report, sources),
    ]
    if report.activity is not None:
        parts.append(_activity_table(report.activity))
    parts += [_blocks_table(report.blocks), _energy_table(report, sources)]
    if report.extrapolation is not None:
        beside = report.extrapolation
        parts.append(
            Text(
                f"Extrapolated to a unit current of {beside.unit_na:g} nA: "
                f"core {format_quantity(beside.core_nw, 'W')}, "
                f"classifier {format_quantity(beside.classifier_nw, 'W')}; {beside.accuracy}.\n"
            )
        )
    if report.mcus is not None:
        parts += [_mcu_table(report.mcus, sources)]
    parts += [_peers_table(report), _heading("Notes")]
    parts += [_hanging("-", note) for note in report.notes]
    parts += ["", _heading("Sources")]
    parts += [_hanging(f"[{number}]", source) for number, source in enumerate(sources, 1)]
    return Group(*parts)


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _hanging(label: str, text: str) -> RenderableType:
    """A paragraph that hangs from its label."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label), Text(text))
    return Padding(grid, (0, 0, 0, 1))


def _cite(sources: list[str], source: str) -> str:
    if source not in sources:
        sources.append(source)
    return f"[{sources.index(source) + 1}]"


def _status(status: str) -> Text:
    return Text(status, style=_STATUS_STYLES[status])


def _table(*headers: str, numeric: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for header in headers:
        right = header in numeric
        table.add_column(header, justify="right" if right else "left", no_wrap=right)
    return table


def _rows_table(report: PowerReport, sources: list[str]) -> Table:
    numbers = ("low", "typical", "high")
    table = _table("block", *numbers, "status", "source", numeric=numbers)
    table.box = box.SIMPLE
    sections: list[tuple[str, str, tuple[Row, ...], Span]] = [
        ("core", "", report.core_rows, report.core),
        ("chip", "core", report.chip_rows, report.chip),
        ("system", "chip", report.system_rows, report.system),
    ]
    inner_span: Span | None = None
    partial = False  # whether a low or typical figure is left out of the total
    for name, inner, rows, span in sections:
        if inner_span is not None:
            table.add_row(f"{inner}, from above", *_span(inner_span), "", "")
        for row in rows:
            table.add_row(
                row.block,
                *_span(row),
                _status(row.status),
                Text(_cite(sources, row.source)),
            )
        partial = partial or any(row.typical is None for row in rows)
        table.add_row(
            f"= {name}{' *' if partial else ''}",
            *_span(span),
            "",
            "",
            style="bold",
            end_section=True,
        )
        inner_span = span
    table.caption = Text("* low and typical without the rows that are unknown")
    table.caption_justify = "left"
    return table


def _span(span: Span | Row) -> list[str]:
    return [format_quantity(nw, "W") for nw in (span.low, span.typical, span.high)]


def _energy_table(report: PowerReport, sources: list[str]) -> Table:
    """Energy and battery life, typical, of core, chip and system."""
    parts = ("core", "chip", "system")
    table = _table("typical", *parts, "source", numeric=parts)
    energies = [report.energy[part] for part in parts]
    table.add_row(
        "energy per second of audio",
        *(format_quantity(energy.per_second_nj, "J") for energy in energies),
        "",
    )
    table.add_row(
        "energy per decision (one frame)",
        *(format_quantity(energy.per_decision_pj / 1000, "J") for energy in energies),
        "",
    )
    if report.words is not None and report.words.words:
        words = report.words
        shares = (words.core_nj, words.chip_nj, words.system_nj)
        table.add_row(
            f"energy per detected word ({words.words})",
            *(format_quantity(share, "J") for share in shares),
            "",
        )
    for life in report.battery_life:
        years = (life.core_years, life.chip_years, life.system_years)
        table.add_row(
            f"life on {life.battery.name}",
            *(f"{value:.1f} years" for value in years),
            Text(_cite(sources, life.battery.source)),
        )
    return table


def _activity_table(activity: Sequence[ActivityPower]) -> Table:
    """The core in silence, in speech, and while a detected word is spoken."""
    numbers = ("seconds", "cells", "mirrors", "core")
    table = _table("core, by what was heard", *numbers, numeric=numbers)
    names = {"hit": "hit, from the word's start", "speech": "speech, or other sound"}
    for kind in activity:
        powers = (kind.cells_nw, kind.feedforward_nw, kind.core_nw)
        table.add_row(
            names.get(kind.kind, kind.kind),
            f"{kind.seconds:.2f}",
            *("-" if nw is None else format_quantity(nw, "W") for nw in powers),
        )
    return table


def _blocks_table(blocks: Sequence[BlockDetail]) -> Table:
    """Mirrors and cells of every block, and the range over its cells."""
    numbers = ("cells", "candidate", "post", "at rest", "sum", "a cell, nW")
    table = _table("layer", *numbers, numeric=numbers)
    for number, block in enumerate(blocks, 1):
        powers = (
            block.cells_nw,
            block.candidate_nw,
            block.post_nw,
            block.rest_nw,
            block.total_nw,
        )
        totals = [cell.total_nw for cell in block.cells]
        table.add_row(
            f"block {number}",
            *(format_quantity(nw, "W") for nw in powers),
            f"{min(totals):.2g}..{max(totals):.2g}",
        )
    return table


def _mcu_table(comparison: McuComparison, sources: list[str]) -> Table:
    """The same network as C firmware: the active processor alone."""
    table = _table(
        "same network in C",
        *("a frame", "average", "low..high", "its front end", "source"),
        numeric=("a frame", "average", "low..high", "its front end"),
    )
    for row in comparison.rows:
        low, typical, high = row.average_nw
        table.add_row(
            row.mcu.name,
            format_quantity(row.frame_nj[1], "J"),
            format_quantity(typical, "W"),
            f"{format_quantity(low, 'W')}..{format_quantity(high, 'W')}",
            format_quantity(row.front_end_nw, "W"),
            Text(_cite(sources, row.mcu.source)),
        )
    table.caption = Text(
        f"{comparison.multiply_accumulates} multiply-accumulates and "
        f"{comparison.instructions[1]:.0f} instructions a frame, {comparison.basis}. Estimated: "
        "the active processor alone."
    )
    table.caption_justify = "left"
    return table


def _peers_table(report: PowerReport) -> Table:
    table = _table("other keyword spotters", "as published", "what", "status")
    for peer in report.peers:
        table.add_row(peer.name, peer.figure, peer.scope, _status(peer.status))
    return table
