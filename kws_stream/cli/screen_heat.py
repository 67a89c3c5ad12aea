"""The filterbank as a moving heat map in a terminal: time to the right, low channels below."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

_SHADES = " .:-=+*#%@"
_BLOCKS = " ░▒▓█"
# From dark blue over red to yellow, after matplotlib's "plasma" (CC0): both the sign and its ground
# are coloured, so that it looks the same on light and on dark.
_COLOURS = [(13, 8, 135), (84, 2, 163), (139, 10, 165), (185, 50, 137)]
_COLOURS += [(219, 92, 104), (244, 136, 73), (254, 188, 43), (240, 249, 33)]


def heat_lines(
    heat: NDArray[np.float64], width: int, lines: int, plain: bool, colour: bool
) -> list[Text]:
    """heat (frames, channels) of 0..1 in `lines` lines: with colours two channels a line."""
    coloured = colour and not plain
    rows = _bands(heat, 2 * lines if coloured else lines)
    columns = _columns(rows, width)
    if coloured:
        return [_two_rows(columns[at + 1], columns[at]) for at in range(0, len(columns), 2)][::-1]
    shades = _SHADES if plain else _BLOCKS
    levels = np.minimum((columns * len(shades)).astype(int), len(shades) - 1)
    return [Text("".join(shades[level] for level in row), no_wrap=True) for row in levels][::-1]


def _bands(heat: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """(bands, frames): neighbouring channels are averaged where there are more than `most`."""
    channels = heat.shape[1]
    edges = np.linspace(0, channels, min(most, channels + channels % 2) + 1).astype(int)
    bands = [
        heat[:, low : max(low + 1, high)].mean(axis=1) if low < channels else heat[:, -1]
        for low, high in pairwise(edges)
    ]
    if len(bands) % 2:
        bands.append(np.zeros(len(heat)))
    return np.array(bands)


def _columns(rows: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(bands, width): the loudest of the frames that share a column, or the nearest frame.

    Twice as bright as the front end's full range would have it: speech uses the lower half.
    """
    frames = rows.shape[1]
    if not frames:
        return np.zeros((len(rows), width))
    starts = np.arange(width) * frames // width
    loudest: NDArray[np.float64] = np.maximum.reduceat(rows, starts, axis=1)
    return np.clip(2 * loudest, 0.0, 1.0)


def _two_rows(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> Text:
    text = Text(no_wrap=True)
    for high, low in zip(_shade(upper), _shade(lower), strict=True):
        text.append("▀", Style(color=_COLOUR[high], bgcolor=_COLOUR[low]))
    return text


def _shade(values: NDArray[np.float64]) -> list[int]:
    places = np.minimum((values * len(_COLOURS)).astype(int), len(_COLOURS) - 1)
    return [int(place) for place in places]


_COLOUR = [Color.from_rgb(*rgb) for rgb in _COLOURS]
