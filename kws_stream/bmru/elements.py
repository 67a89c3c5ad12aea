"""Which element of the chip each parameter of a network is, and what it is set to.

arXiv:2605.15216, one to one: a weight is a mirror, its width the size and its rail the sign; a bias
and the thresholds, width and gain of a cell are currents. A parameter of 0 needs no element. Widths
are those of the fits at 1 nA (docs/chip.md, eq. 5).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kws_stream.bmru.fabricate import MIN_WIDTH_UM, widths_um
from kws_stream.parameters import Layer, NetworkParameters

CELL_CURRENTS = {"I_thresh": "beta2", "I_width": "delta", "I_gain": "alpha"}


@dataclass(frozen=True)
class Element:
    """place: "pre", "block 1 candidate", ..., "classifier", or "block 1 cell", counted from 1.

    kind: "mirror" (value: its ratio), "bias", "I_thresh", "I_width" or "I_gain" (value: nA).
    source, target: wires that it joins, or the cell, counted from 0; source None but for mirrors.
    rail: "P" for what is above 0, "N" below. width_um: of a mirror's output device at 180 nm.
    """

    place: str
    kind: str
    source: int | None
    target: int
    value: float
    rail: str
    width_um: float | None = None

    @property
    def too_narrow(self) -> bool:
        """Whether it is a mirror narrower than the smallest drawn width."""
        return self.width_um is not None and self.width_um < MIN_WIDTH_UM


def elements(parameters: NetworkParameters, unit_na: float = 1.0) -> list[Element]:
    """Every element that a network needs, in the order of its signal path."""
    found = list(_layer("pre", parameters.pre, unit_na))
    for number, block in enumerate(parameters.blocks, 1):
        found += _layer(f"block {number} candidate", block.candidate, unit_na)
        always = block.beta2 <= 0  # on, whatever is programmed: a current cannot be negative
        for cell in range(block.cells):
            for kind, name in CELL_CURRENTS.items():
                value = 0.0 if always[cell] and name != "alpha" else getattr(block, name)[cell]
                if value:
                    place = f"block {number} cell"
                    found.append(Element(place, kind, None, cell, unit_na * float(value), "P"))
        found += _layer(f"block {number} post", block.post, unit_na)
    found += _layer("classifier", parameters.classifier, unit_na)
    return found


def _layer(place: str, layer: Layer, unit_na: float) -> Iterator[Element]:
    widths = widths_um(layer.weight)
    for source, target in zip(*np.nonzero(layer.weight), strict=True):
        value = float(layer.weight[source, target])
        where = (int(source), int(target), abs(value), "P" if value > 0 else "N")
        yield Element(place, "mirror", *where, float(widths[source, target]))
    for target in np.flatnonzero(layer.bias):
        value = float(layer.bias[target])
        rail = "P" if value > 0 else "N"
        yield Element(place, "bias", None, int(target), unit_na * abs(value), rail)
