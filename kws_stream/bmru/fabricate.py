"""From programmed parameters to those that virtual chips have: codes, mismatch, fits, leakage.

Arrays hold many chips at once, the chips along the last axis, where NumPy is quickest. The draw of
a chip depends on seed and number of the chip alone, so no grouping of chips changes a bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kws_stream.bmru.chip_settings import SLOPE_FACTOR, ChipSettings
from kws_stream.brief import brief
from kws_stream.parameters import Block, FloatArray, Layer, NetworkParameters

# Effective against programmed current of a cell, both in nA: slope and offset of linear fits to
# published DC sweeps [F], the range fitted, in nA. Worst residual 0.03, 0.2 and 0.2 pA.
GAIN_FIT = (1.0167, 0.0060, (0.1, 0.5))  # alpha from I_gain
THRESHOLD_FIT = (0.9829, -0.0110, (0.1, 0.4))  # beta2 from I_thresh
WIDTH_FIT = (0.9911, -0.0132, (0.1, 0.3))  # delta from I_width


@dataclass(frozen=True)
class Fit:
    """effective = slope·I + offset_na + of_threshold·I_thresh, fitted over low..high, all nA."""

    slope: float
    offset_na: float
    span_na: tuple[float, float]
    of_threshold: float = 0.0


# By process, alpha from I_gain, beta2 from I_thresh, delta from I_width. "gf180mcu" [G]: least
# squares of relative errors over the five cells of `kws-stream spice cell`, at 27 C and 1.8 V;
# worst residual 0.1, 1.6 and 1.0 pA.
FITS = {
    "180nm-paper": {
        "alpha": Fit(*GAIN_FIT),
        "beta2": Fit(*THRESHOLD_FIT),
        "delta": Fit(*WIDTH_FIT),
    },
    "gf180mcu": {
        "alpha": Fit(1.0016, 0.0001, (0.1, 1.0)),
        "beta2": Fit(0.9641, -0.0004, (0.1, 1.5)),
        "delta": Fit(0.9786, 0.0007, (0.05, 0.5), of_threshold=-0.0124),
    },
}

CLAMPED_NA = (0.2, 1.4)  # beta2 of the cells whose clamps were read off waveforms [F]

# Mirror gain = slope·W + offset at 1 nA, W in um over 0.5..15 [F], worst error 0.006. Positive
# weights come out of P mirrors, negative ones out of N mirrors.
N_MIRROR = (0.1784, 0.053)
P_MIRROR = (0.1742, 0.046)
WIDTHS_UM = (0.5, 15.0)
MIN_WIDTH_UM = 0.22  # smallest drawn width at 180 nm; [E]

# Change of gain from 1 nA to 0.1 nA and to 3 nA, at both ends of WIDTHS_UM [F], N mirrors.
LOW_CURRENT_NA, LOW_CURRENT_GAIN = 0.1, (0.03, 0.06)
HIGH_CURRENT_NA, HIGH_CURRENT_GAIN = 3.0, (-0.003, -0.007)


@dataclass(frozen=True, eq=False)
class ChipLayer:
    """weight (n_in, n_out, chips), bias (n_out, chips); low, high: change of each weight's gain
    from 1 nA to 0.1 nA and to 3 nA, (n_in, n_out, chips), or None for mirrors that do not change.
    """

    weight: FloatArray
    bias: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class ChipBlock:
    """One block of many chips; beta1, beta2, alpha (d, chips) are effective, in unit currents.

    clamp (d, chips): the most that flows into a cell that is on, or None where nothing clamps.
    """

    candidate: ChipLayer
    beta1: FloatArray
    beta2: FloatArray
    alpha: FloatArray
    post: ChipLayer
    clamp: FloatArray | None = None

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class ChipArrays:
    """The parameters that many virtual chips have. off_state: output of a cell that is off."""

    pre: ChipLayer
    blocks: tuple[ChipBlock, ...]
    classifier: ChipLayer
    off_state: float

    __repr__ = brief


def generator(seed: int, chip: int, *what: int) -> np.random.Generator:
    """The random numbers of one chip, the same wherever they are drawn."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(chip, *what)))


def to_codes(values: FloatArray, bits: int, signed: bool) -> FloatArray:
    """Values rounded to codes of `bits` bits, in the finest step of a power of two that fits all.

    A step of a power of two leaves arrays unchanged that have no more bits than that, and keeps a
    network exact. 0 bits: as they are.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if bits == 0 or largest == 0.0:
        return values
    codes = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    if codes < 1:
        return np.zeros_like(values)
    mantissa, exponent = np.frexp(largest / codes)
    step = np.ldexp(1.0, exponent - (mantissa == 0.5))  # smallest power of two >= largest / codes
    rounded: FloatArray = np.clip(np.rint(values / step), -codes, codes) * step
    return rounded


def widths_um(weight: FloatArray) -> FloatArray:
    """Output widths that give these ratios at 1 nA, by the fits; 0 for a weight of 0."""
    slope, offset = _mirror_fit(weight)
    return np.where(weight == 0, 0.0, (np.abs(weight) - offset) / slope)


def _mirror_fit(weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    positive = weight > 0
    fits = zip(P_MIRROR, N_MIRROR, strict=True)
    slope, offset = (np.where(positive, p, n) for p, n in fits)
    return slope, offset


def _drawn(weight: FloatArray, step_um: float) -> FloatArray:
    """Ratios of mirrors whose widths are multiples of a step; too narrow ones are left out."""
    if step_um == 0:
        return weight
    slope, offset = _mirror_fit(weight)
    widths = np.maximum(np.rint(widths_um(weight) / step_um) * step_um, MIN_WIDTH_UM)
    ratio = slope * widths + offset
    present = np.abs(weight) >= ratio / 2  # nearer to the narrowest mirror than to none
    return np.where(present, np.sign(weight) * ratio, 0.0)


def quantised(parameters: NetworkParameters, settings: ChipSettings) -> NetworkParameters:
    """The same network in codes and drawn widths; each tensor has a step of its own."""
    bits = settings.bias_bits

    def layer(given: Layer) -> tuple[FloatArray, FloatArray]:
        weight = to_codes(given.weight, settings.weight_bits, signed=True)
        return _drawn(weight, settings.width_step_um), to_codes(given.bias, bits, signed=True)

    def block(given: Block) -> dict[str, Any]:
        beta2, delta = (to_codes(v, bits, signed=False) for v in (given.beta2, given.delta))
        return {
            "candidate": layer(given.candidate),
            "beta1": given.beta1 if bits == 0 else beta2 - delta,
            "delta": delta,
            "alpha": to_codes(given.alpha, bits, signed=False),
            "post": layer(given.post),
            "initial_state": given.initial_state,
        }

    if bits == settings.weight_bits == 0 and settings.width_step_um == 0:
        return parameters
    return NetworkParameters.from_arrays(
        layer(parameters.pre), [block(b) for b in parameters.blocks], layer(parameters.classifier)
    )


class _Mismatch:
    """Relative errors of one group of chips, drawn tensor by tensor in a fixed order.

    Both conventions may be on at once. Pelgrom (IEEE JSSC 24(5), 1989), for each device:

        sigma(I)/I = gm/I · A_VT/sqrt(area),  gm/I = 2/(1 + sqrt(1 + 4·IC))/(n·UT)

    with IC = I/I_specific (EKV). A mirror's input device, of ratio 1, is shared by all that it
    feeds; its output device has |weight| times the area.
    """

    def __init__(self, settings: ChipSettings, seed: int, chips: Sequence[int]) -> None:
        self._settings = settings
        self._generators = [generator(seed, chip, 0) for chip in chips]
        self._sigma = settings.mismatch_percent / 100 / 3
        inversion = settings.unit_na / settings.specific_current_na
        gm_per_i = 2 / (1 + np.sqrt(1 + 4 * inversion))
        gm_per_i /= SLOPE_FACTOR * settings.thermal_voltage_v
        area_root = np.sqrt(settings.unit_area_um2)
        self._device_sigma = gm_per_i * settings.avt_mv_um / 1000 / area_root

    def _draw(self, shape: tuple[int, ...]) -> FloatArray:
        """Standard normal numbers (*shape, chips)."""
        return np.stack([rng.standard_normal(shape) for rng in self._generators], axis=-1)

    def weight(self, weight: FloatArray) -> FloatArray:
        """Factors (n_in, n_out, chips) of a weight (n_in, n_out)."""
        own, shared, output = (
            self._draw(s) for s in (weight.shape, weight.shape[:1], weight.shape)
        )
        size = np.sqrt(np.abs(weight))[..., None]
        output = np.divide(output, size, out=np.zeros_like(output), where=size > 0)
        pelgrom = self._device_sigma * (shared[:, None] + output)
        factors: FloatArray = 1 + self._sigma * own + pelgrom
        return factors

    def bias(self, shape: tuple[int, ...]) -> FloatArray:
        """Factors (*shape, chips) of bias currents: reference device and output device."""
        own, device = self._draw(shape), self._draw(shape)
        factors: FloatArray = 1 + self._sigma * own + self._device_sigma * np.sqrt(2) * device
        return factors

    def cells(self, cells: int) -> list[FloatArray]:
        """Factors (d, chips) of I_gain, I_thresh and I_width; a cell's errors are correlated."""
        common = self._draw((cells,))
        share = self._settings.threshold_correlation
        factors = []
        for _ in range(3):
            own, device = self._draw((cells,)), self._draw((cells,))
            device = np.sqrt(share) * common + np.sqrt(1 - share) * device
            factors.append(1 + self._sigma * own + self._device_sigma * np.sqrt(2) * device)
        return factors


def fabricate(
    parameters: NetworkParameters, settings: ChipSettings, seed: int, chips: Sequence[int]
) -> ChipArrays:
    """The parameters of virtual chips with these numbers.

    In order: codes and widths, mismatch, supply and temperature of the bias currents, the fits of
    effective against programmed currents, leakage. With ideal settings every value is the
    programmed one, to the bit.
    """
    mismatch = _Mismatch(settings, seed, chips)
    coded = quantised(parameters, settings)

    def layer(given: Layer) -> ChipLayer:
        factors = mismatch.weight(given.weight)
        gain = np.where(given.weight > 0, settings.supply_factor, 1.0)  # P mirrors
        weight = (given.weight * gain)[..., None] * factors
        bias = (given.bias * settings.bias_factor)[:, None] * mismatch.bias(given.bias.shape)
        if not settings.mirror_current:
            return ChipLayer(weight, bias)
        ends = _gain_changes(given.weight)
        return ChipLayer(weight, bias, *(end[..., None] * factors for end in ends))

    def block(given: Block) -> ChipBlock:
        candidate, post = layer(given.candidate), layer(given.post)
        currents = _bias_currents(given, settings, mismatch.cells(given.cells))
        alpha, beta2, delta = _effective(currents, settings)
        as_given = (beta2 == given.beta2[:, None]) & (delta == given.delta[:, None])
        beta1 = np.where(as_given, given.beta1[:, None], beta2 - delta)  # does not round twice
        clamp = _clamp(currents, settings) if settings.clamp_threshold else None
        return ChipBlock(candidate, beta1, beta2, alpha, post, clamp)

    return ChipArrays(
        pre=layer(coded.pre),
        blocks=tuple(block(one) for one in coded.blocks),
        classifier=layer(coded.classifier),
        off_state=settings.off_state_na * settings.leakage_factor / settings.unit_na,
    )


def _bias_currents(
    block: Block, settings: ChipSettings, factors: Sequence[FloatArray]
) -> dict[str, FloatArray]:
    """I_gain, I_thresh and I_width (d, chips) in unit currents, by what each programs."""
    programmed = {"alpha": block.alpha, "beta2": block.beta2, "delta": block.delta}
    return {
        name: (values * settings.bias_factor)[:, None] * factor
        for (name, values), factor in zip(programmed.items(), factors, strict=True)
    }


def _effective(currents: dict[str, FloatArray], settings: ChipSettings) -> list[FloatArray]:
    """Effective alpha, beta2 and delta (d, chips) in unit currents.

    A threshold at or below 0 always sets, whatever its current. The offsets of the fits go with
    leakage: they are of its size, and at another temperature nothing better is known.
    """
    effective = []
    for name, current in currents.items():
        if settings.alpha_transfer if name == "alpha" else settings.transfer:
            fit = FITS[settings.process][name]
            offset = fit.offset_na * settings.leakage_factor / settings.unit_na
            current = fit.slope * current + (offset + fit.of_threshold * currents["beta2"])
        effective.append(current)
    alpha, beta2, delta = effective
    return [np.maximum(alpha, 0.0), beta2, np.maximum(delta, 0.0)]


def _clamp(currents: dict[str, FloatArray], settings: ChipSettings) -> FloatArray:
    """The most that flows into a cell that is on, (d, chips) in unit currents."""
    most = settings.clamp_threshold * currents["beta2"] - settings.clamp_width * currents["delta"]
    clamp: FloatArray = np.maximum(most, 0.0)
    return clamp


def _gain_changes(weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Signed change of each weight from 1 nA to 0.1 nA and to 3 nA, by the width of its mirror.

    A weight below that of the narrowest mirror of the fits changes by the same share as that one:
    both devices of a mirror are in subthreshold, where its ratio is a factor exp(dV/(n·UT)). A
    change that stayed at LOW_CURRENT_GAIN would make three of a weight of 1/64.
    """
    low, high = WIDTHS_UM
    place = (np.clip(widths_um(weight), low, high) - low) / (high - low)
    slope, offset = _mirror_fit(weight)
    share = np.sign(weight) * np.minimum(np.abs(weight) / (slope * low + offset), 1.0)
    changes = []
    for narrow, wide in (LOW_CURRENT_GAIN, HIGH_CURRENT_GAIN):
        changes.append(share * (narrow + (wide - narrow) * place))
    return changes[0], changes[1]


def extrapolations(parameters: NetworkParameters, settings: ChipSettings) -> list[str]:
    """What these settings ask beyond the conditions that the fits were made at; [] for none."""
    found = []
    for row in ChipSettings.table():
        value, fitted = getattr(settings, row["name"]), row["fitted"]
        if fitted is not None and not fitted[0] <= value <= fitted[1]:
            span = f"{fitted[0]:g}" if fitted[0] == fitted[1] else f"{fitted[0]:g}..{fitted[1]:g}"
            found.append(f"{row['name']} = {value:g} {row['unit']}: known at {span} {row['unit']}")
    if settings.corner != "tt":
        found.append(f"corner = {settings.corner}: known at tt")
    blocks = parameters.blocks
    for name, fit in FITS[settings.process].items():
        if settings.alpha_transfer if name == "alpha" else settings.transfer:
            currents = [getattr(block, name) * settings.unit_na for block in blocks]
            found += _outside(f"{name} of cells", currents, *fit.span_na, "nA")
    if settings.clamp_threshold:
        thresholds = [block.beta2 * settings.unit_na for block in blocks]
        found += _outside("clamps, by beta2,", thresholds, *CLAMPED_NA, "nA")
    if settings.mirror_current or settings.width_step_um:
        layers = [parameters.pre, parameters.classifier]
        layers += [layer for block in blocks for layer in (block.candidate, block.post)]
        widths = [widths_um(layer.weight[layer.weight != 0]) for layer in layers]
        found += _outside("mirror widths", widths, *WIDTHS_UM, "um")
    return found


def _outside(
    what: str, arrays: Sequence[FloatArray], low: float, high: float, unit: str
) -> list[str]:
    values = np.concatenate([array.ravel() for array in arrays]) if arrays else np.zeros(0)
    outside = values[(values < low) | (values > high)]
    if not outside.size:
        return []
    return [
        f"{outside.size} of {values.size} {what} outside the fitted {low:g}..{high:g} {unit}: "
        f"{outside.min():.3g}..{outside.max():.3g} {unit}"
    ]
