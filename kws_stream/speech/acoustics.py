"""What is around speech, computed from a seed: background noises, rooms and microphones."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kws_stream.constants import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
Array = NDArray[np.float64]
_Make = Callable[[np.random.Generator], Array]
KINDS = ("steady", "gusts", "hum", "chords", "knocks")


def noise(kind: str, seconds: float, rng: np.random.Generator) -> Samples:
    """A noise of that kind, float32 (n,), with peaks between 0.05 and 0.5 of full scale.

    steady: with a random spectral slope; gusts: the same, its level wandering; hum: harmonics of
    40 to 400 Hz, like motors and mains; chords: short tones with overtones, like music; knocks:
    decaying clicks. All but the first two lie over a quiet steady noise.
    """
    count = round(seconds * SAMPLE_RATE_HZ)
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    floor = _coloured(count, rng.uniform(-1.0, 0.2), rng)
    floor /= np.abs(floor).max()
    match kind:
        case "steady":
            sound = floor
        case "gusts":
            sound = floor * _wander(count, rng.uniform(0.1, 1.5), rng) ** rng.uniform(1, 3)
        case "hum":
            base_hz = 40 * 10 ** rng.uniform(0, 1)
            drift = 1 + 0.03 * np.cumsum(_wander(count, 1.0, rng) - 0.5) / count
            phase = 2 * np.pi * base_hz * time_s * drift
            parts = (rng.uniform() ** 2 * np.sin(k * phase) for k in range(1, 12))
            sound = sum(parts, 0.1 * floor) * (0.4 + _wander(count, 0.7, rng))
        case "chords":
            sound = 0.02 * floor + _struck(count, rng.uniform(1.5, 6), _tone, rng)
        case "knocks":
            sound = 0.02 * floor + _struck(count, rng.uniform(0.5, 8), _knock, rng)
        case _:
            raise ValueError(f"need one of {', '.join(KINDS)}, got {kind!r}")
    scaled: Samples = (sound * rng.uniform(0.05, 0.5) / np.abs(sound).max()).astype(np.float32)
    return scaled


def in_room(sound: Samples, rng: np.random.Generator) -> Samples:
    """Speech with the echoes of a random room (T60 of 0.1 to 0.6 s), and as long as before.

    The room is a decaying noise; 3 to 18 dB under the direct sound, which comes first.
    """
    from scipy.signal import oaconvolve

    t60_s = rng.uniform(0.1, 0.6)
    count = round(t60_s * SAMPLE_RATE_HZ)
    decay = 10 ** (-3 * np.arange(count) / count)
    echo = _coloured(count, rng.uniform(-0.5, 0.0), rng) * decay
    echo[: round(0.003 * SAMPLE_RATE_HZ)] = 0
    echo *= 10 ** (-rng.uniform(3, 18) / 20) / np.sqrt(np.square(echo).sum())
    echo[0] = 1
    wet: Samples = oaconvolve(sound, echo)[: len(sound)].astype(np.float32)
    return wet


def recorded(sound: Samples, rng: np.random.Generator) -> Samples:
    """Speech as a microphone in a room hears it: 6 of 10 in a room, half with a narrower band."""
    if rng.random() < 0.6:
        sound = in_room(sound, rng)
    return _in_band(sound, rng) if rng.random() < 0.5 else sound


def on_telephone(sound: Samples, rng: np.random.Generator) -> Samples:
    """Speech through a telephone: 0.15-0.35 to 3-3.7 kHz, 7 of 10 times in mu-law of 8 bits."""
    from scipy.signal import butter, sosfilt

    band_hz = (rng.uniform(150, 350), rng.uniform(3000, 3700))
    band = butter(3, band_hz, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    narrow: Samples = sosfilt(band, sound).astype(np.float32)
    if rng.random() < 0.7:  # mu = 255, ITU-T G.711
        loudest = np.abs(narrow).max() + 1e-9
        curved = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / loudest) / np.log(256)
        coded = np.round(curved * 127) / 127
        narrow = (np.sign(coded) * (256 ** np.abs(coded) - 1) / 255 * loudest).astype(np.float32)
    return narrow


def _in_band(sound: Samples, rng: np.random.Generator) -> Samples:
    """Without what is below 60 to 350 Hz and above 3.2 to 7.8 kHz, 6 dB an octave."""
    from scipy.signal import butter, sosfilt

    band_hz = (60 * (350 / 60) ** rng.random(), rng.uniform(3200, 7800))
    filtered: Samples = sosfilt(
        butter(1, band_hz, "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), sound
    ).astype(np.float32)
    return filtered


def _coloured(count: int, slope: float, rng: np.random.Generator) -> Array:
    """Noise whose amplitude falls with frequency to the power of `slope` (0: white, -1: brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
    spectrum *= np.maximum(hz, 50.0) ** slope * (hz > 20)
    return np.fft.irfft(spectrum, count)


def _wander(count: int, period_s: float, rng: np.random.Generator) -> Array:
    """Values in 0..1 that move to a new one every period."""
    points = int(count / SAMPLE_RATE_HZ / period_s) + 2
    places = np.linspace(0, points - 1, count)
    return np.interp(places, np.arange(points), rng.random(points))


def _struck(count: int, per_s: float, make: _Make, rng: np.random.Generator) -> Array:
    sound = np.zeros(count)
    for start in rng.integers(0, count, max(1, round(per_s * count / SAMPLE_RATE_HZ))).tolist():
        hit = make(rng) * rng.uniform(0.2, 1)
        sound[start : start + len(hit)] += hit[: count - start]
    return sound


def _tone(rng: np.random.Generator) -> Array:
    time_s = _times(rng.uniform(0.15, 1.2))
    base_hz = 110 * 2 ** (rng.integers(0, 37) / 12)
    tone = sum(rng.uniform() / k * np.sin(2 * np.pi * k * base_hz * time_s) for k in range(1, 7))
    return np.asarray(tone * np.exp(-3 * time_s / time_s[-1]) * np.minimum(1, time_s / 0.01))


def _knock(rng: np.random.Generator) -> Array:
    time_s = _times(rng.uniform(0.02, 0.3))
    ring = np.sin(2 * np.pi * 10 ** rng.uniform(2, 3.7) * time_s)
    blend = rng.random() * rng.standard_normal(len(time_s)) + ring
    return np.asarray(blend * np.exp(-6 * time_s / time_s[-1]))


def _times(seconds: float) -> Array:
    return np.arange(1, round(seconds * SAMPLE_RATE_HZ) + 1) / SAMPLE_RATE_HZ
