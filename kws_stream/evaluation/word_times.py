"""Where in a clip its word is, found by energy: clips carry no labels of time.

The power of 10 ms frames, averaged over three, is compared with a level that lies 30 % of the way
(in decibels) from the clip's floor, the 10 % quietest frames, to its loudest frame, but 6 dB above
the floor at least and 40 dB below the loudest frame at most. Runs above the level that are less
than 0.2 s apart belong together (the closure of a stop is silent); the group with the most energy
is the word, and 30 ms are added at both ends. The figures are a choice of this project.
"""

import numpy as np
from numpy.typing import NDArray

from kws_stream.constants import SAMPLE_RATE_HZ

FRAME_S = 0.01
SHARE = 0.3
LEAST_DB = 6.0
DEEPEST_DB = 40.0
BRIDGE_S = 0.2
MARGIN_S = 0.03
SILENT = 1e-10  # mean square: -100 dB below full scale


def find_word(pcm: NDArray[np.float32]) -> tuple[float, float]:
    """Start and end in s of the word in a clip (n,) at 16 kHz; all of it if nothing stands out."""
    whole = (0.0, len(pcm) / SAMPLE_RATE_HZ)
    size = round(FRAME_S * SAMPLE_RATE_HZ)
    count = len(pcm) // size
    if count < 3:
        return whole
    frames = pcm[: count * size].astype(np.float64).reshape(count, size)
    power = np.convolve(np.mean(frames**2, axis=1), np.ones(3) / 3, mode="same")
    level_db = 10 * np.log10(np.maximum(power, SILENT))
    floor_db, peak_db = np.quantile(level_db, 0.1), level_db.max()
    if peak_db - floor_db < LEAST_DB:
        return whole
    threshold_db = floor_db + max(LEAST_DB, SHARE * (peak_db - floor_db))
    loud = np.flatnonzero(level_db >= max(threshold_db, peak_db - DEEPEST_DB))
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > round(BRIDGE_S / FRAME_S)) + 1)
    word = max(groups, key=lambda group: power[group].sum())
    start_s = word[0] * FRAME_S - MARGIN_S
    end_s = (word[-1] + 1) * FRAME_S + MARGIN_S
    return max(0.0, round(float(start_s), 3)), min(whole[1], round(float(end_s), 3))
