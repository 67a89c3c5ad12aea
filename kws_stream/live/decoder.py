"""Audio chunks of any rate, width and number of channels as one stream of 16 kHz samples."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio import Resampler, to_float32
from kws_stream.audio.mix import Mixer, checked_channel
from kws_stream.audio.resample import checked_rate
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import InputError, ParameterError

WIDTHS = (1, 2, 3, 4)  # bytes a sample
MOST_CHANNELS = 64
LOWEST_RATE_HZ = 1_000  # a second that claims fewer samples would grow past every promise on memory
# A chunk is worked through in parts of so much sound: 1 MiB may claim to be 17 minutes, which
# resampled at once would take 64 MiB and keep everybody else waiting.
_PART_S = 0.1

_PLAIN = SAMPLE_RATE_HZ, 2, 1  # what a spotter hears as it is

Samples = NDArray[np.float32]
Pcm = NDArray[np.int16] | Samples


class ChunkDecoder:
    """Little-endian PCM to float32; any split of the bytes gives the same samples.

    As in WAV files and in Wyoming, one byte a sample is unsigned, with 128 as silence; two, three
    and four bytes are signed.
    """

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
        self._before_s = 0.0  # sound in the formats before this one
        self._frames = 0

    @property
    def time_s(self) -> float:
        """Seconds of sound taken in since the stream began."""
        return self._before_s + (self._frames / self._format[0] if self._format else 0.0)

    def decode(self, audio: bytes, rate: Any, width: Any, channels: Any) -> Samples:
        """The samples that can be told after these bytes, with full scale 1.0.

        rate in Hz, width in bytes a sample. A new format within a stream begins a new resampler.
        Raises InputError for a format that is not supported.
        """
        pieces = map(to_float32, self.pieces(audio, rate, width, channels))
        return np.concatenate([*pieces, np.zeros(0, np.float32)])

    def pieces(self, audio: bytes, rate: Any, width: Any, channels: Any) -> Iterator[Pcm]:
        """As `decode`, but bit by bit: so much at a time as 0.1 s of sound gives.

        What is 16-bit samples of one channel at 16 kHz already comes as it is, in int16. The whole
        of it has to be taken before the next chunk.
        """
        if (rate, width, channels) != self._format:
            resampler = self._make_resampler(rate, width, channels)
            yield self._tail()
            self._resampler = resampler
            self._mixer = Mixer(channels, self._channel, rate, self._name, self._on_note)
            self._before_s, self._frames = self.time_s, 0
            self._format = (rate, width, channels)
            self._rest = b""
        data = self._rest + audio
        frame = width * channels
        whole = len(data) - len(data) % frame
        self._rest = data[whole:]
        step = max(1, round(rate * _PART_S)) * frame
        for at in range(0, whole, step):
            part = data[at : min(at + step, whole)]
            self._frames += len(part) // frame
            if self._format == _PLAIN:
                yield np.frombuffer(part, "<i2").astype(np.int16, copy=False)
                continue
            frames = _to_float32(part, width).reshape(-1, channels)
            yield self._resampler.process(self._mixer.mix(frames))

    def finish(self) -> Samples:
        """The tail that the resampler held back; the stream is over."""
        tail = self._tail()
        self.reset()
        return tail

    def _tail(self) -> Samples:
        nothing = np.zeros(0, np.float32)
        if self._format is None:
            return nothing
        self._mixer.judge()
        return self._resampler.process(nothing, last=True)

    def _make_resampler(self, rate: Any, width: Any, channels: Any) -> Resampler:
        if type(width) is not int or width not in WIDTHS:
            raise InputError(f"width: need 1, 2, 3 or 4 bytes a sample, got {width!r:.80}")
        if type(channels) is not int or not 1 <= channels <= MOST_CHANNELS:
            raise InputError(f"channels: need 1 to {MOST_CHANNELS}, got {channels!r:.80}")
        if self._channel is not None and self._channel > channels:
            raise InputError(
                f"channel {self._channel}: need sound with that channel, got {channels} "
                f"channel{'s' if channels > 1 else ''}; choose one of those that are there"
            )
        try:
            if checked_rate(rate) < LOWEST_RATE_HZ:
                raise ParameterError(
                    f"sample rate: need {LOWEST_RATE_HZ} Hz or more of speech, got {rate}; "
                    "give the rate the audio was recorded at"
                )
            return Resampler(rate)
        except ParameterError as error:
            raise InputError(str(error)) from error


def _to_float32(data: bytes, width: int) -> Samples:
    """Whole samples, full scale 1.0: exact but for the last bits of 32."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * np.float32(2.0**-7)
    if width == 3:  # the upper three bytes of four
        four = np.zeros((len(data) // 3, 4), np.uint8)
        four[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, width = four.tobytes(), 4
    whole = np.frombuffer(data, f"<i{width}").astype(np.float32)
    return whole * np.float32(2.0 ** (1 - 8 * width))
