"""Netlists of current-mode parts, line by line: mirrors of unit devices, sources, cells.

Nodes: 0 is ground, vdd feeds cells and mirrors, vddb the bias diodes, vddx the ideal inputs; three
supplies of 1.8 V, so that their currents can be told apart. Signals are currents in nA.

The cell is an independent cell in GF180MCU with the behaviour of the published one, of nine
transistors: two comparators share an input diode; the first feeds I_width back to the input, the
second switches I_gain to the output.
"""

from collections.abc import Sequence

import numpy as np

from kws_stream.parameters import FloatArray

VDD_V = 1.8
# um: width and length of the mirrors of a cell, and of its switches
CELL_UM, SWITCH_UM = (2.0, 8.0), (0.5, 0.5)
# um: the unit device of the mirrors between cells; `UNITS` of them make a ratio of 1
UNIT_UM = (0.5, 8.0)
UNITS = 64
DIFFUSION_UM = 0.6  # drain and source regions are so long; without areas a model takes a constant
EDGE_S = 1e-4  # inputs go from frame to frame in this time


def _size(width_um: float, length_um: float) -> str:
    """Width and length, areas and perimeters of drain and source, as an instance takes them."""
    area, around = width_um * DIFFUSION_UM, 2 * (width_um + DIFFUSION_UM)
    regions = f"as={area:.6g}p ad={area:.6g}p ps={around:.6g}u pd={around:.6g}u"
    return f"w={width_um:g}u l={length_um:g}u {regions}"


CELL_SIZE, SWITCH_SIZE, UNIT_SIZE = (_size(*one) for one in (CELL_UM, SWITCH_UM, UNIT_UM))

CELL = f"""\
.subckt bmru9t in out vbt vbw vbg vdd
XM1 in in 0 0 nfet_03v3 {CELL_SIZE}
XM2 x1 in 0 0 nfet_03v3 {CELL_SIZE}
XM3 x1 vbt vdd vdd pfet_03v3 {CELL_SIZE}
XM4 s1 vbw vdd vdd pfet_03v3 {CELL_SIZE}
XM5 in x1 s1 vdd pfet_03v3 {SWITCH_SIZE}
XM6 x2 in 0 0 nfet_03v3 {CELL_SIZE}
XM7 x2 vbt vdd vdd pfet_03v3 {CELL_SIZE}
XM8 s2 vbg vdd vdd pfet_03v3 {CELL_SIZE}
XM9 out x2 s2 vdd pfet_03v3 {SWITCH_SIZE}
.ends"""


class Circuit:
    """A netlist that grows; `devices` counts its transistors."""

    def __init__(self) -> None:
        self.lines = [CELL, *(f"V{name} {name} 0 {VDD_V}" for name in ("vdd", "vddb", "vddx"))]
        self.devices = 0
        self._names = 0

    def text(self) -> str:
        return "\n".join(self.lines)

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}"

    def sink(self, node: str, gate: str, ratio: float = 1.0) -> None:
        """N mirror of `gate` that draws `ratio` times its current from `node`."""
        self._mirror("nfet_03v3", node, gate, "0", ratio)

    def source(self, node: str, gate: str, ratio: float = 1.0) -> None:
        """P mirror of `gate` that pushes `ratio` times its current into `node`."""
        self._mirror("pfet_03v3", node, gate, "vdd", ratio)

    def _mirror(self, model: str, node: str, gate: str, rail: str, ratio: float) -> None:
        units = round(ratio * UNITS, 9)
        if units <= 0:
            return
        self.devices += 1
        # par: the statistics of the process draw once for an instance, whatever its m
        size = f"{UNIT_SIZE} m={units:.9g} par={units:.9g}"
        self.lines.append(f"{self._name('XM')} {node} {gate} {rail} {rail} {model} {size}")

    def n_diode(self, node: str, ratio: float = 1.0) -> None:
        """N diode: what is pushed into `node`, less what is drawn, if above zero."""
        self.sink(node, node, ratio)

    def p_diode(self, node: str) -> None:
        """P diode of ratio 1: what is drawn from `node`, less what is pushed, if above zero."""
        self.source(node, node)

    def constant(self, plus: str, minus: str, nano: float) -> None:
        """Ideal current from `plus` through the source to `minus`, in nA."""
        self.lines.append(f"{self._name('I')} {plus} {minus} {nano:.9g}n")

    def frames(self, plus: str, minus: str, nano: FloatArray, frame_s: float) -> None:
        """Ideal current in nA, one value a frame, with an edge of EDGE_S at its start."""
        points = [f"0 {nano[0]:.9g}n"]
        for t in range(1, len(nano)):
            if nano[t] != nano[t - 1]:
                points.append(f"{t * frame_s:.9g} {nano[t - 1]:.9g}n")
                points.append(f"{t * frame_s + EDGE_S:.9g} {nano[t]:.9g}n")
        lines = "\n+ ".join(points)
        self.lines.append(f"{self._name('I')} {plus} {minus} PWL({lines})")

    def ramp(self, plus: str, minus: str, points: Sequence[tuple[float, float]]) -> None:
        """Ideal current through (s, nA) points."""
        text = " ".join(f"{s:.9g} {nano:.9g}n" for s, nano in points)
        self.lines.append(f"{self._name('I')} {plus} {minus} PWL({text})")

    def meter(self, name: str, plus: str, minus: str) -> str:
        """An ammeter between two nodes; gives the name of its output."""
        self.lines.append(f"V{name} {plus} {minus} 0")
        return f"i(v{name})"

    def cell(self, name: str, beta2: float, delta: float, alpha: float) -> None:
        """A cell with nodes {name}_in and {name}_out, its biases in nA on diodes of their own."""
        for bias, nano in (("t", beta2), ("w", delta), ("g", alpha)):
            gate = f"{name}_{bias}"
            self.lines.append(f"{self._name('XM')} {gate} {gate} vddb vddb pfet_03v3 {CELL_SIZE}")
            self.constant(gate, "0", max(nano, 0.0))
        gates = " ".join(f"{name}_{bias}" for bias in "twg")
        self.lines.append(f"X{name} {name}_in {name}_out {gates} vdd bmru9t")
        # where the search for the operating point begins: off, as a cell starts
        self.lines.append(f".nodeset v(x{name}.x1)={VDD_V} v(x{name}.x2)={VDD_V}")
        self.devices += 12


def settled_times(frames: int, frame_s: float) -> FloatArray:
    """The ends of the frames, s."""
    ends = np.arange(1, frames + 1, dtype=np.float64)
    times: FloatArray = ends * frame_s - EDGE_S / 10
    return times
