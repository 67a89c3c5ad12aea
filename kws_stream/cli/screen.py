"""What `kws-stream listen` shows in a terminal: a picture of one moment, 80 columns by 24 lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kws_stream.cli.output import event_text
from kws_stream.cli.power_table import format_quantity
from kws_stream.detector import WakeEvent
from kws_stream.parameters import BoolArray

LINES = 24
MIDDLE_LINES = 14  # for scores on the left and state bits on the right
FLOOR_DB = -60.0  # the left end of the level meter
_LEFT_COLUMNS = 42
_BITS_COLUMNS = 36
_METER_COLUMNS = 30
_BAR_COLUMNS = 20
_NAME_COLUMNS = 8


@dataclass(frozen=True)
class Score:
    """Smoothed score of one class; threshold None for a class that is no keyword."""

    name: str
    score: float
    threshold: float | None


@dataclass(frozen=True)
class State:
    """One moment. peak, rms: of the last 0.1 s, full scale 1.0; core_nw: of the last second.

    bits: (d,) a block. plain: draw with ASCII alone.
    """

    model: str
    device: str
    time_s: float
    peak: float
    rms: float
    clipped: int
    overruns: int
    dropped: int
    core_nw: float
    scores: Sequence[Score]
    bits: Sequence[BoolArray]
    events: Sequence[WakeEvent]
    status: str = ""
    plain: bool = False


def screen(state: State) -> RenderableType:
    """The picture of a moment; plain ANSI colours, which follow the terminal's theme."""
    middle = Table.grid(padding=(0, 2, 0, 0))
    middle.add_column(width=_LEFT_COLUMNS, no_wrap=True)
    middle.add_column(no_wrap=True)
    scores, bits = _scores(state), _bits(state)
    height = max(len(scores), len(bits))
    for left, right in zip(_filled(scores, height), _filled(bits, height), strict=True):
        middle.add_row(left, right)
    top = _top(state)
    room = LINES - 1 - len(top) - height - 1  # a line less than the terminal: it may scroll
    events: list[RenderableType] = [
        _line(event_text(event), "bold green" if event is state.events[-1] else "")
        for event in state.events[-room:]
    ]
    title = _line(f"events: {len(state.events)}   (Ctrl-C ends)", "bold")
    return Group(*top, middle, title, *events)


def decibels(amplitude: float) -> float:
    """dBFS of an amplitude with full scale 1.0; -inf for silence."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _filled(lines: list[Text], height: int) -> list[Text]:
    return lines + [Text("")] * (height - len(lines))


def _top(state: State) -> list[RenderableType]:
    meter = Text("level ", no_wrap=True)
    filled, peak = (_meter_place(value) for value in (state.rms, state.peak))
    full, empty = ("#", "-") if state.plain else ("█", "░")
    for at in range(_METER_COLUMNS):
        loud = at >= _METER_COLUMNS - 3  # the last 6 dB
        mark = "|" if at == peak - 1 and at >= filled else full if at < filled else empty
        meter.append(mark, "red" if loud and mark != empty else "green" if mark != empty else "dim")
    meter.append(f"  peak {decibels(state.peak):6.1f} dBFS  rms {decibels(state.rms):6.1f} dBFS")
    counts = Text("", no_wrap=True)
    for name, count in (
        ("clipped", state.clipped),
        ("overruns", state.overruns),
        ("dropped", state.dropped),
    ):
        counts.append(f"{name} {count}", "bold red" if count else "").append("   ")
    counts.append(f"core, last second: {format_quantity(state.core_nw, 'W')}")
    title = f"{state.model} on {state.device}   {state.time_s:.1f} s"
    return [_line(title, "bold"), meter, counts, _line(state.status, "magenta")]


def _meter_place(amplitude: float) -> int:
    share = 1 - decibels(amplitude) / FLOOR_DB
    return round(min(max(share, 0.0), 1.0) * _METER_COLUMNS)


def _scores(state: State) -> list[Text]:
    """A bar for each class, or for the highest where there are too many."""
    rows = list(state.scores)
    if len(rows) > MIDDLE_LINES:
        highest = sorted(rows, key=lambda row: row.score)[-MIDDLE_LINES:]
        rows = [row for row in rows if row in highest][:MIDDLE_LINES]
    full, empty = ("#", "-") if state.plain else ("█", "░")
    lines = []
    for row in rows:
        fires = row.threshold is not None and row.score >= row.threshold
        style = "bold green" if fires else "blue" if row.threshold is not None else "dim"
        name = row.name if len(row.name) <= _NAME_COLUMNS else row.name[: _NAME_COLUMNS - 1] + "~"
        line = Text(f"{name:<{_NAME_COLUMNS}} ", no_wrap=True)
        mark = -1 if row.threshold is None else min(int(row.threshold * _BAR_COLUMNS), 19)
        for at in range(_BAR_COLUMNS):
            if at == mark:
                line.append("|", "bold")
            elif at < round(row.score * _BAR_COLUMNS):
                line.append(full, style)
            else:
                line.append(empty, "dim")
        threshold = "" if row.threshold is None else f" / {row.threshold:.2f}"
        line.append(f" {row.score:.2f}{threshold}", "bold" if fires else "")
        lines.append(line)
    return lines


def _bits(state: State) -> list[Text]:
    """The state of every cell, rows of cells for each block; two rows in one where it is many."""
    rows = [max(1, math.ceil(len(bits) / _BITS_COLUMNS)) for bits in state.bits]
    packed = sum(rows) + len(rows) > MIDDLE_LINES and not state.plain
    lines = []
    for number, bits in enumerate(state.bits, 1):
        lines.append(_line(f"block {number}: {int(bits.sum())} of {len(bits)} cells set"))
        grid = [bits[at : at + _BITS_COLUMNS] for at in range(0, len(bits), _BITS_COLUMNS)]
        lines += _packed(grid) if packed else [_row(row, state.plain) for row in grid]
    if len(lines) > MIDDLE_LINES:
        lines = [*lines[: MIDDLE_LINES - 1], _line("(more cells than lines)", "dim")]
    return lines


def _row(bits: BoolArray, plain: bool) -> Text:
    on, off = ("#", ".") if plain else ("●", "·")
    return Text("".join(on if bit else off for bit in bits), "cyan", no_wrap=True)


def _packed(grid: list[BoolArray]) -> list[Text]:
    """Two rows of cells in one line of half blocks."""
    lines = []
    for at in range(0, len(grid), 2):
        upper = grid[at]
        lower = list(grid[at + 1]) if at + 1 < len(grid) else []
        lower += [False] * (len(upper) - len(lower))
        marks = "".join(" ▄▀█"[2 * int(u) + int(v)] for u, v in zip(upper, lower, strict=True))
        lines.append(Text(marks, "cyan", no_wrap=True))
    return lines
