"""Audio chunks of any rate, width and number of channels as one stream of 16 kHz samples."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio import Resampler
from kws_stream.audio.mix import Mixer, checked_channel
from kws_stream.audio.resample import checked_rate
from kws_stream.errors import InputError, ParameterError

_TYPES = {1: "<i1", 2: "<i2", 4: "<i4"}  # by bytes a sample
MOST_CHANNELS = 64

Samples = NDArray[np.float32]


class ChunkDecoder:
    """Signed little-endian PCM to float32; any split of the bytes gives the same samples."""

    def __init__(
        self,
        channel: int | None = None,
        name: str = "stream",
        on_note: Callable[[str], None] | None = None,
    ) -> None:
        """channel: from 1; None for the mean of all. on_note: hears of a mean that is far weaker
        than a channel, in a sentence that begins with `name`.

        Raises ParameterError for a channel that is no whole number from 1.
        """
        self._channel = checked_channel(channel)
        self._name = name
        self._on_note = on_note
        self.reset()

    def reset(self) -> None:
        """A new stream begins."""
        self._format: tuple[int, int, int] | None = None
        self._rest = b""

    def decode(self, audio: bytes, rate: Any, width: Any, channels: Any) -> Samples:
        """The samples that can be told after these bytes.

        rate in Hz, width in bytes a sample. A new format within a stream begins a new resampler.
        Raises InputError for a format that is not supported.
        """
        if (rate, width, channels) != self._format:
            self._begin(rate, width, channels)
        data = self._rest + audio
        frame = width * channels
        whole = len(data) - len(data) % frame
        self._rest = data[whole:]
        raw = np.frombuffer(data[:whole], _TYPES[width]).reshape(-1, channels)
        scale = np.float32(2.0 ** (1 - 8 * width))  # a power of two: exact but for 32 bits
        return self._resampler.process(self._mixer.mix(raw.astype(np.float32) * scale))

    def finish(self) -> Samples:
        """The tail that the resampler held back; the stream is over."""
        tail = np.zeros(0, np.float32)
        if self._format is not None:
            self._mixer.judge()
            tail = self._resampler.process(tail, last=True)
        self.reset()
        return tail

    def _begin(self, rate: Any, width: Any, channels: Any) -> None:
        if type(width) is not int or width not in _TYPES:
            raise InputError(f"width: need 1, 2 or 4 bytes a sample, got {width!r:.80}")
        if type(channels) is not int or not 1 <= channels <= MOST_CHANNELS:
            raise InputError(f"channels: need 1 to {MOST_CHANNELS}, got {channels!r:.80}")
        if self._channel is not None and self._channel > channels:
            raise InputError(
                f"channel {self._channel}: need sound with that channel, got {channels} "
                f"channel{'s' if channels > 1 else ''}; choose one of those that are there"
            )
        try:
            self._resampler = Resampler(checked_rate(rate))
        except ParameterError as error:
            raise InputError(str(error)) from error
        self._mixer = Mixer(channels, self._channel, rate, self._name, self._on_note)
        self._format = (rate, width, channels)
        self._rest = b""
