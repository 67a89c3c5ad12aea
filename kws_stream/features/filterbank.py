"""A bank of second-order band-pass filters, rectified and low-passed, one envelope a hop.

    u_n  = x_n - preemphasis · x_{n-1}
    y_n  = second-order band-pass of u_n, unity gain at its centre, one a channel
    e_n  = a · e_{n-1} + (1 - a) · |y_n|,   a = exp(-1 / (lowpass_s · rate)),   sampled once a hop

(half-wave: max(y, 0) in place of |y|). The coefficients are those of the analog prototype
(w0/Q)s / (s^2 + (w0/Q)s + w0^2) under the bilinear transform, as `scipy.signal.iirpeak` designs.

A hop of 160 samples is computed as 10 segments of 16. Each filter's pole pair is one complex mode
s' = p·s + u, so the modes at the segment borders are a scaled running sum, and all outputs follow
from one matrix product over the segment's samples and its border mode. Every call has the same
shape and the order of operations is fixed, so how the caller cuts the stream never changes a bit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from kws_stream.errors import ParameterError

SEGMENT = 16
SEGMENTS = HOP_SAMPLES // SEGMENT

Array = NDArray[np.float64]


def mel_centres(channels: int, low_hz: float, high_hz: float) -> Array:
    """`channels` frequencies in Hz, evenly spaced on the mel scale 2595·log10(1 + f/700)."""
    mel = np.linspace(*(2595 * np.log10(1 + np.array([low_hz, high_hz]) / 700)), channels)
    return 700 * (10 ** (mel / 2595) - 1)


def bandpass(centre_hz: Array, quality: Array) -> tuple[Array, Array]:
    """Coefficients b, a (channels, 3) of band-passes with unity gain at `centre_hz`, a[0] = 1."""
    w0 = 2 * np.pi * np.asarray(centre_hz) / SAMPLE_RATE_HZ
    half_band = np.tan(w0 / np.asarray(quality) / 2)
    gain = 1 / (1 + half_band)
    b = np.stack([1 - gain, np.zeros_like(gain), gain - 1], axis=-1)
    a = np.stack([np.ones_like(gain), -2 * gain * np.cos(w0), 2 * gain - 1], axis=-1)
    return b, a


@dataclass(frozen=True)
class FilterbankState:
    """What the bank remembers between hops; leading axes are independent streams.

    last (..., 1): the previous sample; modes (..., channels) complex; envelope (..., channels).
    """

    last: Array
    modes: NDArray[np.complex128]
    envelope: Array


class Filterbank:
    """Constants of a bank; `step` is pure: old state in, new state out."""

    def __init__(
        self,
        centre_hz: Array,
        quality: Array,
        preemphasis: float,
        lowpass_s: float,
        half_wave: bool = False,
    ) -> None:
        self.channels = len(centre_hz)
        self._preemphasis = preemphasis
        self._half_wave = half_wave
        b, a = bandpass(centre_hz, quality)
        # y_n = b0·u_n + Re(residue · s_n) with s_{n+1} = pole · s_n + u_n
        if (a[:, 2] <= a[:, 1] ** 2 / 4).any():
            raise ParameterError(
                "filterbank: need pole pairs that ring, got a band so wide that one has none; "
                "use more channels, a higher selectivity or a lower high_hz"
            )
        pole = -a[:, 1] / 2 + 1j * np.sqrt(a[:, 2] - a[:, 1] ** 2 / 4)
        residue = 2 * (b[:, 0] * pole**2 + b[:, 2]) / (2j * pole.imag)
        powers = pole[:, None] ** np.arange(SEGMENT + 1)  # (channels, SEGMENT + 1)
        # samples of a segment -> what they add to the modes at its end
        self._into_modes = np.ascontiguousarray(powers[:, SEGMENT - 1 :: -1].T).view(np.float64)
        # border modes: multiply by decay^-k, run the sum, multiply by decay^k
        steps = np.arange(SEGMENTS + 1)[:, None]
        self._shrink = powers[:, SEGMENT] ** steps
        self._grow = powers[:, SEGMENT] ** -steps
        # [samples | border mode as (re, im)] of a segment -> outputs (channel, sample)
        impulse = np.concatenate([b[:, :1], (residue[:, None] * powers[:, : SEGMENT - 1]).real], 1)
        outputs = np.zeros((SEGMENT + 2 * self.channels, self.channels, SEGMENT))
        for n in range(SEGMENT):
            outputs[n, :, n:] = impulse[:, : SEGMENT - n]
        response = residue[:, None] * powers[:, :SEGMENT]  # Re(r·s) = r.re·s.re - r.im·s.im
        for c in range(self.channels):
            outputs[SEGMENT + 2 * c, c] = response[c].real
            outputs[SEGMENT + 2 * c + 1, c] = -response[c].imag
        self._outputs = outputs.reshape(SEGMENT + 2 * self.channels, -1)
        # low-pass weights factor into one per segment and one per sample within it
        decay = np.exp(-1 / (lowpass_s * SAMPLE_RATE_HZ))
        self._hop_decay = decay**HOP_SAMPLES
        self._segment_weights = decay ** (SEGMENT * np.arange(SEGMENTS - 1, -1, -1))
        self._sample_weights = (1 - decay) * decay ** np.arange(SEGMENT - 1, -1, -1)

    def start(self, *streams: int) -> FilterbankState:
        """State of silence, for one stream or an array of them."""
        return FilterbankState(
            np.zeros((*streams, 1)),
            np.zeros((*streams, self.channels), np.complex128),
            np.zeros((*streams, self.channels)),
        )

    def step(self, hop: Array, state: FilterbankState) -> FilterbankState:
        """State after one hop (..., HOP_SAMPLES) of float64 samples; its envelope is the output."""
        before = np.concatenate([state.last, hop[..., :-1]], axis=-1)
        samples = (hop - self._preemphasis * before).reshape(*hop.shape[:-1], SEGMENTS, SEGMENT)
        modes = np.empty((*hop.shape[:-1], SEGMENTS + 1, self.channels), np.complex128)
        modes[..., 0, :] = state.modes
        np.multiply(
            (samples @ self._into_modes).view(np.complex128), self._grow[1:], out=modes[..., 1:, :]
        )
        np.cumsum(modes, axis=-2, out=modes)
        modes *= self._shrink
        inputs = np.concatenate([samples, modes[..., :-1, :].view(np.float64)], axis=-1)
        outputs = inputs @ self._outputs
        rectified = np.maximum(outputs, 0) if self._half_wave else np.abs(outputs)
        per_sample = (self._segment_weights @ rectified).reshape(
            *hop.shape[:-1], self.channels, SEGMENT
        )
        envelope = per_sample @ self._sample_weights + self._hop_decay * state.envelope
        return FilterbankState(hop[..., -1:], modes[..., -1, :], envelope)
