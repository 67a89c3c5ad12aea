"""The constants of the fixed-point front end and detector, with a proof that nothing overflows.

Samples are 16 bits; inside the bank a sample step has `fraction` more bits, as many as the largest
output that its filters can ever give leaves in 32 bits. Coefficients have 30 bits after the binary
point, the gains of one-pole low-passes 31.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import ParameterError

from .model import DetectorDesign, FrontEndDesign

COEFFICIENT_BITS = 30
GAIN_BITS = 31
VALUE_BITS = 24  # of compressed envelopes and of scores
MAX_FRACTION = 14
MAX_RATIO = 2**12  # of an envelope to its own level, and of the offset
FULL_SCALE = 32768


@dataclass(frozen=True, eq=False)
class FixedFrontEnd:
    """Constants of c/kws_front_end.c; levels in units of 2^-(15 + fraction) of full scale.

    bands: (channels, 3), b0 and the two feedback coefficients.
    """

    fraction: int
    bands: NDArray[np.int64]
    preemphasis: int
    half_wave: bool
    frame_samples: int
    lowpass_gain: int
    agc_gain: int
    slow_gains: tuple[int, ...]
    start_level: int
    floor: int
    offset: int
    root_offset: int
    step_shift: int
    feature_max: int


def _need(good: bool, what: str, need: str, got: object) -> None:
    if not good:
        raise ParameterError(
            f"fixed-point front end, {what}: need {need}, got {got}; use a model with other "
            "features, or the network alone"
        )


def _gain(value: float, what: str) -> int:
    code: int = round(value * 2**GAIN_BITS)
    _need(2**8 <= code < 2**GAIN_BITS, what, "a time constant of at most 2^23 steps", value)
    return code


def _largest_outputs(bands: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bounds (channels, 2) of |y| for |u| <= 1, and for a rounding error of 1 in every output.

    y_n = b0·u_n + Re(R·s_n), s_{n+1} = p·s_n + u_n (docs/features.md), so the responses add up to
    at most |b0| + |R| / (1 - |p|); what rounding leaves goes in through 1 - z^-1.
    """
    b0, c1, c2 = (bands / 2**COEFFICIENT_BITS).T
    spread = -c2 - c1**2 / 4
    _need(bool((spread > 0).all() and (-c2 < 1).all()), "filters", "poles that ring", bands)
    pole = c1 / 2 + 1j * np.sqrt(spread)
    room = 1 - np.abs(pole)
    signal = b0 + np.abs(2 * b0 * (pole**2 - 1) / (2j * pole.imag)) / room
    error = 1 + np.abs((pole**2 - pole) / (1j * pole.imag)) / room
    return np.stack([signal, error], axis=-1)


def _fraction(outputs: NDArray[np.float64], preemphasis: float) -> int:
    """Bits below a sample step, so that no |y| reaches 2^30 and no difference 2^31."""
    largest = FULL_SCALE * (1 + preemphasis)
    for fraction in range(MAX_FRACTION, 5, -1):
        y = (outputs[:, 0] * (largest * 2**fraction + 1) + outputs[:, 1]).max()
        if y < 2**30 and 2 * (largest * 2**fraction + 1) < 2**31:
            return fraction
    raise ParameterError(
        "fixed-point front end: need filters whose outputs fit 32 bits with 6 bits below a sample "
        "step, got larger ones; use fewer channels or a lower selectivity"
    )


def fixed_front_end(design: FrontEndDesign | None) -> FixedFrontEnd:
    """Constants for C; raises ParameterError for settings that fixed point has no room for."""
    if design is None:
        raise ParameterError(
            "fixed-point front end: need the analog filterbank, got a mel front end; use a model "
            "trained on the filterbank"
        )
    one = 2**COEFFICIENT_BITS
    _need(bool((np.abs(design.a[:, 1]) < 2).all()), "filters", "|a1| below 2", design.a)
    bands = np.rint(np.stack([design.b[:, 0], -design.a[:, 1], -design.a[:, 2]], 1) * one)
    bands = bands.astype(np.int64)
    fraction = _fraction(_largest_outputs(bands), design.preemphasis)
    scale = FULL_SCALE * 2**fraction
    floor, start = round(design.floor * scale), round(design.start_level * scale)
    _need(2**8 <= floor < 2**31, "floor", f"{2**8 / scale:.2g} to 1", design.floor)
    _need(start < 2**31, "start_level", f"less than {2**31 / scale:g}", design.start_level)
    agc_gain = _gain(design.agc_gain, "agc_s")
    _need(1 / design.agc_gain < MAX_RATIO, "agc_s", f"less than {MAX_RATIO} frames", agc_gain)
    _need(design.offset < MAX_RATIO, "offset", f"less than {MAX_RATIO}", design.offset)
    offset = round(design.offset * 2**32)
    step_shift = VALUE_BITS + math.frexp(design.step)[1] - 1
    _need(0 <= step_shift <= 31, "step", f"2^-{VALUE_BITS} to 2^7", design.step)
    feature_max = round(design.high / design.step)
    _need(feature_max < 2**31, "high", "less than 2^31 steps", design.high)
    return FixedFrontEnd(
        fraction=fraction,
        bands=bands,
        preemphasis=round(design.preemphasis * one),
        half_wave=design.half_wave,
        frame_samples=design.frame_samples,
        lowpass_gain=_gain(design.lowpass_gain, "lowpass_s"),
        agc_gain=agc_gain,
        slow_gains=tuple(_gain(gain, "slow_s") for gain in design.slow_gains),
        start_level=start,
        floor=floor,
        offset=offset,
        root_offset=math.isqrt(offset << 16),
        step_shift=step_shift,
        feature_max=feature_max,
    )


def score_code(score: float) -> int:
    """A score in units of 2^-24; infinity becomes one that no score reaches."""
    never = 1 << (VALUE_BITS + 1)
    return never if math.isinf(score) else round(score * (1 << VALUE_BITS))


def check_detector(detector: DetectorDesign, largest_logit: int) -> None:
    """Raises ParameterError for a window whose sums or counts C has no room for."""
    for what, value in (("warmup", detector.warmup), ("refractory", detector.refractory)):
        if value >= 2**31:
            raise ParameterError(f"detector {what}: need less than 2^31 frames, got {value}")
    if detector.window > 2**15 - 1 or largest_logit * 2 * detector.window >= 2**63:
        raise ParameterError(
            f"detector window: need sums of 64 bits over at most 32767 frames, got "
            f"{detector.window} frames of logits up to {largest_logit}; use a shorter window_s"
        )
