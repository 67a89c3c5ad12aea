"""Many channels into one."""

import operator
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import ParameterError

# The mean of n equal channels is as strong as each; of n unrelated ones of the same power it has
# an n-th of that. A mean far below both is told: the channels cancel, or one drowns the others.
_FAR_WEAKER = 8.0  # in power: 9 dB
_JUDGED_S = 2.0  # of sound, before a stream is judged while it goes on
_SILENT = 1e-7  # mean square, -70 dBFS: less is no sound to judge by


def checked_channel(channel: int | None) -> int | None:
    """`channel` as an int from 1, or None for the mean; raises ParameterError for anything else."""
    if channel is None:
        return None
    try:
        number = operator.index(channel)
    except TypeError:
        number = 0
    if number < 1:
        raise ParameterError(
            f"channel: need a whole number from 1, or None for the mean of all, got {channel!r}; "
            "the first channel is 1"
        )
    return number


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


class Mixer:
    """Frames of one stream to mono: one of the channels, or the mean of all.

    Where the mean is far weaker than a channel, `on_note` hears of it, in one sentence, once.
    """

    def __init__(
        self,
        channels: int,
        channel: int | None = None,
        rate_hz: int = 16_000,
        name: str = "",
        on_note: Callable[[str], None] | None = None,
    ) -> None:
        """channel: from 1, at most `channels`; None for the mean. name: that of the stream."""
        self._channel = channel
        self._channels = channels
        self._judged = round(_JUDGED_S * rate_hz)
        self._name = name
        self._on_note = on_note if channel is None and channels > 1 else None
        self._powers = np.zeros(channels)  # sums of squares
        self._mean_power = 0.0
        self._sound = 0  # frames that are no silence

    def mix(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Finite frames (n, channels) -> (n,); any split gives the same samples."""
        if self._channel is not None:
            return np.ascontiguousarray(frames[:, self._channel - 1])
        mean = mix_down(frames)
        if self._on_note is not None and len(frames):
            powers = np.square(frames, dtype=np.float64).sum(axis=0)
            if powers.max() > _SILENT * len(frames):
                self._powers += powers
                self._mean_power += float(np.square(mean, dtype=np.float64).sum())
                self._sound += len(frames)
            if self._sound >= self._judged:
                self.judge()
        return mean

    def judge(self) -> None:
        """Say so if the mean of what was mixed so far is far weaker than a channel."""
        if self._on_note is None or not self._sound:
            return
        strongest, usual = float(self._powers.max()), float(self._powers.mean())
        cancelled = self._mean_power < usual / (2 * self._channels)
        drowned = strongest > 2 * usual
        if self._mean_power * _FAR_WEAKER < strongest and (cancelled or drowned):
            weaker_db = 10 * np.log10(strongest / max(self._mean_power, 1e-9 * strongest))
            self._on_note(
                f"{self._name}: the mean of its {self._channels} channels is {weaker_db:.0f} dB "
                f"weaker than channel {int(self._powers.argmax()) + 1} alone, as where one channel "
                "is inverted or holds playback; choose a channel with --channel N "
                "(channel=N in Python)"
            )
            self._on_note = None
