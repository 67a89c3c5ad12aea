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

# arrays without axes, which cost half of what a number of Python's does
GAIN_SHIFT = np.array(GAIN_BITS, np.int64)
RATIO_SHIFT = np.array(RATIO_BITS, np.int64)
CUT = np.array((MAX_RATIO << RATIO_BITS) - 1, np.int64)
ROOT_SHIFT = np.array(2.0 ** (2 * VALUE_BITS - RATIO_BITS))
LEVEL_SHIFT = GAIN_BITS - 2 * ROOT_BITS


class IntegerLevels(NamedTuple):
    """level (channels,), slow copies (len(slow_gains), channels); 2^31 finer than their values.

    codes, slow_codes: the same as their values.
    """

    level: Integers
    codes: Integers
    slow: Integers
    slow_codes: Integers


class IntegerConditioning:
    """Constants of the stage; `step` is pure: old state in, new state out."""

    def __init__(self, fixed: FixedConditioning, channels: int, step: float) -> None:
        self.fixed = fixed
        self.channels = channels
        self.n_features = channels * (1 + len(fixed.slow_gains))
        self._step = np.array(step)
        self._agc_gain = np.array(fixed.agc_gain, np.int64)
        self._floor = np.array(fixed.floor, np.int64)
        self._offset = np.array(fixed.offset, np.int64)
        self._root_offset = np.array(fixed.root_offset, np.int64)
        self._slow_gains = np.repeat(np.array(fixed.slow_gains, np.int64)[:, None], channels, 1)
        self._half_step = np.array((1 << fixed.step_shift) >> 1, np.int64)
        self._step_shift = np.array(fixed.step_shift, np.int64)
        self._most = np.array(fixed.feature_max, np.int64)

    def start(self) -> IntegerLevels:
        level = np.zeros(self.channels, np.int64)
        slow = np.zeros((len(self.fixed.slow_gains), self.channels), np.int64)
        return IntegerLevels(level, level, slow, slow)

    def _first_level(self, envelope: Integers) -> Integers:
        """Levels where there is none yet: a stream may begin in the middle of any sound."""
        # below 2^52, as in `step`
        root: Integers = np.sqrt(envelope * 4.0**ROOT_BITS).astype(np.int64)
        root *= self.fixed.start_root
        root <<= LEVEL_SHIFT
        return root

    def step(self, envelope: Integers, state: IntegerLevels, out: Array) -> IntegerLevels:
        """New state; writes the features (n_features,) of one frame to `out`."""
        before, codes = state.level, state.codes
        if np.count_nonzero(codes) < self.channels:
            before = np.where(codes, before, np.maximum(before, self._first_level(envelope)))
            codes = before >> GAIN_SHIFT
        level = envelope - codes
        level *= self._agc_gain
        level += before
        codes = level >> GAIN_SHIFT
        ratio = envelope << RATIO_SHIFT
        ratio //= codes + self._floor
        np.minimum(ratio, CUT, out=ratio)
        ratio += self._offset
        # below 2^52, where the root of a float64 is never rounded up to a whole number
        root = ratio * ROOT_SHIFT
        np.sqrt(root, root)
        values = np.empty((1 + len(state.slow), self.channels), np.int64)
        fast = values[0]
        fast[:] = root
        fast -= self._root_offset
        slow = fast - state.slow_codes
        slow *= self._slow_gains
        slow += state.slow
        slow_codes = slow >> GAIN_SHIFT
        values[1:] = slow_codes
        values += self._half_step
        values >>= self._step_shift
        np.minimum(values, self._most, out=values)
        np.multiply(values.reshape(-1), self._step, out)
        return IntegerLevels(level, codes, slow, slow_codes)
