"""Log-mel pictures of clips as sound, for a teacher that hears sound alone.

A ridge regression, fitted on clips of which picture and recording exist, maps seven frames of a
picture to the power spectrum of the middle one; phases come from fast Griffin-Lim (Perraudin et
al., WASPAA 2013) by librosa. A picture shows nothing above 4 kHz: what is there is a guess.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.training.pictures import FRAMES, Pixels

WINDOW, HOP, POINTS = 480, 160, 512  # samples: the frames of the pictures, and the transform
NEIGHBOURS = 3  # frames heard before and after
RIDGE = 1e-3  # of the mean power of an input
ROUNDS, MOMENTUM = 8, 0.99
FULL_SCALE = 2.0**15  # power is fitted as log(1 + |X|^2) of 16-bit samples

Sound = NDArray[np.float32]


def _context(pixels: Pixels) -> NDArray[np.float32]:
    """Inputs (n, 98, 322) of pictures (n, 98, 40): seven frames, squares of the loud, a one."""
    scaled = pixels.astype(np.float32) / 64 - 1
    padded = np.pad(scaled, ((0, 0), (NEIGHBOURS, NEIGHBOURS), (0, 0)), mode="edge")
    seven = [padded[:, at : at + FRAMES] for at in range(2 * NEIGHBOURS + 1)]
    ones = np.ones((*scaled.shape[:2], 1), np.float32)
    inputs: NDArray[np.float32] = np.concatenate([*seven, np.maximum(scaled, 0) ** 2, ones], axis=2)
    return inputs


def _log_power(sound: Sound) -> NDArray[np.float32]:
    """Log power (n, 98, 257) of clips (n, 16000) of full scale 1."""
    starts = HOP * np.arange(FRAMES)[:, None] + np.arange(WINDOW)
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    spectra = np.fft.rfft(FULL_SCALE * sound[:, starts] * window, POINTS)
    power: NDArray[np.float32] = np.log1p(np.abs(spectra) ** 2).astype(np.float32)
    return power


@dataclass(frozen=True)
class SoundOfPictures:
    """The fitted map: weights (inputs, 257) from `_context` to the log power spectrum."""

    weights: NDArray[np.float32]

    __repr__ = brief

    @classmethod
    def fit(cls, pixels: Pixels, sound: Sound) -> "SoundOfPictures":
        """Fitted on pictures (n, 98, 40) and the same clips as sound (n, 16000), full scale 1.

        Twice: the second time without those whose error says that they are other recordings.
        """
        first = cls._fitted(pixels, sound)
        errors = np.concatenate(
            [
                np.abs(_context(pixels[at]) @ first.weights - _log_power(sound[at])).mean((1, 2))
                for at in _parts(len(pixels))
            ]
        )
        near = errors < 2 * np.median(errors)
        return cls._fitted(pixels[near], sound[near])

    @classmethod
    def _fitted(cls, pixels: Pixels, sound: Sound) -> "SoundOfPictures":
        squares: NDArray[np.float64] | float = 0.0
        products: NDArray[np.float64] | float = 0.0
        for at in _parts(len(pixels)):
            inputs = _context(pixels[at]).reshape(FRAMES * len(pixels[at]), -1).astype(np.float64)
            targets = _log_power(sound[at]).reshape(len(inputs), -1)
            squares = squares + inputs.T @ inputs
            products = products + inputs.T @ targets
        squares = np.asarray(squares)
        ridge = RIDGE * squares.trace() / len(squares) * np.eye(len(squares))
        return cls(np.linalg.solve(squares + ridge, products).astype(np.float32))

    def sound(self, pixels: Pixels, seed: int = 0) -> Sound:
        """Clips (n, 16000), full scale 1, of pictures (n, 98, 40); a seed gives the same ones."""
        import librosa

        power = np.expm1(_context(pixels) @ self.weights)
        size = np.sqrt(np.maximum(power, 0)).transpose(0, 2, 1)
        made = librosa.griffinlim(
            size,
            n_iter=ROUNDS,
            hop_length=HOP,
            win_length=WINDOW,
            n_fft=POINTS,
            center=False,
            momentum=MOMENTUM,
            random_state=seed,
        )
        clips = np.zeros((len(pixels), SAMPLE_RATE_HZ), np.float32)
        # librosa puts the window in the middle of the transform
        made = made[:, (POINTS - WINDOW) // 2 :][:, :SAMPLE_RATE_HZ]
        clips[:, : made.shape[1]] = np.clip(made / FULL_SCALE, -1, 1)
        return clips


def _parts(count: int, size: int = 64) -> list[slice]:
    return [slice(at, at + size) for at in range(0, count, size)]
