"""What `kws-stream listen` shows in a terminal: a picture of one moment, from 80 by 24 up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kws_stream.cli.output import event_text, printable
from kws_stream.cli.screen_cells import cell_lines
from kws_stream.cli.screen_heat import heat_lines
from kws_stream.power.quantity import format_quantity

if TYPE_CHECKING:
    from kws_stream.live import Moment
    from kws_stream.power import PowerEstimate

WIDTH, HEIGHT = 80, 24  # the least that it is made for
FLOOR_DB = -60.0  # the left end of the level meter
_METER_COLUMNS = 30
_NAME_COLUMNS = 8
_SCORE_LINES = 12
_HEAT_LINES = 8
_LEAST_EVENTS = 3


@dataclass(frozen=True)
class Around:
    """What stands around the moment: the source's counts, messages, the terminal.

    plain: draw with ASCII alone. colour: the terminal has colours.
    """

    device: str
    overruns: int = 0
    dropped: int = 0
    clipped: int = 0
    status: str = ""
    keys: str = "Ctrl-C ends"
    width: int = WIDTH
    height: int = HEIGHT
    plain: bool = False
    colour: bool = True


def screen(moment: "Moment", around: Around) -> RenderableType:
    """The picture of a moment; ANSI's own colours, which follow the terminal's theme."""
    width = max(around.width, 40)
    top = _top(moment, around)
    left_width = min(width // 2 + 2, 60)
    room = max(around.height, HEIGHT) - 1 - len(top) - 1  # the terminal scrolls at its last line
    scores = _scores(moment, around, left_width - 2)
    heat_room = _HEAT_LINES if around.height < 2 * HEIGHT - 8 else 2 * _HEAT_LINES
    right = heat_lines(moment.heat, width - left_width, heat_room, around.plain, around.colour)
    upper = max(len(scores), len(right) + 1 + _LEAST_EVENTS)
    cells = cell_lines(moment.blocks, width, room - upper, around.plain, around.colour)
    upper = room - len(cells)
    right.append(_line(f"events: {moment.event_count}", "bold"))
    for event in moment.events[len(right) - upper :]:
        right.append(
            _line(
                event_text(event).rpartition("  (")[0],
                "bold green" if event is moment.events[-1] else "",
            )
        )
    middle = Table.grid()
    middle.add_column(width=left_width, no_wrap=True)
    middle.add_column(no_wrap=True)
    for left_line, right_line in zip(_filled(scores, upper), _filled(right, upper), strict=True):
        middle.add_row(left_line, right_line)
    keys = _fitting(around.keys, width)
    end = _line(around.status, "magenta") if around.status else _line(keys, "dim")
    return Group(*top, middle, *cells, end)


def decibels(amplitude: float) -> float:
    """dBFS of an amplitude with full scale 1.0; -inf for silence."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="crop")


def _fitting(text: str, width: int) -> str:
    """The parts of a line, with three spaces between, that are whole in this width."""
    parts = text.split("   ")
    while len(parts) > 1 and len("   ".join(parts)) > width:
        parts.pop()
    return "   ".join(parts)


def _filled(lines: list[Text], height: int) -> list[Text]:
    return lines + [Text("")] * (height - len(lines))


def _top(moment: "Moment", around: Around) -> list[RenderableType]:
    title = f"{moment.model}   {moment.time_s:.1f} s   on {around.device}"
    counts = Text("", no_wrap=True, overflow="crop")
    for name, count in (
        ("clipped", around.clipped),
        ("overruns", around.overruns),
        ("dropped", around.dropped),
    ):
        counts.append(f"{name} {count}", "bold red" if count else "").append("   ")
    counts.append(f"noise floor {decibels(moment.floor):.0f} dBFS   ")
    if moment.factor:
        slow = moment.factor < 1
        counts.append(f"{moment.factor:.0f} x real time", "bold red" if slow else "")
    return [
        _line(title, "bold"),
        _meter(moment, around),
        counts,
        _power("core now", moment.now, around.width),
        _power("average ", moment.average, around.width),
    ]


def _power(name: str, power: "PowerEstimate", width: int) -> Text:
    parts = {
        "cells": power.cells_nw,
        "+ feedforward": power.feedforward_nw,
        "; classifier": power.classifier_nw,
    }
    text = Text(f"{name} ", no_wrap=True, overflow="crop")
    text.append(f"{format_quantity(power.core_nw, 'W'):<8}", "bold")
    text.append(" =")
    for part, value in parts.items():
        more = f"{'' if part.startswith(';') else ' '}{part} {format_quantity(value, 'W')}"
        if len(text) + len(more) <= width:
            text.append(more)
    return text


def _meter(moment: "Moment", around: Around) -> Text:
    """RMS as a bar, the peak and the noise floor as marks; red in the last 6 dB."""
    meter, plain = Text("level ", no_wrap=True), around.plain
    figures = f"  peak {decibels(moment.peak):6.1f} dBFS  rms {decibels(moment.rms):6.1f} dBFS"
    columns = max(4, min(_METER_COLUMNS, around.width - len(meter) - len(figures)))
    levels = (moment.rms, moment.peak, moment.floor)
    filled, peak, floor = (_place(value, columns) for value in levels)
    red = columns - columns // 10
    full, empty = ("#", "-") if plain else ("█", "░")
    for at in range(columns):
        if at == floor - 1:
            meter.append("+" if plain else "┃", "yellow")
        elif at == peak - 1 and at >= filled:
            meter.append("|", "red" if at >= red else "green")
        elif at < filled:
            meter.append(full, "red" if at >= red else "green")
        else:
            meter.append(empty, "dim")
    return meter.append(figures)


def _place(amplitude: float, columns: int) -> int:
    share = 1 - decibels(amplitude) / FLOOR_DB
    return round(min(max(share, 0.0), 1.0) * columns)


def _scores(moment: "Moment", around: Around, width: int) -> list[Text]:
    """A bar for each class, or for the highest where there are too many."""
    rows = list(moment.scores)
    most = max(_SCORE_LINES, around.height // 3)
    if len(rows) > most:
        highest: Sequence[object] = sorted(rows, key=lambda row: row.score)[-most:]
        rows = [row for row in rows if row in highest][:most]
    full, empty = ("#", "-") if around.plain else ("█", "░")
    columns = width - _NAME_COLUMNS - 1 - 13
    lines = []
    for row in rows:
        fires = row.threshold is not None and row.score >= row.threshold
        style = "bold green" if fires else "blue" if row.threshold is not None else "dim"
        name = row.name if len(row.name) <= _NAME_COLUMNS else row.name[: _NAME_COLUMNS - 1] + "~"
        line = Text(f"{name:<{_NAME_COLUMNS}} ", no_wrap=True)
        mark = -1 if row.threshold is None else min(int(row.threshold * columns), columns - 1)
        for at in range(columns):
            if at == mark:
                line.append("|", "bold")
            elif at < round(row.score * columns):
                line.append(full, style)
            else:
                line.append(empty, "dim")
        threshold = "" if row.threshold is None else f" / {row.threshold:.2f}"
        line.append(f" {row.score:.2f}{threshold}", "bold" if fires else "")
        lines.append(line)
    return lines
