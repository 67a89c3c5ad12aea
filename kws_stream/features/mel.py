"""A mel front end, for comparison with the filterbank: windowed FFT, triangular bands.

    power spectrum of a periodic 25 ms Hann window (400 samples, 512 points) at the frame's end
    band energies by area-normalised triangles on the Slaney mel scale
    envelope = square root of the energy, an amplitude like the filterbank's

The bands are those of `librosa.filters.mel` and the energies those of
`librosa.feature.melspectrogram(center=False)`; the tests hold them against librosa.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from kws_stream.errors import ParameterError

WINDOW = 400
FFT = 512

Array = NDArray[np.float64]


def slaney_mel_to_hz(mel: Array) -> Array:
    """Slaney's scale: linear to 1 kHz (15 mel), then 27 mel for each factor of 6.4."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))


def slaney_hz_to_mel(hz: Array) -> Array:
    """Inverse of `slaney_mel_to_hz`."""
    above = 15 + 27 / np.log(6.4) * np.log(np.maximum(hz, 1000) / 1000)
    return np.where(hz < 1000, hz * 3 / 200, above)


def mel_edges(bands: int, low_hz: float, high_hz: float) -> Array:
    """Frequencies (bands + 2,) in Hz: band i goes from edge i over its peak at i + 1 to i + 2."""
    low, high = slaney_hz_to_mel(np.array([low_hz, high_hz]))
    return slaney_mel_to_hz(np.linspace(low, high, bands + 2))


def mel_bands(bands: int, low_hz: float, high_hz: float) -> Array:
    """Weights (FFT // 2 + 1, bands) of triangles with unit area in Hz."""
    edges = mel_edges(bands, low_hz, high_hz)
    hz = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE_HZ)[:, None]
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])


class MelState(NamedTuple):
    """samples (..., WINDOW): the last samples; envelope (..., bands). Leading axes are streams."""

    samples: Array
    envelope: Array


class MelBands:
    """Constants of the bands; `step` is pure: old state in, new state out."""

    def __init__(
        self, bands: int, low_hz: float, high_hz: float, frame_samples: int = HOP_SAMPLES
    ) -> None:
        self.channels = bands
        self.frame_samples = frame_samples
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
        self._weights = mel_bands(bands, low_hz, high_hz)
        if not self._weights.any(axis=0).all():
            raise ParameterError(
                f"mel: need bands wide enough for a bin of {SAMPLE_RATE_HZ / FFT} Hz each, got "
                f"{bands} from {low_hz} to {high_hz} Hz; use fewer channels"
            )

    def start(self, *streams: int) -> MelState:
        """State of silence, for one stream or an array of them."""
        return MelState(np.zeros((*streams, WINDOW)), np.zeros((*streams, self.channels)))

    def step(self, samples: Array, state: MelState) -> MelState:
        """State after one frame; its envelope is the output.

        samples: (..., 1 + frame_samples) float64, the frame behind the sample before it.
        """
        samples = np.concatenate([state.samples, samples[..., 1:]], axis=-1)[..., -WINDOW:]
        spectrum = np.fft.rfft(samples * self._window, FFT)
        power = spectrum.real**2 + spectrum.imag**2
        return MelState(samples, np.sqrt(power @ self._weights))
