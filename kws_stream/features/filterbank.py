"""A bank of second-order band-pass filters, rectified and low-passed, one envelope a frame.

    u_n  = x_n - preemphasis · x_{n-1}
    y_n  = second-order band-pass of u_n, unity gain at its centre, one a channel
    e_n  = a · e_{n-1} + (1 - a) · |y_n|,   a = exp(-1 / (lowpass_s · rate)),   sampled once a frame

(half-wave: max(y, 0) in place of |y|). The coefficients are those of the analog prototype
(w0/Q)s / (s^2 + (w0/Q)s + w0^2) under the bilinear transform, as `scipy.signal.iirpeak` designs.

It is computed in integers, by the definition of docs/features.md; the constants, and the proof that
nothing overflows, are in fixed_point.py. Here all numbers are integers in float64 or int64 arrays,
and every sum is exact, so what BLAS does with their order changes nothing. The same in C is
firmware_sim/c/kws_front_end.c.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import ParameterError
from kws_stream.features.fixed_point import (
    BLOCK,
    FULL_SCALE,
    GAIN_BITS,
    HALF,
    POLE_BITS,
    TAP_BITS,
    WEIGHT_BITS,
    BankDesign,
    FixedBank,
    fixed_bank,
)

MEL_CORNER_HZ = 700.0  # O'Shaughnessy, Speech Communication: Human and Machine, 1987
INPUTS = 1 + BLOCK + 1
HALF_WEIGHT = 1 << WEIGHT_BITS - 1
# arrays without axes, which cost half of what a number of Python's does
ROUND = np.array(0.5)
WEIGHT_SHIFT, GAIN_SHIFT = np.array(WEIGHT_BITS, np.int64), np.array(GAIN_BITS, np.int64)

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Modes = NDArray[np.complex128]


def spaced_centres(
    channels: int, low_hz: float, high_hz: float, corner_hz: float = MEL_CORNER_HZ
) -> Array:
    """`channels` frequencies in Hz, evenly spaced on the scale 2595·log10(1 + f/corner_hz).

    With 700 Hz it is the mel scale.
    """
    low, high = (float(2595 * np.log10(1 + hz / corner_hz)) for hz in (low_hz, high_hz))
    centres: Array = corner_hz * (10 ** (np.linspace(low, high, channels) / 2595) - 1)
    return centres


def bandpass(centre_hz: Array, quality: Array, rate_hz: int) -> tuple[Array, Array]:
    """Coefficients b, a (channels, 3) of band-passes with unity gain at `centre_hz`, a[0] = 1."""
    w0 = 2 * np.pi * np.asarray(centre_hz) / rate_hz
    half_band = np.tan(w0 / np.asarray(quality) / 2)
    gain = 1 / (1 + half_band)
    b = np.stack([1 - gain, np.zeros_like(gain), gain - 1], axis=-1)
    a = np.stack([np.ones_like(gain), -2 * gain * np.cos(w0), 2 * gain - 1], axis=-1)
    return b, a


def design_bank(
    centre_hz: Array,
    quality: Array,
    preemphasis: float,
    lowpass_s: float,
    half_wave: bool,
    frame_samples: int,
    rate_hz: int,
) -> BankDesign:
    """A bank in real numbers; raises ParameterError for bands whose filters do not ring."""
    b, a = bandpass(centre_hz, quality, rate_hz)
    too_wide = np.asarray(centre_hz) / quality >= rate_hz / 2  # `bandpass` needs less
    if (too_wide | (a[:, 2] <= a[:, 1] ** 2 / 4)).any():
        raise ParameterError(
            "filterbank: need pole pairs that ring, got a band so wide that one has none; "
            "use more channels, a higher selectivity or a lower high_hz"
        )
    return BankDesign(b, a, preemphasis, lowpass_s, half_wave, frame_samples, rate_hz)


def samples_to_codes(samples: NDArray[Any]) -> Array:
    """Samples with full scale 1.0 as 16-bit integers, in float64: nearest, ties to even, cut."""
    codes: Array = samples.astype(np.float64)
    codes *= FULL_SCALE
    np.rint(codes, out=codes)
    np.clip(codes, -FULL_SCALE, FULL_SCALE - 1, out=codes)
    return codes


class FilterbankState(NamedTuple):
    """What the bank remembers between frames; leading axes are independent streams.

    modes (..., channels): complex, of integers. smooth (..., channels): the envelope, 2^31 finer
    than its unit; codes: in its unit.
    """

    modes: Modes
    smooth: Integers
    codes: Integers
    unit: float

    @property
    def envelope(self) -> Array:
        """The envelope (..., channels); 1.0 is full scale."""
        envelope: Array = np.multiply(self.codes, self.unit, dtype=np.float64)
        return envelope


class _Room:
    """Arrays for a frame of some streams, and views of them: to make them costs as much as to fill.

    inputs (streams·blocks, INPUTS): the sample before a block, its own, and 1. borders (streams,
    blocks + 1, channels): the modes between the blocks. added (streams·blocks, 2·channels): what
    the samples of each block add to them, and one half.

    The others are as a product of matrices comes, with the blocks last, so that each operation
    finds its numbers in a row. starts (2, 1, channels, streams, blocks): the parts of the modes
    before each block; turned (2, BLOCK, ...): their shares in its outputs; outputs (BLOCK, ...);
    whole: these in 32 bits; halves (2, ...): their sums over half blocks; products: the same in 64
    bits, by their weights; weighted (3, ...): these, and what rounds their sum.
    """

    def __init__(self, pole: Modes, blocks: int, streams: int) -> None:
        self._made_of = pole, blocks, streams
        self.streams = streams
        channels = len(pole)
        inputs = np.ones((streams, blocks, INPUTS))
        self.samples: Array = inputs[..., :-1]
        self.inputs: Array = inputs.reshape(-1, INPUTS)
        self.across = self.inputs.T
        self.borders: Modes = np.empty((streams, blocks + 1, channels), np.complex128)
        self.first, self.last = self.borders[:, 0], self.borders[:, -1]
        added_modes: Modes = np.empty((streams, blocks, channels), np.complex128)
        self.added: Array = added_modes.view(np.float64).reshape(-1, 2 * channels)
        parts = self.borders[:, :-1].view(np.float64).reshape(streams, blocks, channels, 2)
        self.parts: Array = parts.transpose(3, 2, 0, 1)[:, None]
        shape = channels, streams, blocks
        self.starts: Array = np.empty((2, 1, *shape))
        self.turned: Array = np.empty((2, BLOCK, *shape))
        self.shares = self.turned.reshape(2, BLOCK, -1)
        self.outputs: Array = np.empty((BLOCK * channels, streams * blocks))
        self.by_sample = self.outputs.reshape(BLOCK, -1)
        self.whole: NDArray[np.int32] = np.empty(self.by_sample.shape, np.int32)
        self.in_halves = self.whole.reshape(2, HALF, -1)
        halves: NDArray[np.int32] = np.empty((2, *shape), np.int32)
        self.halves, self.sums = halves, halves.reshape(2, -1)
        self.weighted: Integers = np.empty((3, *shape), np.int64)
        self.weighted[2] = HALF_WEIGHT
        self.products: Integers = self.weighted[:2]
        borders, added = self.borders.swapaxes(0, 1), added_modes.swapaxes(0, 1)
        if streams == 1:  # operations on one axis are the quickest
            borders, added = borders[:, 0], added[:, 0]
        parts = borders.view(np.float64)
        self._steps = list(zip(borders[:-1], added, borders[1:], parts[1:], strict=True))

    def of(self, streams: int) -> "_Room":
        return _Room(*self._made_of[:2], streams)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Room, self._made_of  # the views in a copy would be of other arrays

    def run_modes(self) -> None:
        """Fills the borders behind the first."""
        pole, multiply, add, floor = self._made_of[0], np.multiply, np.add, np.floor
        for now, added, later, parts in self._steps:
            multiply(now, pole, later)
            add(later, added, later)
            floor(parts, parts)


class Filterbank:
    """A bank; `step` is pure: old state in, new state out. For one thread at a time."""

    def __init__(self, design: BankDesign) -> None:
        self.fixed: FixedBank = fixed_bank(design)
        fixed = self.fixed
        self.channels = channels = fixed.channels
        self.frame_samples = fixed.frame_samples
        self._blocks = fixed.frame_samples // BLOCK
        self._unit = fixed.envelope_unit
        # the sample before a block, its own, and 1 -> outputs (BLOCK, channels), and half of their
        # finest step: y, or -1 - y below 0, is then the magnitude rounded down
        outputs = np.zeros((BLOCK, INPUTS, channels))
        outputs[0, 0] = fixed.before
        for n in range(BLOCK):
            outputs[n, 1 : 2 + n] = fixed.taps[:, n::-1].T
        outputs[:, -1] = 0.5
        outputs /= np.exp2(fixed.tap_shift)
        self._outputs: Array = outputs.transpose(0, 2, 1).reshape(-1, INPUTS)
        # -> what they add to the modes, real and imaginary part in turns
        into = np.zeros((INPUTS, channels, 2))
        into[1:-1] = (fixed.into / np.exp2(fixed.into_shift)[:, None]).transpose(2, 1, 0)
        self._into = into.reshape(INPUTS, -1)
        turn = fixed.turn.transpose(0, 2, 1) / 2.0**TAP_BITS  # (2, BLOCK, channels)
        self._turn = np.repeat(turn[..., None, None], self._blocks, axis=4)
        self._gain = np.full(channels, fixed.lowpass_gain, np.int64)
        weights = fixed.weights.reshape(-1, 2).T  # (2, blocks)
        self._weights = np.repeat(weights[:, None, None, :], channels, axis=1)
        pole = fixed.pole / 2.0**POLE_BITS
        self._room = _Room(pole[0] + 1j * pole[1], self._blocks, 1)

    def start(self, *streams: int) -> FilterbankState:
        """State of silence, for one stream or an array of them."""
        silence = np.zeros((*streams, self.channels), np.int64)
        return FilterbankState(silence.astype(np.complex128), silence, silence, self._unit)

    def step(self, samples: NDArray[np.floating], state: FilterbankState) -> FilterbankState:
        """State after one frame; its envelope is the output.

        samples: (..., 1 + frame_samples), the frame behind the sample before it, full scale 1.0;
        they are rounded to 16 bits.
        """
        return self.step_codes(samples_to_codes(samples), state)

    def step_codes(self, codes: Array, state: FilterbankState) -> FilterbankState:
        """As `step`, of samples that are 16-bit integers in float64."""
        frames = np.ascontiguousarray(codes).reshape(-1, codes.shape[-1])
        streams, blocks, channels = len(frames), self._blocks, self.channels
        if streams != self._room.streams:
            self._room = self._room.of(streams)
        room = self._room
        # each block with the sample before it, which is the last of the block before
        step = frames.itemsize
        strides = frames.strides[0], BLOCK * step, step
        room.samples[:] = np.ndarray((streams, blocks, 1 + BLOCK), frames.dtype, frames, 0, strides)
        added = room.inputs.dot(self._into, room.added)
        np.floor(added, added)
        added += ROUND  # rounds what a step gives
        room.first[:] = state.modes.reshape(streams, channels)
        room.run_modes()
        self._outputs.dot(room.across, room.outputs)
        starts, turned, outputs = room.starts, room.turned, room.by_sample
        starts[:] = room.parts
        np.multiply(starts, self._turn, turned)
        np.floor(turned, turned)
        for share in room.shares:
            outputs += share
        if self.fixed.half_wave:
            np.maximum(outputs, 0, out=outputs)
        else:
            np.abs(outputs, outputs)
        room.whole[:] = outputs  # rounded down: none is negative
        np.add.reduce(room.in_halves, axis=1, dtype=np.int32, out=room.sums)
        products = room.products
        products[:] = room.halves
        products *= self._weights
        mean = np.add.reduce(room.weighted, axis=0)
        mean >>= WEIGHT_SHIFT
        change = np.add.reduce(mean, axis=2).T.reshape(state.codes.shape)
        change -= state.codes
        change *= self._gain
        change += state.smooth
        last = room.last.reshape(state.codes.shape).copy()
        return FilterbankState(last, change, change >> GAIN_SHIFT, self._unit)
