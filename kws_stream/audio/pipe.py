"""Raw PCM from a pipe, as it comes."""

import operator
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np

from kws_stream.audio.formats import recognise, with_article
from kws_stream.audio.mix import Mixer, checked_channel
from kws_stream.audio.pcm import to_float32
from kws_stream.audio.resample import Resampler, checked_rate
from kws_stream.audio.source import Pcm
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import AudioError, ParameterError, TruncatedAudioError

_SAMPLE_BYTES = 2
_READ_BYTES = 1 << 16
_MOST_CHANNELS = 64


class PipeSource:
    """Little-endian int16 PCM from a binary stream such as `sys.stdin.buffer`.

    A live pipe is heard as promptly as its writer writes. The stream stays open: it belongs to
    the caller.
    """

    def __init__(
        self,
        stream: Any,
        rate: int = SAMPLE_RATE_HZ,
        channels: int = 1,
        name: str = "-",
        channel: int | None = None,
        on_note: Callable[[str], None] | None = None,
        to_hz: int = SAMPLE_RATE_HZ,
    ) -> None:
        """stream: anything with `read1` or `read`; rate in Hz; channels: interleaved.

        channel: the channel to hear, from 1; None for the mean of all. on_note: hears, in one
        sentence, that the mean is far weaker than a channel. to_hz: the rate that `blocks` gives.

        Raises ParameterError for a rate outside 10..768000 Hz, channels outside 1..64, a channel
        that is not there and what is no stream.
        """
        self.rate_hz, self.to_hz = checked_rate(rate), checked_rate(to_hz)
        try:
            self.channels = operator.index(channels)
        except TypeError:
            self.channels = 0
        if not 1 <= self.channels <= _MOST_CHANNELS:
            raise ParameterError(
                f"channels: need a whole number in 1..{_MOST_CHANNELS}, got {channels!r}; "
                "give the number of interleaved channels in the pipe"
            )
        self._channel, self._on_note = checked_channel(channel), on_note
        if self._channel is not None and self._channel > self.channels:
            raise ParameterError(
                f"channel {channel}: need a pipe with that channel, got {self.channels} "
                f"channel{'s' if self.channels > 1 else ''}; choose one of those that are there"
            )
        if not (hasattr(stream, "read") or hasattr(stream, "read1")):
            raise ParameterError(
                f"stream: need a binary stream such as sys.stdin.buffer, got {stream!r:.80}"
            )
        self.name = name
        self._stream = stream

    def blocks(self) -> Iterator[Pcm]:
        """int16 as it came where it is mono at that rate, else float32, mixed and resampled.

        Raises AudioError for an empty or unreadable pipe and for a file format in place of raw
        PCM, and TruncatedAudioError, after all whole frames, for a frame cut in two.
        """
        resampler = Resampler(self.rate_hz, self.to_hz)
        mixer = Mixer(self.channels, self._channel, self.rate_hz, self.name, self._on_note)
        frame_bytes = _SAMPLE_BYTES * self.channels
        untouched = self.channels == 1 and self.rate_hz == self.to_hz
        rest = b""
        total = 0
        for data in self._reads():
            total += len(data)
            rest += data
            whole = len(rest) - len(rest) % frame_bytes
            if not whole:
                continue
            pcm = np.frombuffer(rest[:whole], dtype="<i2").astype(np.int16, copy=False)
            rest = rest[whole:]
            if untouched:
                yield pcm
                continue
            frames = to_float32(pcm).reshape(-1, self.channels)
            block = resampler.process(mixer.mix(frames))
            if len(block):
                yield block
        if not total:
            raise AudioError(
                f"{self.name}: need raw little-endian 16-bit PCM from the pipe, got nothing; "
                "check the command before the pipe"
            )
        mixer.judge()
        tail = resampler.process(np.zeros(0, np.float32), last=True)
        if len(tail):
            yield tail
        if rest:
            raise TruncatedAudioError(
                f"{self.name}: need frames of {frame_bytes} bytes "
                f"(16-bit, {self.channels} channels), got {len(rest)} over at the end of "
                f"{total} bytes; the audio before the cut was used, check the format of the pipe"
            )

    def _reads(self) -> Iterator[bytes]:
        """The bytes as they come, but for a beginning that may yet be a file's."""
        # read1 returns what is there; read of a buffered stream would wait for a full buffer
        read = getattr(self._stream, "read1", None) or self._stream.read
        head: bytes | None = b""
        while True:
            try:
                data = read(_READ_BYTES)
            except OSError as error:
                raise AudioError(
                    f"{self.name}: need a readable pipe, got {error}; check its other end"
                ) from error
            if head is not None:
                head += data or b""
                kind = recognise(head)
                if data and kind is None:
                    continue
                if kind:
                    raise AudioError(
                        f"{self.name}: need raw 16-bit PCM, got {with_article(kind)} file; "
                        "give the file's path instead, or decode it before the pipe"
                    )
                if head:
                    yield head
                head = None
            elif data:
                yield data
            if not data:
                return

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
