"""Power against unit current and supply: the same branches, in other currents, at another voltage.

    P(unit, V) = P(1 nA, 1.8 V) · unit/1 nA · V/1.8 V

Both are extrapolations of formulas that know 1 nA and 1.8 V alone: currents follow the unit
current, and mirrors hold them against the supply.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kws_stream.arguments import number_above_zero
from kws_stream.power.formulas import VDD_V, PowerEstimate

UNITS_NA = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
SUPPLIES_V = (1.2, 1.5, 1.8)


@dataclass(frozen=True)
class SweepPower:
    """nW at one unit current and supply; `extrapolated`: not the 1 nA and 1.8 V of the fit."""

    unit_na: float
    supply_v: float
    cells_nw: float
    feedforward_nw: float
    core_nw: float
    classifier_nw: float
    extrapolated: bool


def sweep(
    estimate: PowerEstimate,
    units_na: Sequence[float] = UNITS_NA,
    supplies_v: Sequence[float] = SUPPLIES_V,
) -> tuple[SweepPower, ...]:
    """Every unit current at every supply; ParameterError for one that is not above 0."""
    points = []
    for supply in supplies_v:
        volts = number_above_zero(supply, "supply_v") / VDD_V
        for unit in units_na:
            at = estimate.at_unit(unit)
            points.append(
                SweepPower(
                    unit_na=at.unit_na,
                    supply_v=float(supply),
                    cells_nw=at.cells_nw * volts,
                    feedforward_nw=at.feedforward_nw * volts,
                    core_nw=at.core_nw * volts,
                    classifier_nw=at.classifier_nw * volts,
                    extrapolated=at.extrapolated or supply != VDD_V,
                )
            )
    return tuple(points)
