"""The front end, one channel and one sample at a time: SciPy's filters and plain Python numbers."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import iirpeak, lfilter

RATE_HZ = 16_000

Array = NDArray[np.float64]


def mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def centres(channels: int, low_hz: float, high_hz: float) -> list[float]:
    """Evenly spaced on the mel scale, both ends included."""
    width = (mel(high_hz) - mel(low_hz)) / (channels - 1)
    return [700 * (10 ** ((mel(low_hz) + i * width) / 2595) - 1) for i in range(channels)]


def qualities(hz: Sequence[float], selectivity: float) -> list[float]:
    """Selectivity times centre over spacing: to the neighbour at the ends, else the mean of two."""
    last = len(hz) - 1
    spacings = []
    for i in range(len(hz)):
        below, above = max(i - 1, 0), min(i + 1, last)
        spacings.append((hz[above] - hz[below]) / (above - below))
    return [selectivity * f / spacing for f, spacing in zip(hz, spacings, strict=True)]


def envelopes(
    samples: Array,
    centre_hz: Sequence[float],
    quality: Sequence[float],
    preemphasis: float = 0.9,
    lowpass_s: float = 0.012,
    half_wave: bool = False,
    frame_samples: int = 160,
) -> Array:
    """Envelopes (frames, channels) at the last sample of every whole frame of samples (n,)."""
    emphasised = lfilter([1, -preemphasis], [1], samples)
    decay = math.exp(-1 / (lowpass_s * RATE_HZ))
    columns = []
    for f, q in zip(centre_hz, quality, strict=True):
        ringing = lfilter(*iirpeak(f, q, fs=RATE_HZ), emphasised)
        rectified = np.maximum(ringing, 0) if half_wave else np.abs(ringing)
        smooth = lfilter([1 - decay], [1, -decay], rectified)
        columns.append(smooth[frame_samples - 1 :: frame_samples])
    return np.stack(columns, axis=1)


def condition(
    envelope: Array,
    frame_s: float,
    agc_s: float,
    floor: float,
    start_level: float,
    offset: float,
    slow_s: Sequence[float],
    step: float,
    high: float,
) -> list[list[float]]:
    """Features of envelopes (frames, channels): the channels, then each slow copy of them all."""
    gain = float(-np.expm1(-frame_s / agc_s))  # NumPy's, since libraries differ in the last bit
    slow_gains = (-np.expm1(-frame_s / np.array(slow_s))).tolist()
    levels = [0.0] * envelope.shape[1]
    slow = [[0.0] * envelope.shape[1] for _ in slow_s]
    frames = []
    for row in envelope.tolist():
        fast = []
        for c, e in enumerate(row):
            if levels[c] == 0:
                levels[c] = math.sqrt(start_level * e)
            levels[c] = levels[c] + gain * (e - levels[c])
            fast.append(math.sqrt(e / (levels[c] + floor) + offset) - math.sqrt(offset))
            for copy, slow_gain in zip(slow, slow_gains, strict=True):
                copy[c] = copy[c] + slow_gain * (fast[c] - copy[c])
        values = fast + [value for copy in slow for value in copy]
        frames.append([min(round(value / step) * step, high) for value in values])  # ties to even
    return frames
