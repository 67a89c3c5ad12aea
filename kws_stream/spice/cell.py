"""One cell in transistors, swept up and down, and the emulator's loops beside it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kws_stream.bmru.chip import ChipSettings, simulate
from kws_stream.bmru.fabricate import FITS
from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.network import Network
from kws_stream.parameters import FloatArray
from kws_stream.spice.circuit import VDD_V, Circuit
from kws_stream.spice.tools import Simulator

NANO = 1e9
SWEEP_S = 1.0  # a ramp up and a ramp down take this long each; a cell switches in 2 ms at most
CELL_BIASES = (
    (1.0, 0.5, 1.0),
    (0.1, 0.05, 0.1),
    (0.5, 0.25, 1.0),
    (1.0, 0.1, 1.0),
    (1.5, 0.5, 1.0),
)
"""I_thresh, I_width and I_gain in nA that the cell is swept at by default."""


@dataclass(frozen=True)
class CellResult:
    """Programmed and effective currents of a cell in nA, power in nW, without the bias diodes.

    low_nw: before it sets, at 80 % of I_thresh; high_nw: on, at 160 %.
    """

    thresh_na: float
    width_na: float
    gain_na: float
    beta2_na: float
    beta1_na: float
    alpha_na: float
    off_na: float
    low_nw: float
    high_nw: float
    run_s: float

    @property
    def delta_na(self) -> float:
        return self.beta2_na - self.beta1_na

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"delta_na": self.delta_na}


@dataclass(frozen=True, eq=False)
class Loop:
    """The sweep itself, (T,) in nA: candidate, and the state in transistors.

    programmed, fitted: states of the emulator on the same candidate, of the exact cell and of the
    typical chip of this process, or None for a process that nothing was fitted to.
    """

    result: CellResult
    candidates: FloatArray
    states: FloatArray
    programmed: FloatArray
    fitted: FloatArray | None

    __repr__ = brief


EFFECTIVE = ("beta2_na", "beta1_na", "delta_na", "alpha_na", "off_na", "low_nw", "high_nw")


def over_chips(results: Sequence[CellResult]) -> tuple[FloatArray, FloatArray | None]:
    """Means and standard deviations (7,) of the `EFFECTIVE` figures; no deviation of one chip."""
    values = np.array([[getattr(one, name) for name in EFFECTIVE] for one in results])
    return values.mean(axis=0), values.std(axis=0, ddof=1) if len(results) > 1 else None


def cell(simulator: Simulator, thresh_na: float, width_na: float, gain_na: float) -> Loop:
    """Sweep the candidate of one cell up and down; ParameterError for currents not above 0."""
    if not (0 < thresh_na <= 100 and 0 < width_na < thresh_na and 0 < gain_na <= 100):
        raise ParameterError(
            "cell: need 0 < width < thresh <= 100 nA and 0 < gain <= 100 nA, got "
            f"thresh {thresh_na}, width {width_na}, gain {gain_na}"
        )
    circuit = Circuit()
    circuit.cell("a", thresh_na, width_na, gain_na)
    top = 1.6 * thresh_na
    circuit.ramp(
        "vddx", "drive", [(0, 0), (SWEEP_S, top), (1.1 * SWEEP_S, top), (2.1 * SWEEP_S, 0)]
    )
    into = circuit.meter("c", "drive", "a_in")
    out = circuit.meter("h", "a_out", "0")
    waves = simulator.run(circuit.text(), [into, out, "i(vvdd)"], SWEEP_S / 2000, 2.1 * SWEEP_S)
    current, state = NANO * waves.values[into], NANO * waves.values[out]
    on = np.flatnonzero(state > gain_na / 2)
    if not on.size:
        raise ParameterError(f"cell: need one that sets below {top:.3g} nA, got none; other biases")
    low_s, high_s = 0.5 * SWEEP_S, 1.05 * SWEEP_S
    result = CellResult(
        thresh_na=thresh_na,
        width_na=width_na,
        gain_na=gain_na,
        beta2_na=float(current[on[0]]),
        beta1_na=float(current[on[-1]]),
        alpha_na=NANO * float(waves.at(out, np.array(high_s))),
        off_na=NANO * float(waves.at(out, np.array(low_s))),
        low_nw=-NANO * VDD_V * float(waves.at("i(vvdd)", np.array(low_s))),
        high_nw=-NANO * VDD_V * float(waves.at("i(vvdd)", np.array(high_s))),
        run_s=waves.run_s,
    )
    block = {
        "candidate": ([[1.0]], [0.0]),
        "beta1": thresh_na - width_na,
        "delta": width_na,
        "alpha": gain_na,
        "post": ([[1.0]], [0.0]),
    }
    net = Network.from_arrays(([[1.0]], [0.0]), [block], ([[1.0]], [0.0]))
    drive = current[:, None]
    fitted = None
    if simulator.process.name in FITS:
        typical = ChipSettings.typical(simulator.process.name, candidate_gain=0.0)  # of mirrors
        fitted = simulate(net, drive, typical).states[0][:, 0]
    return Loop(result, current, state, simulate(net, drive).states[0][:, 0], fitted)
