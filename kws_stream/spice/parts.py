"""Mirrors and candidate nodes by themselves: the spread of mismatch, and noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kws_stream.spice.circuit import UNITS, VDD_V, Circuit
from kws_stream.spice.tools import Simulator

NANO = 1e9
CHARGE_C = 1.602176634e-19  # SI
SETTLE_S = 1e-3  # a circuit that rests at its operating point
MIRROR_UNITS = (1, 4, 16, 64)
"""Unit devices of the mirrors that `mirrors` draws by default."""

NOISE_BIASES = ((0.1, 1.0), (0.5, 1.0), (0.8, 1.0), (0.5, 0.25), (0.25, 2.0))
"""Input current in nA and weight at which `candidate_noise` stands by default."""

NOISE_HZ = (0.1, 1e7)  # what is integrated
WHITE_HZ = 50.0  # above the 1/f noise and below the pole of the node
CELL_BIAS_NA = (1.0, 0.5, 1.0)  # I_thresh, I_width, I_gain: a cell that is off up to 0.96 nA


@dataclass(frozen=True)
class MirrorSpread:
    """Gains of mirrors of ratio 1, each of `units` devices on both sides, over `draws` chips."""

    units: int
    draws: int
    mean: float
    deviation: float


def mirrors(
    simulator: Simulator, draws: int, seed: int, units: Sequence[int] = MIRROR_UNITS
) -> list[MirrorSpread]:
    """N mirrors at 1/64 nA a unit device, with the process's statistics of mismatch."""
    drawn = replace(simulator, seed=seed)
    found = []
    for count in units:
        circuit = Circuit()
        circuit.lines.append(f"Vhalf half 0 {VDD_V / 2}")
        outputs, ratio = [], count / UNITS
        for k in range(draws):
            circuit.constant("vdd", f"g{k}", ratio)
            circuit.n_diode(f"g{k}", ratio)
            circuit.sink(f"o{k}", f"g{k}", ratio)
            outputs.append(circuit.meter(f"o{k}", "half", f"o{k}"))
        waves = drawn.run(circuit.text(), outputs, SETTLE_S, SETTLE_S)
        gains = np.array([NANO * waves.values[name][-1] / ratio for name in outputs])
        found.append(MirrorSpread(count, draws, float(gains.mean()), float(gains.std(ddof=1))))
    return found


@dataclass(frozen=True)
class CandidateNoise:
    """Noise of a candidate as its cell sees it, at the gate of the comparators.

    input_na, weight: of its one branch. white_fa, formula_fa: fA/sqrt(Hz) at `WHITE_HZ`, in the
    circuit and by eq. (7) of docs/chip.md. total_pa: rms over `NOISE_HZ`. bandwidth_hz: that of
    a flat density `white_fa` with this rms.
    """

    input_na: float
    weight: float
    white_fa: float
    formula_fa: float
    total_pa: float
    bandwidth_hz: float


def candidate_noise(simulator: Simulator, input_na: float, weight: float) -> CandidateNoise:
    """One branch of `weight` into a cell that is off, of the parts of `network`."""
    circuit = Circuit()
    circuit.lines.append(f"Iin vddx x dc {input_na:.9g}n ac 1")
    circuit.n_diode("x")
    circuit.sink("q", "x", weight)
    circuit.p_diode("q")
    circuit.source("a_in", "q")
    circuit.cell("a", *CELL_BIAS_NA)
    circuit.meter("h", "a_out", "wire")
    circuit.n_diode("wire")
    hertz, at_gate, at_input = simulator.noise(circuit.text(), "a_in", "Iin", *NOISE_HZ)
    ohms = at_gate[0] / (at_input[0] * weight)  # of the node, at rest, for the candidate
    density = at_gate / ohms
    white = float(np.interp(WHITE_HZ, hertz, density))
    total = float(np.sqrt(np.trapezoid(density**2, hertz)))
    shot = 2 * CHARGE_C * weight * input_na / NANO * (1 + weight)
    return CandidateNoise(
        input_na=input_na,
        weight=weight,
        white_fa=1e15 * white,
        formula_fa=float(1e15 * np.sqrt(shot)),
        total_pa=1e12 * total,
        bandwidth_hz=(total / white) ** 2,
    )
