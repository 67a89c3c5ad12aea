"""Many channels into one."""

import numpy as np
from numpy.typing import NDArray


def mix_down(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the channels of finite frames (n, channels) -> (n,).

    Summed in float64 and rounded once, so that equal channels give back their own samples in
    every bit, whatever their number, and no sum overflows.
    """
    if frames.shape[1] == 1:
        return np.ascontiguousarray(frames[:, 0])
    total = frames[:, 0].astype(np.float64)
    for channel in range(1, frames.shape[1]):
        total += frames[:, channel]
    mean: NDArray[np.float32] = (total / frames.shape[1]).astype(np.float32)
    return mean
