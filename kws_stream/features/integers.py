"""Conditioning in integers: gain control, compression and slow copies of the envelopes.

The equations of conditioning.py with every rounding stated (docs/features.md); the constants and
the proof that nothing overflows are in fixed_point.py. The same in C is
firmware_sim/c/kws_front_end.c.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kws_stream.features.fixed_point import (
    GAIN_BITS,
    MAX_RATIO,
    RATIO_BITS,
    ROOT_BITS,
    VALUE_BITS,
    FixedConditioning,
)

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

CUT = np.int64((MAX_RATIO << RATIO_BITS) - 1)
LEVEL_SHIFT = np.int64(GAIN_BITS - 2 * ROOT_BITS)
ROOT_SHIFT = np.float64(2.0 ** (2 * VALUE_BITS - RATIO_BITS))


class IntegerLevels(NamedTuple):
    """level (channels,), slow copies (len(slow_gains), channels); 2^31 finer than their values."""

    level: Integers
    slow: Integers


class IntegerConditioning:
    """Constants of the stage; `step` is pure: old state in, new state out."""

    def __init__(self, fixed: FixedConditioning, channels: int, step: float) -> None:
        self.fixed = fixed
        self.channels = channels
        self.n_features = channels * (1 + len(fixed.slow_gains))
        self._step = np.float64(step)
        self._agc_gain = np.int64(fixed.agc_gain)
        self._slow_gains = np.array(fixed.slow_gains, np.int64)[:, None]
        self._half_step = np.int64((1 << fixed.step_shift) >> 1)

    def start(self) -> IntegerLevels:
        return IntegerLevels(
            np.zeros(self.channels, np.int64),
            np.zeros((len(self.fixed.slow_gains), self.channels), np.int64),
        )

    def _first_level(self, envelope: Integers) -> Integers:
        """Levels where there is none yet: a stream may begin in the middle of any sound."""
        # below 2^52, as in `step`
        root: Integers = np.sqrt(envelope * 4.0**ROOT_BITS).astype(np.int64)
        root *= self.fixed.start_root
        root <<= LEVEL_SHIFT
        return root

    def step(self, envelope: Integers, state: IntegerLevels, out: Array) -> IntegerLevels:
        """New state; writes the features (n_features,) of one frame to `out`."""
        fixed = self.fixed
        before = state.level
        at = before >> GAIN_BITS
        if not at.all():
            before = np.where(at, before, np.maximum(before, self._first_level(envelope)))
            at = before >> GAIN_BITS
        level = envelope - at
        level *= self._agc_gain
        level += before
        under = level >> GAIN_BITS
        under += fixed.floor
        ratio = envelope << RATIO_BITS
        ratio //= under
        np.minimum(ratio, CUT, out=ratio)
        ratio += fixed.offset
        # below 2^52, where the root of a float64 is never rounded up to a whole number
        root = np.multiply(ratio, ROOT_SHIFT)
        np.sqrt(root, out=root)
        values = np.empty((1 + len(state.slow), self.channels), np.int64)
        fast, slow = values[0], values[1:]
        fast[:] = root
        fast -= fixed.root_offset
        moved = fast - (state.slow >> GAIN_BITS)
        moved *= self._slow_gains
        moved += state.slow
        np.right_shift(moved, GAIN_BITS, out=slow)
        values += self._half_step
        values >>= fixed.step_shift
        np.minimum(values, fixed.feature_max, out=values)
        np.multiply(values.reshape(-1), self._step, out=out)
        return IntegerLevels(level, moved)
