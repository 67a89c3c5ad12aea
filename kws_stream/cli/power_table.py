"""The power report in 80 columns: a summary of 24 lines, or all of it; needs rich."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kws_stream.power.by_activity import ActivityPower
from kws_stream.power.detail import BlockDetail
from kws_stream.power.mcu import McuComparison
from kws_stream.power.quantity import format_quantity
from kws_stream.power.report import BatteryLife, PowerReport, Row, Span

SPAN, PARTS = ("low", "typical", "high"), ("core", "chip", "system")
MEAN = "mean, unit current 1 nA"
LEFT_OUT = "* low and typical without the rows that are unknown"
# Plain ANSI colours follow the terminal's theme; these stay readable on light and dark.
_KINDS = {"hit": "detected words", "speech": "other sound"}
_STATUS_STYLES = {"silicon": "green", "simulated": "none", "estimated": "magenta"}


def render_summary(report: PowerReport, subject: str) -> RenderableType:
    """The totals, what they are made of, energy and battery life, for rich's `print`.

    subject: which model heard what; it is the beginning of the first line.
    """
    rows = _plain_table(MEAN, *SPAN, "status")
    for name, _, parts, total in _sections(report):
        for row in parts:
            rows.add_row(row.block, *_span(row), _status(row.status))
        rows.add_row(_total_name(name, report), *_span(total), "", style="bold")
    energy = _plain_table("typical", *PARTS)
    per_second = [format_quantity(report.energy[part].per_second_nj, "J") for part in PARTS]
    energy.add_row("energy per second of sound", *per_second)
    if report.words is not None and report.words.words:
        energy.add_row(
            f"energy per detected word ({report.words.words})", *_energy_per_word(report)
        )
    for life in report.battery_life[:1]:
        energy.add_row(f"life on {life.battery.name}", *_years(life))
    lines: list[RenderableType] = [_heading(_title(report, subject)), "", rows]
    lines += [Text(LEFT_OUT), "", energy, ""]
    if report.activity is not None:
        heard = [
            f"{format_quantity(kind.core_nw, 'W')} in {_KINDS.get(kind.kind, kind.kind)}"
            for kind in report.activity
            if kind.core_nw is not None
        ]
        if heard:
            lines.append(Text(f"Core: {', '.join(heard)}."))
    if not report.seconds:
        lines.append(Text("No audio was processed: these are the figures at rest."))
    lines.append(Text("--full adds layers, microcontrollers, other spotters, notes and sources."))
    return Group(*lines)


def render(report: PowerReport, subject: str = "") -> RenderableType:
    """All of the report for rich's `print`; subject as of `render_summary`."""
    sources: list[str] = []
    parts: list[RenderableType] = [
        _heading(_title(report, subject)),
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


def _title(report: PowerReport, subject: str) -> str:
    what = f"power over {_duration(report.seconds)} of sound"
    return f"{subject}: {what}" if subject else what.capitalize()


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.4g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"


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
        table.add_column(header, justify="right" if right else "left", overflow="fold")
    return table


def _plain_table(first: str, *headers: str) -> Table:
    """A table without lines; all columns of numbers, but for the first and the status."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for header in headers:
        words = header == "status"
        table.add_column(header, justify="left" if words else "right", overflow="fold")
    return table


def _sections(report: PowerReport) -> list[tuple[str, str, tuple[Row, ...], Span]]:
    """Name, what is inside it, what it adds to that, and the total."""
    return [
        ("core", "", report.core_rows, report.core),
        ("chip", "core", report.chip_rows, report.chip),
        ("system", "chip", report.system_rows, report.system),
    ]


def _total_name(name: str, report: PowerReport) -> str:
    """A total; * where a low or typical figure is left out of it."""
    left_out = False
    for inner, _, rows, _ in _sections(report):
        left_out = left_out or any(row.typical is None for row in rows)
        if inner == name:
            break
    return f"= {name}{' *' if left_out else ''}"


def _rows_table(report: PowerReport, sources: list[str]) -> Table:
    table = _table(MEAN, *SPAN, "status", "source", numeric=SPAN)
    table.box = box.SIMPLE
    inner_span: Span | None = None
    for name, inner, rows, span in _sections(report):
        if inner_span is not None:
            table.add_row(f"{inner}, from above", *_span(inner_span), "", "")
        for row in rows:
            table.add_row(
                row.block,
                *_span(row),
                _status(row.status),
                Text(_cite(sources, row.source)),
            )
        table.add_row(
            _total_name(name, report),
            *_span(span),
            "",
            "",
            style="bold",
            end_section=True,
        )
        inner_span = span
    table.caption = Text(LEFT_OUT)
    table.caption_justify = "left"
    return table


def _span(span: Span | Row) -> list[str]:
    return [format_quantity(nw, "W") for nw in (span.low, span.typical, span.high)]


def _energy_table(report: PowerReport, sources: list[str]) -> Table:
    """Energy and battery life, typical, of core, chip and system."""
    table = _table("typical", *PARTS, "source", numeric=PARTS)
    energies = [report.energy[part] for part in PARTS]
    table.add_row(
        "energy per second of sound",
        *(format_quantity(energy.per_second_nj, "J") for energy in energies),
        "",
    )
    table.add_row(
        "energy per decision (one frame)",
        *(format_quantity(energy.per_decision_pj / 1000, "J") for energy in energies),
        "",
    )
    if report.words is not None and report.words.words:
        table.add_row(
            f"energy per detected word ({report.words.words})", *_energy_per_word(report), ""
        )
    for life in report.battery_life:
        source = Text(_cite(sources, life.battery.source))
        table.add_row(f"life on {life.battery.name}", *_years(life), source)
    return table


def _energy_per_word(report: PowerReport) -> list[str]:
    assert report.words is not None
    shares = (report.words.core_nj, report.words.chip_nj, report.words.system_nj)
    return [format_quantity(share, "J") for share in shares]


def _years(life: BatteryLife) -> list[str]:
    return [f"{y:.1f} years" for y in (life.core_years, life.chip_years, life.system_years)]


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
