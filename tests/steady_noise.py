"""Streams that begin in the middle of a steady noise."""

import numpy as np
from numpy.typing import NDArray


def steady_starts() -> list[NDArray[np.int16]]:
    """Half a second each of hiss, white and brighter than white, from the first sample on.

    With a gain control that starts from one level, whatever the room, all sizes of commands-12
    fire in some of them.
    """
    starts = []
    for level_dbfs in (-45, -40, -35, -30):
        for seed in (4, 8, 14, 16, 30):
            white = np.random.default_rng(seed).standard_normal(8000)
            for noise in (white, 1.5 * white - np.roll(white, 1)):
                scaled = noise / noise.std() * 10 ** (level_dbfs / 20) * 32768
                starts.append(np.clip(np.rint(scaled), -32768, 32767).astype(np.int16))
    return starts
