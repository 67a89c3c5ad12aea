"""In what a chip differs from the exact network: one dataclass, each field with unit and source.

Sources, in short: [P] arXiv:2605.15216, the network; [F] fitted by this project to the
transistor-level results published with [P]; [G] fitted to this project's own simulations of
another cell in GF180MCU; [E] estimated, from textbook device physics at 180 nm. None is silicon.
docs/chip.md has the equations.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any

import numpy as np

from kws_stream.arguments import instance_of, real_number
from kws_stream.brief import changed
from kws_stream.errors import ParameterError, did_you_mean

CORNERS = {"tt": (0, 0), "ff": (-1, -1), "ss": (1, 1), "fs": (-1, 1), "sf": (1, -1)}
"""Process corners: the sign of the threshold shift of N and P transistors."""

NOMINAL_C, NOMINAL_V = 27.0, 1.8  # [P]: the simulations' temperature and supply
CANDIDATE_KNEE_NA = 0.02  # [F]: candidates from which on `candidate_offset_na` is seen
OFF_STATE_NA = 0.0046  # [F]: output of a cell that is off, from DC sweeps

FOUNDRY_AVT_MV_UM, FOUNDRY_AREA_UM2 = 2.0, 10.0  # [F], see `ChipSettings.foundry`

PROCESSES: dict[str, dict[str, Any]] = {
    # [F], the published circuit: sweeps of a cell, and waveforms of networks (docs/chip.md)
    "180nm-paper": {
        "transfer": True,
        "off_state_na": OFF_STATE_NA,
        "mirror_current": True,
        "clamp_threshold": 1.09,
        "clamp_width": 0.52,
        "candidate_offset_na": 0.03,
        "candidate_rest_na": 0.005,
    },
    # [G], the circuits of `kws_stream.spice`, whose input diode takes the whole current
    "gf180mcu": {
        "transfer": True,
        "alpha_transfer": True,
        "off_state_na": 1.0e-6,
        "candidate_gain": 0.037,
    },
}
"""Settings of a typical chip, by the circuit and process that they were taken from."""
BOLTZMANN = 1.380649e-23  # J/K, exact (SI)
CHARGE_C = 1.602176634e-19  # C, exact (SI)
SLOPE_FACTOR = 1.4  # n, subthreshold slope of bulk CMOS; [E], textbook 1.3..1.5


def _setting(
    default: Any,
    unit: str,
    low: float,
    high: float,
    source: str,
    what: str,
    fitted: tuple[float, float] | None = None,
) -> Any:
    """A field with what `ChipSettings.table` says of it; fitted: where its numbers come from."""
    described = {"unit": unit, "low": low, "high": high, "source": source, "what": what}
    return field(default=default, metadata=described | {"fitted": fitted})


@dataclass(frozen=True)
class ChipSettings:
    """Everything in which a chip differs from the exact network; the default differs in nothing.

    Unit, range, source and meaning of every field stand beside it and in `table()`. Where a field
    has `fitted`, values outside it are extrapolations (`extrapolations`).

    Raises ParameterError for a value outside its range.
    """

    unit_na: float = _setting(
        1.0,
        "nA",
        0.01,
        100.0,
        "[P]",
        "current that 1.0 stands for; less means less power and larger errors of fixed size",
        (1.0, 1.0),
    )
    supply_v: float = _setting(NOMINAL_V, "V", 1.0, 2.5, "[P]", "supply voltage", (1.8, 1.8))
    temperature_c: float = _setting(
        NOMINAL_C, "C", -40.0, 125.0, "[P]", "temperature", (27.0, 27.0)
    )
    corner: str = _setting("tt", "", 0, 0, "[E]", "process corner: tt, ff, ss, fs or sf")
    corner_shift_mv: float = _setting(
        40.0, "mV", 0.0, 100.0, "[E]", "threshold voltage shift of a corner, 3 sigma at 180 nm"
    )
    process: str = _setting(
        "180nm-paper", "", 0, 0, "[F], [G]", f"whose transfer: {' or '.join(PROCESSES)}"
    )
    transfer: bool = _setting(
        False, "", 0, 1, "[F], [G]", "effective instead of programmed beta2 and delta"
    )
    alpha_transfer: bool = _setting(
        False, "", 0, 1, "[F], [G]", "effective instead of programmed alpha, as in sweeps of a cell"
    )
    off_state_na: float = _setting(
        0.0, "nA", 0.0, 10.0, "[F] 0.0046", "output of a cell that is off", (0.0, OFF_STATE_NA)
    )
    leakage_doubling_k: float = _setting(
        11.0, "K", 5.0, 50.0, "[E]", "temperature rise that doubles leakage and fit offsets"
    )
    mirror_current: bool = _setting(
        False, "", 0, 1, "[F]", "mirror gain falls with the input current"
    )
    candidate_gain: float = _setting(
        0.0, "", 0.0, 1.0, "[G] 0.037", "share by which every candidate exceeds its programmed one"
    )
    clamp_threshold: float = _setting(
        0.0,
        "I_thresh",
        0.0,
        10.0,
        "[F] 1.09",
        "the most that flows into a cell that is on, before clamp_width; 0: no clamp",
    )
    clamp_width: float = _setting(
        0.0, "I_width", 0.0, 10.0, "[F] 0.52", "by how much less that is where hysteresis is wide"
    )
    candidate_offset_na: float = _setting(
        0.0,
        "nA",
        0.0,
        1.0,
        "[F] 0.03",
        "what flows into a cell beyond a candidate of 0.02 nA or more",
    )
    candidate_rest_na: float = _setting(
        0.0, "nA", 0.0, 1.0, "[F] 0.005", "what flows into a cell whose candidate is 0"
    )
    width_step_um: float = _setting(
        0.0, "um", 0.0, 5.0, "[F]", "step of the drawn mirror widths; 0: weights as programmed"
    )
    weight_bits: int = _setting(
        0, "bit", 0, 24, "design", "codes of the weights, sign included; 0: as programmed"
    )
    bias_bits: int = _setting(
        0, "bit", 0, 24, "design", "codes of biases (sign included) and cell currents; 0: as given"
    )
    mismatch_percent: float = _setting(
        0.0,
        "%",
        0.0,
        50.0,
        "[P]",
        "3 sigma of the relative error of every programmed parameter",
        (0.0, 15.0),
    )
    avt_mv_um: float = _setting(
        0.0, "mV um", 0.0, 20.0, "[F] 2.0", "Pelgrom's A_VT; 0: no mismatch by device area"
    )
    unit_area_um2: float = _setting(
        10.0, "um2", 0.1, 1000.0, "design", "gate area of the device of a mirror with ratio 1"
    )
    threshold_correlation: float = _setting(
        0.5,
        "",
        0.0,
        1.0,
        "[E]",
        "share of the variance of a cell's bias currents that they have in common (Pelgrom)",
    )
    specific_current_na: float = _setting(
        100.0, "nA", 1.0, 1e4, "[E]", "EKV specific current of the unit device"
    )
    noise_bandwidth_hz: float = _setting(
        0.0,
        "Hz",
        0.0,
        1e6,
        "[E] 1/(2 frame)",
        "noise bandwidth of the candidate nodes; 0: no thermal and shot noise",
    )
    candidate_noise_na: float = _setting(
        0.0, "nA", 0.0, 10.0, "study", "further white noise on every candidate, rms"
    )
    settling_s: float = _setting(
        0.0,
        "s",
        0.0,
        1.0,
        "[E]",
        "first-order time constant of the candidate nodes at 1 nA and 27 C; 0: settled",
    )
    steps_per_frame: int = _setting(
        20, "", 1, 1000, "numerical", "time steps a frame where settling_s is not 0"
    )
    frame_s: float = _setting(0.01, "s", 1e-4, 1.0, "[P]", "length of a frame")
    supply_sensitivity_per_v: float = _setting(
        0.02, "1/V", -0.5, 0.5, "[E]", "relative change of currents out of P mirrors with VDD"
    )
    reference_tc_per_k: float = _setting(
        0.0003, "1/K", -0.01, 0.01, "[E]", "relative drift of bias currents with temperature"
    )

    __repr__ = changed

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name in ("corner", "process"):
                continue
            object.__setattr__(self, one.name, _checked(one, getattr(self, one.name)))
        for name, known in (("corner", CORNERS), ("process", PROCESSES)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ParameterError(f"{name}: need one of {', '.join(known)}, got {value!r}")

    @classmethod
    def typical(cls, process: str = "180nm-paper", **changes: Any) -> "ChipSettings":
        """The typical chip as simulated at transistor level, without mismatch.

        process: "180nm-paper", fitted to what is published [F], or "gf180mcu", fitted to this
        project's cell in that process [G]. Raises ParameterError for another.
        """
        return cls(**{"process": process} | PROCESSES.get(process, {}) | changes)

    @classmethod
    def foundry(cls, process: str = "180nm-paper", **changes: Any) -> "ChipSettings":
        """Chips as a foundry makes them: the typical chip, and Pelgrom's mismatch of its devices.

        A_VT = FOUNDRY_AVT_MV_UM on FOUNDRY_AREA_UM2, [F]: what comes nearest to the share of 200
        published Monte Carlo runs whose vote differs, for each of eleven utterances (3.3 points
        rms, where 1.5 has 4.6 and 2.5 has 4.7 mV um). That fit was made with alpha_transfer on.
        """
        mismatch = {"avt_mv_um": FOUNDRY_AVT_MV_UM, "unit_area_um2": FOUNDRY_AREA_UM2}
        return cls.typical(process, **mismatch | changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ChipSettings":
        """Settings of a mapping such as JSON gives; ParameterError names what is unknown."""
        instance_of(values, Mapping, "chip settings", "a mapping of names")
        known = [one.name for one in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ParameterError(
                f"chip settings: need names out of {', '.join(known)}, got "
                f"{', '.join(map(repr, unknown))}{did_you_mean(str(unknown[0]), known)}"
            )
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def table(cls) -> list[dict[str, Any]]:
        """One row a setting: name, default, unit, low, high, source, what, fitted."""
        return [{"name": one.name, "default": one.default, **one.metadata} for one in fields(cls)]

    @property
    def random(self) -> bool:
        """Whether a trace depends on the clip's own draw: noise."""
        return self.noise_bandwidth_hz > 0 or self.candidate_noise_na > 0

    @property
    def loaded(self) -> bool:
        """Whether another current flows into a cell than the one that it compares."""
        return max(self.clamp_threshold, self.candidate_offset_na, self.candidate_rest_na) > 0

    @property
    def differs(self) -> bool:
        """Whether two chips with these settings differ from each other: mismatch."""
        return self.mismatch_percent > 0 or self.avt_mv_um > 0

    @property
    def thermal_voltage_v(self) -> float:
        """U_T = k·T/q."""
        return BOLTZMANN * self.kelvin / CHARGE_C

    @property
    def kelvin(self) -> float:
        return self.temperature_c + 273.15

    @property
    def leakage_factor(self) -> float:
        """Leakage against that of a typical chip at 27 C: 2^(dT/doubling)·exp(-dVT/(n·UT)).

        N transistors leak into the state; the shift of the corner is theirs.
        """
        shift_v = CORNERS[self.corner][0] * self.corner_shift_mv / 1000
        warmth = 2 ** ((self.temperature_c - NOMINAL_C) / self.leakage_doubling_k)
        return float(warmth * math.exp(-shift_v / (SLOPE_FACTOR * self.thermal_voltage_v)))

    @property
    def supply_factor(self) -> float:
        """Currents out of P mirrors against those at 1.8 V."""
        return 1 + self.supply_sensitivity_per_v * (self.supply_v - NOMINAL_V)

    @property
    def bias_factor(self) -> float:
        """Bias currents against programmed ones, by temperature and supply."""
        drift = 1 + self.reference_tc_per_k * (self.temperature_c - NOMINAL_C)
        return drift * self.supply_factor

    @property
    def time_constant_s(self) -> float:
        """Of the candidate nodes: C·n·UT/I goes with temperature, and against the unit current."""
        warmth = self.kelvin / (NOMINAL_C + 273.15)
        return self.settling_s * warmth / self.unit_na


def _checked(one: Field[Any], value: Any) -> Any:
    """`value` in the type of the field's default; ParameterError outside its range."""
    kind: Any = type(one.default)
    low, high, unit = one.metadata["low"], one.metadata["high"], one.metadata["unit"]
    truth = kind is bool and isinstance(value, bool | np.bool_)
    number = real_number(int(value) if truth else value)
    broken = kind is not float and number is not None and number % 1 != 0
    if number is None or not low <= number <= high or broken:
        kinds = {bool: "true or false", int: f"a whole number from {low} to {high}"}
        need = kinds.get(kind, f"a number from {low} to {high}")
        raise ParameterError(f"{one.name}: need {need} {unit}".rstrip() + f", got {value!r:.80}")
    return kind(number)
