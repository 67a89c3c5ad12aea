"""From branch currents to nanowatts: the formulas, their constants, and the estimate they give.

A current-mode circuit burns VDD times the sum of its branch currents, so activity predicts power.
With every current in nA and averaged over time, over all cells of all blocks:

    P_cells = VDD · (1.033·sum(I_gain + I_thresh + I_width) + 0.36·sum(c) + 2.92·sum(h))
    P_ff    = VDD · (1.72·cells/8 + 3.29·sum(p) + 2.34·sum(n) + 3.19·sum(q))

The coefficients were fitted by this project on 10 utterances of the transistor-level simulations
published with arXiv:2605.15216 (d = 4, two blocks) and checked on the other 40. None is silicon.
docs/power.md follows each number to its source.
"""

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from kws_stream.arguments import number_above_zero
from kws_stream.brief import brief
from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from kws_stream.errors import InputError
from kws_stream.parameters import FloatArray

VDD_V = 1.8  # supply voltage, 180 nm CMOS, arXiv:2605.15216; simulated
FRAME_S = HOP_SAMPLES / SAMPLE_RATE_HZ  # s, one decision a frame, arXiv:2605.15216

# Branch currents drawn per nA of a signal (no unit); fitted to transistor-level simulation.
BIAS_GAIN = 1.033  # per nA of I_gain + I_thresh + I_width: the sum of the bias currents, to 3 %
CANDIDATE_GAIN = 0.36  # per nA of candidate current c
STATE_GAIN = 2.92  # per nA of state current h
POSITIVE_GAIN = 3.29  # per nA of positive branch p into a candidate
NEGATIVE_GAIN = 2.34  # per nA of negative branch n into a candidate
POST_GAIN = 3.19  # per nA of branch q of a post-projection

# nA, what the mirrors of the fitted network draw at rest; fitted to transistor-level simulation.
CONSTANT_NA = 1.72
CONSTANT_CELLS = 8  # cells of that network; the constant scales with their number (our choice)

# Mean error of the formula on the 40 check utterances (fractions): not a bound on one utterance.
CELLS_ERROR = 0.005
FEEDFORWARD_ERROR = 0.023
CORE_ERROR = 0.015


Values = TypeVar("Values", float, FloatArray)


def cell_power_nw(bias: Values, candidate: Values, state: Values) -> Values:
    """P_cells: power of cells in nW from their branch currents in nA, of any one shape.

    bias: I_gain + I_thresh + I_width.
    """
    return VDD_V * (BIAS_GAIN * bias + CANDIDATE_GAIN * candidate + STATE_GAIN * state)


def mirror_power_nw(cells: int, positive: Values, negative: Values, post: Values) -> Values:
    """P_ff: power of mirrors in nW from branch sums p, n and q in nA, of any one shape.

    cells: how many have their share of the constant in it.
    """
    return VDD_V * (
        CONSTANT_NA * cells / CONSTANT_CELLS
        + POSITIVE_GAIN * positive
        + NEGATIVE_GAIN * negative
        + POST_GAIN * post
    )


@dataclass(frozen=True)
class BlockCurrents:
    """Branch currents of one block, averaged over time, in unit currents.

    Per cell (d entries): bias = I_gain + I_thresh + I_width, candidate = c, state = h. Sums over
    the block: positive = p, negative = n, post = q.
    """

    bias: tuple[float, ...]
    candidate: tuple[float, ...]
    state: tuple[float, ...]
    positive: float
    negative: float
    post: float

    __repr__ = brief


@dataclass(frozen=True)
class BlockPower:
    """Mean power of one block in nW: its cells, and its feedforward mirrors."""

    cells_nw: float
    feedforward_nw: float


@dataclass(frozen=True)
class PowerEstimate:
    """Mean power of a network over a run, from its branch currents.

    currents: one `BlockCurrents` a block. classifier_positive, classifier_negative: branch sums of
    the classifier, in unit currents. frames: how many were averaged; of none, the activity is 0 and
    what is left is the power at rest. frame_s: seconds a frame. unit_na: nA for a current of 1.0.

    Estimates of equal runs are equal (``==``). Raises ParameterError for a unit or frame that is
    not above 0, InputError if a current overflowed float64.
    """

    currents: tuple[BlockCurrents, ...]
    classifier_positive: float
    classifier_negative: float
    frames: int
    frame_s: float = FRAME_S
    unit_na: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit_na", number_above_zero(self.unit_na, "unit_na"))
        object.__setattr__(self, "frame_s", number_above_zero(self.frame_s, "frame_s"))
        with np.errstate(over="ignore", invalid="ignore"):
            total_nw = self.core_nw + self.classifier_nw
        if not math.isfinite(total_nw):
            raise InputError("the sum of the branch currents overflowed; need smaller currents")

    def __repr__(self) -> str:
        return (
            f"PowerEstimate(core_nw={self.core_nw:.4g}, cells_nw={self.cells_nw:.4g}, "
            f"feedforward_nw={self.feedforward_nw:.4g}, classifier_nw={self.classifier_nw:.4g}, "
            f"seconds={self.seconds:g}, unit_na={self.unit_na:g})"
        )

    def at_unit(self, unit_na: float) -> "PowerEstimate":
        """The same activity with a current of 1.0 standing for `unit_na` nA."""
        return replace(self, unit_na=unit_na)

    @property
    def extrapolated(self) -> bool:
        """Whether the unit current differs from the 1 nA that the formulas were fitted at."""
        return self.unit_na != 1.0

    @property
    def seconds(self) -> float:
        """Length of the run in s."""
        return self.frames * self.frame_s

    @property
    def per_cell_nw(self) -> list[FloatArray]:
        """Power of every cell in nW: a list over blocks of arrays (d,)."""
        return [
            self.unit_na * cell_power_nw(*map(np.array, (block.bias, block.candidate, block.state)))
            for block in self.currents
        ]

    @property
    def blocks(self) -> list[BlockPower]:
        """Power of every block; the constant of the mirrors is shared out by number of cells."""
        return [
            BlockPower(
                cells_nw=float(cells.sum()),
                feedforward_nw=self.unit_na
                * mirror_power_nw(len(block.bias), block.positive, block.negative, block.post),
            )
            for block, cells in zip(self.currents, self.per_cell_nw, strict=True)
        ]

    @property
    def cells_nw(self) -> float:
        """BMRU cells of all blocks, nW."""
        return sum((block.cells_nw for block in self.blocks), 0.0)

    @property
    def feedforward_nw(self) -> float:
        """Mirrors of candidates and post-projections of all blocks, nW."""
        return sum((block.feedforward_nw for block in self.blocks), 0.0)

    @property
    def core_nw(self) -> float:
        """Cells and feedforward mirrors, nW; without the classifier."""
        return self.cells_nw + self.feedforward_nw

    @property
    def classifier_nw(self) -> float:
        """Mirrors of the classifier, nW: estimated with the gains of the candidates' branches.

        No published figure has this term, so it stands outside `core_nw`.
        """
        return self.unit_na * mirror_power_nw(
            0, self.classifier_positive, self.classifier_negative, 0.0
        )

    @property
    def branches(self) -> dict[str, float]:
        """The mean branch sums behind the formulas, in nA, over all cells of all blocks.

        bias, candidate, state; positive, negative, post (p, n, q); constant; classifier_positive
        and classifier_negative.
        """
        blocks = self.currents
        cells = sum(len(block.bias) for block in blocks)
        sums = {
            "bias": sum(sum(block.bias) for block in blocks),
            "candidate": sum(sum(block.candidate) for block in blocks),
            "state": sum(sum(block.state) for block in blocks),
            "positive": sum(block.positive for block in blocks),
            "negative": sum(block.negative for block in blocks),
            "post": sum(block.post for block in blocks),
            "constant": CONSTANT_NA * cells / CONSTANT_CELLS,
            "classifier_positive": self.classifier_positive,
            "classifier_negative": self.classifier_negative,
        }
        return {name: self.unit_na * value for name, value in sums.items()}

    @property
    def energy_per_second_nj(self) -> float:
        """Energy of the core for one second of audio, nJ."""
        return self.core_nw  # nW · 1 s

    @property
    def energy_per_decision_pj(self) -> float:
        """Energy of the core for one decision, which is one frame, pJ."""
        return self.core_nw * self.frame_s * 1000  # nW · s = nJ
