"""Every cell in a terminal: its candidate between two thresholds, and its bit.

Few cells have a gauge each; more have a bar each where there is room; many have one sign each,
which tells where the candidate is and, where it lies between the thresholds, what the cell holds;
too many are counted in groups.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

if TYPE_CHECKING:
    from kws_stream.live import Cells

_GAUGE_COLUMNS = 40  # for one cell: its name, bit and gauge
_SIGNS = "·○●█"  # reset; holds 0; holds 1; set
_PLAIN_SIGNS = ".oO#"
_STYLES = ("dim", "yellow", "cyan", "green")  # of the signs
_LEAST_ROWS, _MOST_ROWS = 3, 8  # of a bar
_GROUPS = " ▁▂▃▄▅▆▇█"
_PLAIN_GROUPS = " .:-=+*#@"


def cell_lines(
    blocks: "Sequence[Cells]", width: int, room: int, plain: bool, colour: bool
) -> list[Text]:
    """The cells of all blocks in `room` lines at most: gauges, else bars, signs or groups.

    plain: with ASCII alone. colour: the terminal has colours, which bars need.
    """
    if not blocks or room < 1:
        return []
    columns = max(1, width // _GAUGE_COLUMNS)
    gauges = sum(-(-len(block.bits) // columns) for block in blocks)
    if gauges + 1 <= room:
        return _gauges(blocks, columns, width // columns, plain)
    inner = width - len(_start(len(blocks), blocks[-1]))
    rows = (room - 1) // len(blocks) - 1
    bars = colour and not plain
    if bars and rows >= _LEAST_ROWS and all(len(block.bits) <= inner for block in blocks):
        return _bar_lines(blocks, min(rows, _MOST_ROWS), width)
    signs = sum(-(-len(block.bits) // inner) for block in blocks)
    if signs + 1 <= room:
        return _sign_lines(blocks, inner, plain)
    if len(blocks) + 1 <= room:
        return _group_lines(blocks, inner, plain)
    bits = sum(int(block.bits.sum()) for block in blocks)
    return [
        Text(f"{bits} of {sum(len(block.bits) for block in blocks)} cells are on", no_wrap=True)
    ]


_HEAD = "block on/of  "  # above what `_start` gives


def _start(number: int, block: "Cells") -> str:
    """What stands before a block: its number, how many of its cells are on, and of how many."""
    return f"{number:>2} {int(block.bits.sum()):>4}/{len(block.bits):<4} "


def _title(words: Sequence[str], room: int, before: str = "") -> Text:
    """As many of the words, from the first, as there is room for."""
    text = before
    for part in words:
        if len(text) + len(part) <= room or text == before:
            text += part
    return Text(text, "dim", no_wrap=True)


def _gauges(blocks: "Sequence[Cells]", columns: int, width: int, plain: bool) -> list[Text]:
    bit = "#" if plain else "●"
    explained = (f"cells: {bit} is on", ", candidate as a bar", ", thresholds [ beta1 and ] beta2")
    lines = [_title(explained, columns * width)]
    for number, block in enumerate(blocks, 1):
        gauges = [
            _gauge(f"{number}.{cell + 1}", block, cell, width, plain)
            for cell in range(len(block.bits))
        ]
        for at in range(0, len(gauges), columns):
            lines.append(Text().join(gauges[at : at + columns]))
    return lines


def _gauge(name: str, block: "Cells", cell: int, width: int, plain: bool) -> Text:
    candidate, low, high = (
        float(values[cell]) for values in (block.candidates, block.beta1, block.beta2)
    )
    on = bool(block.bits[cell])
    columns = width - 10
    scale = columns / max(1.6 * high, 1e-9)
    places = [min(max(int(value * scale), 0), columns - 1) for value in (candidate, low, high)]
    full = "=" if plain else "━"
    text = Text(f"{name:<5}", no_wrap=True)
    text.append("# " if plain and on else ". " if plain else "● " if on else "· ", "bold cyan")
    style = "green" if candidate >= high else "yellow" if candidate >= low else "dim"
    for at in range(columns):
        if at == places[2]:
            text.append("]", "bold")
        elif at == places[1]:
            text.append("[", "bold")
        else:
            text.append(full if at <= places[0] and candidate > 0 else " ", style)
    return text.append("   ")


def _which(block: "Cells") -> NDArray[np.int64]:
    """Of each cell: 0 its candidate resets it, 1 it holds 0, 2 it holds 1, 3 it is set."""
    above = block.candidates >= block.beta2
    holds = (block.candidates >= block.beta1) & ~above
    return np.where(above, 3, np.where(holds, 1 + block.bits, 0))


def _bar_lines(blocks: "Sequence[Cells]", rows: int, width: int) -> list[Text]:
    """A column for each cell: its candidate as a bar of `rows` lines, and the bit below it.

    A bar covers the mark of a threshold when, and only when, the candidate has reached it.
    """
    explained = ("candidate as a bar", ", = beta2, - beta1", "; below it ● is on")
    lines = [_title(explained, width, _HEAD)]
    for number, block in enumerate(blocks, 1):
        which = _which(block)
        scale = rows / np.maximum(1.6 * block.beta2, 1e-9)
        low, high = (
            np.clip(beta * scale, 0, rows - 1).astype(int) for beta in (block.beta1, block.beta2)
        )
        height = np.rint(np.minimum(block.candidates * scale, rows)).astype(int)
        height = np.where(which == 0, np.minimum(height, low), np.maximum(height, low + 1))
        height = np.where(which == 3, np.maximum(height, high + 1), np.minimum(height, high))
        start = _start(number, block)
        for row in range(rows - 1, -1, -1):
            line = Text(start if row == rows - 1 else " " * len(start), no_wrap=True)
            for cell, kind in enumerate(which):
                mark = "=" if row == high[cell] else "-" if row == low[cell] else " "
                covered = " reverse" if row < height[cell] else ""
                line.append(mark, _STYLES[kind] + covered)
            lines.append(line)
        bits = "".join("●" if bit else "·" for bit in block.bits)
        lines.append(Text(" " * len(start), no_wrap=True).append(bits, "cyan"))
    return lines


def _sign_lines(blocks: "Sequence[Cells]", inner: int, plain: bool) -> list[Text]:
    signs = _PLAIN_SIGNS if plain else _SIGNS
    reset, off, on, sets = tuple(signs)
    explained = (f"{sets} set", f"   {on} holds 1", f"   {off} holds 0", f"   {reset} reset")
    lines = [_title(explained, inner + len(_HEAD), _HEAD)]
    for number, block in enumerate(blocks, 1):
        which = _which(block)
        for at in range(0, len(which), inner):
            text = Text(_start(number, block) if at == 0 else "", no_wrap=True)
            text.pad_right(len(_start(number, block)) - len(text))
            for sign in which[at : at + inner]:
                text.append(signs[sign], _STYLES[sign])
            lines.append(text)
    return lines


def _group_lines(blocks: "Sequence[Cells]", inner: int, plain: bool) -> list[Text]:
    shades = _PLAIN_GROUPS if plain else _GROUPS
    most = max(-(-len(block.bits) // inner) for block in blocks)
    half, full = shades[len(shades) // 2], shades[-1]
    explained = (
        f"one sign for up to {most} cells: {full} all on",
        f", {half} half",
        ", blank none",
    )
    lines = [_title(explained, inner + len(_HEAD), _HEAD)]
    for number, block in enumerate(blocks, 1):
        size = -(-len(block.bits) // inner)
        groups = [block.bits[at : at + size].mean() for at in range(0, len(block.bits), size)]
        text = Text(_start(number, block), no_wrap=True)
        text.append("".join(shades[round(share * (len(shades) - 1))] for share in groups), "cyan")
        lines.append(text)
    return lines
