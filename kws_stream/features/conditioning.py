"""From channel envelopes to currents on the input grid: gain control, compression, slow copies.

Per channel and frame, E the envelope, M its own recent level:

    M_t = M_{t-1} + k · (E_t - M_{t-1}),          k = 1 - exp(-frame_s / agc_s)
                                                  M_{t-1} = sqrt(start_level · E_t) where it is 0
    y_t = sqrt(E_t / (M_t + floor) + offset) - sqrt(offset)
    s_t = s_{t-1} + k_s · (y_t - s_{t-1})         one slow copy for each time constant in slow_s

This is per-channel energy normalisation (Wang et al., "Trainable frontend for robust and far-field
keyword spotting", arXiv:1607.05666) with full gain control (alpha = 1) and a square root
(r = 1/2): a translinear divider and a translinear square root on a chip. It looks back only, and
uses only operations that IEEE 754 rounds correctly, so it gives the same bits on every machine.
Outputs are rounded to `step` and limited to `high`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import set_alike
from kws_stream.brief import changed
from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ

Array = NDArray[np.float64]

# Envelopes below this are silence. Without it the states of a silent front end would decay into
# subnormal numbers, which processors compute slowly, and stay there.
SILENCE = 1e-30


@dataclass(frozen=True)
class ConditioningSettings:
    """rate_hz: of the samples. hop_samples: the finest period that training works in, 10 ms for
    speech; hops_per_frame: the frame period in hops. agc_s, slow_s: time constants in seconds.

    floor: envelope (1.0 is full scale) under which the gain stops rising. start_level: the level
    that training
    data had before its first frame. offset: where compression turns from linear to square root.
    step (a power of two) and high: the input grid, in unit currents.
    """

    hops_per_frame: int = 1
    agc_s: float = 0.25
    floor: float = 1e-4
    start_level: float = 1e-3
    offset: float = 2.0
    slow_s: tuple[float, ...] = (0.05, 0.16)
    step: float = 2.0**-6
    high: float = 255 * 2.0**-6
    rate_hz: int = SAMPLE_RATE_HZ
    hop_samples: int = HOP_SAMPLES

    __repr__ = changed

    def __post_init__(self) -> None:
        set_alike(self, "features ")

    @property
    def frame_samples(self) -> int:
        return self.hops_per_frame * self.hop_samples

    @property
    def frame_s(self) -> float:
        return self.frame_samples / self.rate_hz


class ConditioningState(NamedTuple):
    """level (channels,) and the unrounded slow copies (len(slow_s), channels)."""

    level: Array
    slow: Array

    def without_traces(self) -> "ConditioningState":
        """The state with everything below `SILENCE` set to zero."""
        level, slow = (np.where(values < SILENCE, 0.0, values) for values in self)
        return ConditioningState(level, slow)


class Conditioning:
    """Constants of the stage; `step` is pure: old state in, new state out."""

    def __init__(self, settings: ConditioningSettings, channels: int) -> None:
        self.settings = settings
        self.channels = channels
        self.n_features = channels * (1 + len(settings.slow_s))
        self._agc_gain = -np.expm1(-settings.frame_s / settings.agc_s)
        self._slow_gain = -np.expm1(-settings.frame_s / np.array(settings.slow_s))[:, None]
        self._start_level = np.float64(settings.start_level)
        self._floor = np.float64(settings.floor)
        self._offset = np.float64(settings.offset)
        self._root_offset = np.sqrt(self._offset)
        self._high = np.float64(settings.high)
        # adding this and taking it away rounds to `step`, ties to even: its last bit is one step
        self._rounder = np.float64(1.5 * 2.0**52 * settings.step)

    def start(self) -> ConditioningState:
        return ConditioningState(
            np.zeros(self.channels),
            np.zeros((len(self.settings.slow_s), self.channels)),
        )

    def step(self, envelope: Array, state: ConditioningState, out: Array) -> ConditioningState:
        """New state; writes the features (n_features,) of one frame to `out`.

        They are the channels, then each slow copy of them.
        """
        before = state.level
        if not before.all():  # a stream may begin in the middle of any sound
            before = np.where(before, before, np.sqrt(self._start_level * envelope))
        level = envelope - before
        level *= self._agc_gain
        level += before
        values = np.empty((1 + len(state.slow), self.channels))
        fast, slow = values[0], values[1:]
        np.add(level, self._floor, out=fast)
        np.divide(envelope, fast, out=fast)
        fast += self._offset
        np.sqrt(fast, out=fast)
        fast -= self._root_offset
        np.subtract(fast, state.slow, out=slow)
        slow *= self._slow_gain
        slow += state.slow
        np.add(values.reshape(-1), self._rounder, out=out)
        out -= self._rounder
        np.minimum(out, self._high, out=out)
        return ConditioningState(level, slow)
