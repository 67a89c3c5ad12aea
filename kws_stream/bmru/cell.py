"""The first-quadrant BMRU cell, exactly: one step, and a whole sequence without a loop over time.

arXiv:2605.15216, the cell (c is the candidate current, z the bit, both of frame t):

    z_t = 1        if c_t >= beta2            set    (a tie sets)
        = z_{t-1}  if beta1 <= c_t < beta2    hold   (a tie at beta1 holds)
        = 0        if c_t < beta1             reset

Comparisons do not round, so both forms give the same bits for every input.
"""

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]


def step(
    candidate: NDArray[np.floating],
    bits: Bits,
    beta1: NDArray[np.floating],
    beta2: NDArray[np.floating],
) -> Bits:
    """New bits (..., d) of one frame, from its candidates (..., d) and the old bits (..., d).

    A cell that is on compares with beta1, one that is off with beta2: beta1 <= beta2.
    """
    new: Bits = candidate >= np.where(bits, beta1, beta2)
    return new


def sequence(
    candidates: NDArray[np.floating],
    bits: Bits,
    beta1: NDArray[np.floating],
    beta2: NDArray[np.floating],
) -> Bits:
    """Bits (T, ..., d) of all frames, from candidates (T, ..., d) and the bits before (..., d).

    The bit of frame t is what the last frame that set or reset the cell made of it. So a frame that
    decides gets the key 2·t + bit, one that holds gets 0, and the running maximum of the keys ends
    in the wanted bit. int32 keys last for 2^30 frames, four months at 10 ms.
    """
    frames = len(candidates)
    keys = np.empty((frames + 1, *candidates.shape[1:]), np.int32)
    keys[0] = bits  # the state before the first frame, as if decided at t = 0
    sets = candidates >= beta2
    times = np.arange(1, frames + 1, dtype=np.int32).reshape(-1, *[1] * (candidates.ndim - 1))
    np.multiply(2 * times + sets, sets | (candidates < beta1), out=keys[1:])
    np.maximum.accumulate(keys, axis=0, out=keys)
    keys &= 1
    return keys[1:].astype(bool)
