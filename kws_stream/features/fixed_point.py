"""The constants of the front end in integers, and a proof that nothing overflows.

The equations are in docs/features.md.

Samples are 16-bit integers. The bank works through blocks of `BLOCK` samples; an output of a filter
is what the samples of its block give, by 16-bit taps, and what the filter's complex mode at the
start of the block gives. Every sum is exact, and a number is rounded only where the equations say
so, so any order of summation, on any machine, gives the same bits.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.errors import ParameterError

BLOCK = 8  # samples; divides a hop
HALF = BLOCK // 2  # samples that share a weight of the low-pass
TAP_BITS = 15  # of the taps and the turns of a mode: they fit 16-bit integers
POLE_BITS = 22  # after the binary point of a mode's step
GAIN_BITS = 31  # after the binary point of the gains of one-pole low-passes
WEIGHT_BITS = 32  # the weights of a frame's half blocks add up to 2^32
ROOT_BITS = 8  # after the binary point of the roots of envelopes
RATIO_BITS = 24  # after the binary point of an envelope over its level
VALUE_BITS = 20  # of a compressed envelope
MAX_RATIO = 1 << (35 - RATIO_BITS)  # where ratios are cut, and the end of the offsets
OUTPUT_BITS = 28  # of an output: sums of a block fit 32 bits
MAX_FRACTION, MIN_FRACTION = 12, 4
FULL_SCALE = 32768

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class BankDesign:
    """A bank in real numbers: `bandpass` coefficients b, a (channels, 3), and what follows them."""

    b: Array
    a: Array
    preemphasis: float
    lowpass_s: float
    half_wave: bool
    frame_samples: int
    rate_hz: int

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class FixedBank:
    """Constants of the bank. Its outputs are in units of 2^-fraction of a step of the samples.

    taps (channels, BLOCK): of the samples of a block, the newest first, in units of
    2^-(fraction + tap_shift). before (channels,): as taps, of the sample before the block, for the
    block's first output alone. turn (2, channels, BLOCK): real and negative imaginary part of the
    pole to the power 0, 1 ... in units of 2^-15. into (2, channels, BLOCK): of the samples of a
    block, the oldest first, what they add to the real and imaginary part of the mode, in units of
    2^-(fraction + into_shift). pole (2, channels): the step of a mode over a block.
    weights (2·blocks,): of the half blocks of a frame in its mean. lowpass_gain: of the envelope,
    a frame.
    """

    fraction: int
    taps: Integers
    before: Integers
    tap_shift: Integers
    turn: Integers
    into: Integers
    into_shift: Integers
    pole: Integers
    weights: Integers
    lowpass_gain: int
    half_wave: bool
    frame_samples: int

    __repr__ = brief

    @property
    def channels(self) -> int:
        return len(self.taps)

    @property
    def envelope_unit(self) -> float:
        """An envelope of 1, as a part of full scale."""
        return 2.0 ** (-15 - self.fraction) / HALF


@dataclass(frozen=True)
class FixedConditioning:
    """Constants of what follows the bank: levels in the envelope's unit, values in 2^-20.

    start_root: 2^8 times the root of the level that a stream is assumed to start from.
    """

    agc_gain: int
    slow_gains: tuple[int, ...]
    start_root: int
    floor: int
    offset: int
    root_offset: int
    step_shift: int
    feature_max: int

    __repr__ = brief


def need(good: bool, what: str, wanted: str, got: object) -> None:
    if not good:
        raise ParameterError(
            f"fixed-point front end, {what}: need {wanted}, got {got}; change the setting"
        )


def gain_code(time_s: float, step_s: float) -> int:
    """1 - exp(-step_s / time_s), how far a one-pole low-pass goes in a step, below 1."""
    gain = -float(np.expm1(-step_s / time_s))
    return int(min(max(round(gain * 2**GAIN_BITS), 1), 2**GAIN_BITS - 1))


def _bits_of(*largest: Array) -> Integers:
    """Bits after the binary point, a channel, with which none of `largest` reaches 2^31 - 1."""
    bits = [np.floor(30.999 - np.log2(values)) for values in largest]
    fewest: Integers = np.min(bits, axis=0).astype(np.int64)
    return fewest


def _rounded_sums(values: Array, bits: Integers) -> Integers:
    """Integers near `values` · 2^bits whose running sums are rounded, so that errors cancel.

    A slow input sees the running sums of taps: rounded, they let less of it through.
    """
    sums = np.rint(np.cumsum(values, axis=-1) * np.exp2(bits)[..., None])
    codes: Integers = np.diff(sums, axis=-1, prepend=0).astype(np.int64)
    return codes


def fixed_bank(design: BankDesign) -> FixedBank:
    """Constants of a bank; raises ParameterError for filters that 32 bits have no room for."""
    b, a = design.b, design.a
    pole = -a[:, 1] / 2 + 1j * np.sqrt(a[:, 2] - a[:, 1] ** 2 / 4)
    residue = 2 * (b[:, 0] * pole**2 + b[:, 2]) / (2j * pole.imag)
    powers = pole[:, None] ** np.arange(BLOCK)
    # the response to a sample with the emphasis in it: from the third value on the mode's alone
    plain = np.concatenate([b[:, :1], (residue[:, None] * powers).real], axis=1)
    response = plain[:, :BLOCK].copy()
    response[:, 1:] -= design.preemphasis * plain[:, : BLOCK - 1]
    residue = residue * (1 - design.preemphasis / pole)
    before = plain[:, 1] - design.preemphasis * plain[:, 0] - residue.real
    brought = residue[:, None] * powers[:, ::-1]
    into = np.stack([brought.real, brought.imag])

    room = FULL_SCALE * np.maximum(
        np.abs(response).sum(axis=1), np.abs(response[:, 0]) + np.abs(before)
    )
    biggest = np.maximum(np.abs(response).max(axis=1), np.abs(before)) * 2 ** (31 - TAP_BITS)
    tap_bits = np.minimum(_bits_of(room, biggest), MIN_FRACTION + 24)
    into_room = FULL_SCALE * np.abs(into).sum(axis=2).max(axis=0)
    into_bits = _bits_of(into_room, np.abs(into).max(axis=(0, 2)) * 2 ** (31 - TAP_BITS))
    into_bits = np.minimum(into_bits, MIN_FRACTION + 24)
    # one more step of rounding is left for the sums
    taps = _rounded_sums(response, tap_bits)
    before_codes = np.rint(before * np.exp2(tap_bits)).astype(np.int64)
    into_codes = _rounded_sums(into, into_bits)
    turn = np.stack([powers.real, -powers.imag]) * 2**TAP_BITS
    step = pole**BLOCK * 2**POLE_BITS
    frames_decay = math.exp(-design.frame_samples / (design.lowpass_s * design.rate_hz))
    for fraction in range(MAX_FRACTION, MIN_FRACTION - 1, -1):
        bank = FixedBank(
            fraction=fraction,
            taps=taps,
            before=before_codes,
            tap_shift=tap_bits - fraction,
            turn=np.clip(np.rint(turn), 1 - 2**TAP_BITS, 2**TAP_BITS - 1).astype(np.int64),
            into=into_codes,
            into_shift=into_bits - fraction,
            pole=np.rint(np.stack([step.real, step.imag])).astype(np.int64),
            weights=_weights(design),
            lowpass_gain=min(max(round((1 - frames_decay) * 2**GAIN_BITS), 1), 2**GAIN_BITS - 1),
            half_wave=design.half_wave,
            frame_samples=design.frame_samples,
        )
        if _fits(bank):
            return bank
    raise ParameterError(
        "fixed-point front end: need filters whose outputs fit 28 bits with 4 of them below a "
        "sample step, got larger ones; use fewer channels or a lower selectivity"
    )


def _weights(design: BankDesign) -> Integers:
    """The low-pass's weights of a frame's half blocks, the means of their samples'; sum 2^32."""
    ages = np.arange(design.frame_samples - 1, -1, -1.0)
    samples = np.exp(-ages / (design.lowpass_s * design.rate_hz))
    halves = samples.reshape(-1, HALF).sum(axis=1)
    sums = np.rint(np.cumsum(halves) / halves.sum() * 2.0**WEIGHT_BITS)
    weights: Integers = np.diff(sums, prepend=0).astype(np.int64)
    np.minimum(weights, 2**WEIGHT_BITS - 1, out=weights)
    return weights


def _fits(bank: FixedBank) -> bool:
    """Whether, for any samples, every sum of the bank stays in the bits that hold it.

    By absolute values: taps times full scale below 2^31; a mode grows by at most what a block
    brings, rounding included, and shrinks by |pole|, so it stays below their geometric sum; an
    output is below the sum of the two.
    """
    by_taps = np.abs(bank.taps).sum(axis=1) * FULL_SCALE
    by_first = (np.abs(bank.taps[:, 0]) + np.abs(bank.before)) * FULL_SCALE
    by_into = np.abs(bank.into).sum(axis=2) * FULL_SCALE
    shrink = np.hypot(*bank.pole / 2.0**POLE_BITS)
    if (bank.tap_shift < 0).any() or (bank.into_shift < 0).any() or (shrink >= 1).any():
        return False
    added = np.hypot(*bank.into).sum(axis=1) * FULL_SCALE / np.exp2(bank.into_shift) + 3
    mode = added / (1 - shrink)
    turned = np.hypot(*bank.turn).max(axis=1) * mode / 2**TAP_BITS
    output = np.maximum(by_taps, by_first) / np.exp2(bank.tap_shift) + turned + 3
    codes = (bank.taps, bank.before, bank.turn, bank.into)
    return bool(
        max(np.abs(code).max() for code in codes) < 2**TAP_BITS
        and max(by_taps.max(), by_first.max(), by_into.max()) < 2**31
        and mode.max() < 2**30
        and output.max() < 2**OUTPUT_BITS
    )


def fixed_conditioning(
    bank: FixedBank,
    *,
    frame_s: float,
    agc_s: float,
    slow_s: tuple[float, ...],
    start_level: float,
    floor: float,
    offset: float,
    step: float,
    high: float,
) -> FixedConditioning:
    """Constants of the conditioning; raises ParameterError for what integers have no room for."""
    unit = bank.envelope_unit
    most = (2**31 - 1) * unit
    need(floor <= most, "floor", f"at most {most:g}", floor)
    need(start_level <= most, "start_level", f"at most {most:g}", start_level)
    need(offset < MAX_RATIO, "offset", f"less than {MAX_RATIO}", offset)
    step_shift = VALUE_BITS + math.frexp(step)[1] - 1
    need(0 <= step_shift <= 30, "step", f"2^-{VALUE_BITS} to 2^{30 - VALUE_BITS}", step)
    feature_max = round(high / step)
    need(feature_max < 2**31, "high", "less than 2^31 steps", high)
    offset_code = round(offset * 2**RATIO_BITS)
    return FixedConditioning(
        agc_gain=gain_code(agc_s, frame_s),
        slow_gains=tuple(gain_code(tau, frame_s) for tau in slow_s),
        start_root=round(2**ROOT_BITS * math.sqrt(start_level / unit)),
        floor=max(round(floor / unit), 1),
        offset=offset_code,
        root_offset=math.isqrt(offset_code << 2 * VALUE_BITS - RATIO_BITS),
        step_shift=step_shift,
        feature_max=feature_max,
    )
