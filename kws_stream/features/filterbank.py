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
# A step of all modes is one matrix product up to this many channels, and elementwise above.
DENSE_CHANNELS = 40
ROUND = np.float64(0.5)
HALF_WEIGHT = np.int64(1 << WEIGHT_BITS - 1)

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


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

    modes (..., 2, channels): real and imaginary parts, integers in float64. smooth (..., channels):
    the envelope, 2^31 finer than its unit.
    """

    modes: Array
    smooth: Integers
    unit: float

    @property
    def codes(self) -> Integers:
        """The envelope (..., channels) in its unit."""
        return self.smooth >> GAIN_BITS

    @property
    def envelope(self) -> Array:
        """The envelope (..., channels); 1.0 is full scale."""
        envelope: Array = np.multiply(self.codes, self.unit, dtype=np.float64)
        return envelope


class Filterbank:
    """A bank; `step` is pure: old state in, new state out."""

    def __init__(self, design: BankDesign) -> None:
        self.fixed: FixedBank = fixed_bank(design)
        fixed = self.fixed
        self.channels = channels = fixed.channels
        self.frame_samples = fixed.frame_samples
        self._blocks = fixed.frame_samples // BLOCK
        self._unit = fixed.envelope_unit
        # the sample before a block, and its own -> outputs (BLOCK, channels), modes (2, channels)
        outputs = np.zeros((1 + BLOCK, BLOCK, channels))
        outputs[0, 0] = fixed.before
        for n in range(BLOCK):
            outputs[1 : 2 + n, n] = fixed.taps[:, n::-1].T
        outputs /= np.exp2(fixed.tap_shift)
        into = np.zeros((1 + BLOCK, 2, channels))
        into[1:] = np.moveaxis(fixed.into, 2, 0) / np.exp2(fixed.into_shift)
        self._from_samples = np.concatenate(
            [outputs.reshape(1 + BLOCK, -1), into.reshape(1 + BLOCK, -1)], axis=1
        )
        self._turn = np.moveaxis(fixed.turn, 2, 0) / 2.0**TAP_BITS  # (BLOCK, 2, channels)
        self._gain = np.int64(fixed.lowpass_gain)
        self._weights = fixed.weights.reshape(-1, 2, 1)
        # new re = re·a - im·b, new im = re·b + im·a, in units of what a mode is rounded to
        same, cross = fixed.pole / 2.0**POLE_BITS
        self._same, self._cross = np.stack([same, same]), np.stack([-cross, cross])
        if channels <= DENSE_CHANNELS:
            a, b = np.diag(same), np.diag(cross)
            # the modes, and behind them what the samples of the block add
            self._step_matrix = np.vstack([np.block([[a, b], [-b, a]]), np.eye(2 * channels)])

    def start(self, *streams: int) -> FilterbankState:
        """State of silence, for one stream or an array of them."""
        return FilterbankState(
            np.zeros((*streams, 2, self.channels)),
            np.zeros((*streams, self.channels), np.int64),
            self._unit,
        )

    def step(self, samples: NDArray[np.floating], state: FilterbankState) -> FilterbankState:
        """State after one frame; its envelope is the output.

        samples: (..., 1 + frame_samples), the frame behind the sample before it, full scale 1.0;
        they are rounded to 16 bits.
        """
        return self.step_codes(samples_to_codes(samples), state)

    def step_codes(self, codes: Array, state: FilterbankState) -> FilterbankState:
        """As `step`, of samples that are 16-bit integers in float64."""
        streams, blocks, channels = codes.shape[:-1], self._blocks, self.channels
        inputs = np.empty((*streams, blocks, 1 + BLOCK))
        inputs[..., 0] = codes[..., :-1:BLOCK]
        inputs[..., 1:] = codes[..., 1:].reshape(*streams, blocks, BLOCK)
        sums = inputs.reshape(-1, 1 + BLOCK).dot(self._from_samples)
        np.floor(sums, out=sums)
        sums = sums.reshape(*streams, blocks, (BLOCK + 2) * channels)
        modes = self._modes(sums[..., BLOCK * channels :], state.modes)
        outputs = sums[..., : BLOCK * channels].reshape(*streams, blocks, BLOCK, channels)
        turned = modes[..., :-1, None, :, :] * self._turn
        np.floor(turned, out=turned)
        outputs = outputs + turned[..., 0, :]
        outputs += turned[..., 1, :]
        if self.fixed.half_wave:
            np.maximum(outputs, 0, out=outputs)
        else:  # y, or -1 - y: the magnitude of y + 1/2, less 1/2
            outputs += ROUND
            np.abs(outputs, out=outputs)
            outputs -= ROUND
        outputs = outputs.reshape(*streams, blocks, 2, HALF, channels)
        halves = outputs[..., 0, :] + outputs[..., 1, :]
        for later in range(2, HALF):
            halves += outputs[..., later, :]
        weighted = halves.astype(np.int64)
        weighted *= self._weights
        mean = weighted[..., 0, :] + weighted[..., 1, :]
        mean += HALF_WEIGHT
        mean >>= WEIGHT_BITS
        change = mean.sum(axis=-2)
        change -= state.smooth >> GAIN_BITS
        change *= self._gain
        change += state.smooth
        return FilterbankState(modes[..., -1, :, :].copy(), change, self._unit)

    def _modes(self, added: Array, start: Array) -> Array:
        """Modes (..., blocks + 1, 2, channels) at the borders of a frame's blocks.

        added: (..., blocks, 2·channels), what the samples of each block add.
        """
        added += ROUND  # rounds what a step gives
        start = start.reshape(*start.shape[:-2], -1)
        width = 2 * self.channels
        if added.ndim == 2 and self.channels <= DENSE_CHANNELS:
            rows = np.empty((self._blocks + 1, 2 * width))
            rows[0, :width] = start
            rows[:-1, width:] = added
            dot, floor, matrix = np.dot, np.floor, self._step_matrix
            for now, later in zip(rows[:-1], rows[1:, :width], strict=True):
                dot(now, matrix, out=later)
                floor(later, out=later)
            return rows[:, :width].reshape(-1, 2, self.channels)
        modes = np.empty((*added.shape[:-2], self._blocks + 1, width))
        modes[..., 0, :] = start
        modes = modes.reshape(*modes.shape[:-1], 2, self.channels)
        added = added.reshape(*added.shape[:-1], 2, self.channels)
        for block in range(self._blocks):
            now = modes[..., block, :, :]
            later = np.multiply(now, self._same, out=modes[..., block + 1, :, :])
            later += now[..., ::-1, :] * self._cross
            later += added[..., block, :, :]
            np.floor(later, out=later)
        return modes
