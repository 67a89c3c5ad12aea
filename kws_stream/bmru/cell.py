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
    """New bits (..., d) of one frame, from its candidates (..., d) and the old bits (..., d)."""
    new: Bits = (candidate >= beta1) & bits | (candidate >= beta2)
    return new


def sequence(
    candidates: NDArray[np.floating],
    bits: Bits,
    beta1: NDArray[np.floating],
    beta2: NDArray[np.floating],
) -> Bits:
    """Bits (T, ..., d) of all frames, from candidates (T, ..., d) and the bits before them (..., d).

    The bit of frame t is what the last frame that set or reset the cell made of it: so find that
    frame's index with a running maximum, and look there.
    """
    frames = len(candidates)
    decided = np.empty((frames + 1, *candidates.shape[1:]), bool)  # entry 0 is the state before
    decided[0] = bits
    np.greater_equal(candidates, beta2, out=decided[1:])
    holds = (candidates >= beta1) & ~decided[1:]
    last = np.zeros(decided.shape, np.intp)
    times = np.arange(1, frames + 1).reshape(-1, *[1] * (candidates.ndim - 1))
    last[1:] = np.where(holds, 0, times)
    np.maximum.accumulate(last, axis=0, out=last)
    found: Bits = np.take_along_axis(decided, last[1:], axis=0)
    return found
