"""A bank of second-order band-pass filters, rectified and low-passed, one envelope a frame.

    u_n  = x_n - preemphasis · x_{n-1}
    y_n  = second-order band-pass of u_n, unity gain at its centre, one a channel
    e_n  = a · e_{n-1} + (1 - a) · |y_n|,   a = exp(-1 / (lowpass_s · rate)),   sampled once a frame

(half-wave: max(y, 0) in place of |y|). The coefficients are those of the analog prototype
(w0/Q)s / (s^2 + (w0/Q)s + w0^2) under the bilinear transform, as `scipy.signal.iirpeak` designs.

A frame is computed as segments of 16 samples. Each filter's pole pair is one complex mode
s' = p·s + u, so the modes at the segment borders are a scaled running sum, and all outputs follow
from one matrix product over the segment's samples and its border mode. Every call has the same
shape and the order of operations is fixed, so how the caller cuts the stream never changes a bit.
The outputs are float32, whose products cost half; modes and envelopes, which last, are float64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from kws_stream.errors import ParameterError

SEGMENT = 16  # samples; divides a hop
# Of samples inside, so that the outputs of the loudest float32 fit float32; a power of two.
SCALE = np.float64(2.0**-20)

Array = NDArray[np.float64]


def mel_centres(channels: int, low_hz: float, high_hz: float) -> Array:
    """`channels` frequencies in Hz, evenly spaced on the mel scale 2595·log10(1 + f/700)."""
    low, high = (float(2595 * np.log10(1 + hz / 700)) for hz in (low_hz, high_hz))
    centres: Array = 700 * (10 ** (np.linspace(low, high, channels) / 2595) - 1)
    return centres


def bandpass(centre_hz: Array, quality: Array) -> tuple[Array, Array]:
    """Coefficients b, a (channels, 3) of band-passes with unity gain at `centre_hz`, a[0] = 1."""
    w0 = 2 * np.pi * np.asarray(centre_hz) / SAMPLE_RATE_HZ
    half_band = np.tan(w0 / np.asarray(quality) / 2)
    gain = 1 / (1 + half_band)
    b = np.stack([1 - gain, np.zeros_like(gain), gain - 1], axis=-1)
    a = np.stack([np.ones_like(gain), -2 * gain * np.cos(w0), 2 * gain - 1], axis=-1)
    return b, a


class FilterbankState(NamedTuple):
    """What the bank remembers between frames; leading axes are independent streams.

    modes (..., channels) complex; envelope (..., channels).
    """

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
        frame_samples: int = HOP_SAMPLES,
    ) -> None:
        self.channels = len(centre_hz)
        self.frame_samples = frame_samples
        self._preemphasis = preemphasis
        self._half_wave = half_wave
        self._segments = segments = frame_samples // SEGMENT
        b, a = bandpass(centre_hz, quality)
        too_wide = np.asarray(centre_hz) / quality >= SAMPLE_RATE_HZ / 2  # `bandpass` needs less
        if (too_wide | (a[:, 2] <= a[:, 1] ** 2 / 4)).any():
            raise ParameterError(
                "filterbank: need pole pairs that ring, got a band so wide that one has none; "
                "use more channels, a higher selectivity or a lower high_hz"
            )
        # y_n = b0·u_n + Re(residue · s_n) with s_{n+1} = pole · s_n + u_n
        pole = -a[:, 1] / 2 + 1j * np.sqrt(a[:, 2] - a[:, 1] ** 2 / 4)
        residue = 2 * (b[:, 0] * pole**2 + b[:, 2]) / (2j * pole.imag)
        powers = pole[:, None] ** np.arange(SEGMENT + 1)  # (channels, SEGMENT + 1)
        # samples of a segment -> what they add to the modes at its end
        into_modes = powers[:, SEGMENT - 1 :: -1].T
        self._into_modes = np.ascontiguousarray(into_modes).view(np.float64)
        # border modes: multiply by decay^-k, run the sum, multiply by decay^k
        steps = np.arange(segments + 1)[:, None]
        self._shrink = powers[:, SEGMENT] ** steps
        if np.abs(self._shrink).min() < 1e-250:
            raise ParameterError(
                "filterbank: need filters that ring through a frame, got one that dies within it; "
                "use shorter frames, a higher selectivity or a lower high_hz"
            )
        self._grow = powers[:, SEGMENT] ** -steps[1:]
        # [samples | border mode as (re, im)] of a segment -> outputs (channel, sample)
        impulse = np.concatenate([b[:, :1], (residue[:, None] * powers[:, : SEGMENT - 1]).real], 1)
        outputs = np.zeros((SEGMENT + 2 * self.channels, self.channels, SEGMENT), np.float32)
        for n in range(SEGMENT):
            outputs[n, :, n:] = impulse[:, : SEGMENT - n]
        response = residue[:, None] * powers[:, :SEGMENT]  # Re(r·s) = r.re·s.re - r.im·s.im
        for c in range(self.channels):
            outputs[SEGMENT + 2 * c, c] = response[c].real
            outputs[SEGMENT + 2 * c + 1, c] = -response[c].imag
        self._outputs = outputs.reshape(SEGMENT + 2 * self.channels, -1)
        # low-pass weights factor into one per segment and one per sample within it
        decay = np.exp(-1 / (lowpass_s * SAMPLE_RATE_HZ))
        self._frame_decay = decay**frame_samples
        segment_decay = decay ** (SEGMENT * np.arange(segments - 1, -1, -1))
        self._segment_weights = segment_decay.astype(np.float32)
        sample_weights = (1 - decay) * decay ** np.arange(SEGMENT - 1, -1, -1)
        self._sample_weights = sample_weights.astype(np.float32)

    def start(self, *streams: int) -> FilterbankState:
        """State of silence, for one stream or an array of them."""
        return FilterbankState(
            np.zeros((*streams, self.channels), np.complex128),
            np.zeros((*streams, self.channels)),
        )

    def step(self, samples: Array, state: FilterbankState) -> FilterbankState:
        """State after one frame; its envelope is the output.

        samples: (..., 1 + frame_samples) float64, the frame behind the sample before it.
        """
        streams, wires = samples.shape[:-1], 2 * self.channels
        emphasised = samples[..., :-1] * -self._preemphasis
        emphasised += samples[..., 1:]
        emphasised *= SCALE
        # segments of all streams: one product serves them
        samples = emphasised.reshape(-1, SEGMENT)
        modes = np.empty((*streams, self._segments + 1, self.channels), np.complex128)
        modes[..., 0, :] = state.modes
        into_modes = samples.dot(self._into_modes).view(np.complex128)
        into_modes = into_modes.reshape(*streams, self._segments, self.channels)
        np.multiply(into_modes, self._grow, out=modes[..., 1:, :])
        np.add.accumulate(modes, axis=-2, out=modes)
        modes *= self._shrink
        inputs = np.empty((*streams, self._segments, SEGMENT + wires), np.float32)
        inputs[..., :SEGMENT] = samples.reshape(*streams, self._segments, SEGMENT)
        inputs[..., SEGMENT:] = modes[..., :-1, :].view(np.float64)
        outputs = inputs.reshape(-1, SEGMENT + wires).dot(self._outputs)
        if self._half_wave:
            np.maximum(outputs, 0, out=outputs)
        else:
            np.abs(outputs, out=outputs)
        per_sample = self._segment_weights.dot(outputs.reshape(*streams, self._segments, -1))
        per_sample = per_sample.reshape(*streams, self.channels, SEGMENT)
        envelope = per_sample.dot(self._sample_weights) / SCALE
        envelope += self._frame_decay * state.envelope
        return FilterbankState(modes[..., -1, :], envelope)
