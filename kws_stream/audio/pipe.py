"""Raw PCM from a pipe, as it comes."""

import operator
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from kws_stream.audio.mix import mix_down
from kws_stream.audio.pcm import to_float32
from kws_stream.audio.resample import Resampler, checked_rate
from kws_stream.audio.source import Pcm
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import AudioError, ParameterError, TruncatedAudioError

_SAMPLE_BYTES = 2
_READ_BYTES = 1 << 16
_MOST_CHANNELS = 64
_CONTAINERS = {b"RIFF": "WAV", b"RF64": "WAV", b"FORM": "AIFF", b"fLaC": "FLAC", b"OggS": "Ogg"}


class PipeSource:
    """Little-endian int16 PCM from a binary stream such as `sys.stdin.buffer`.

    A live pipe is heard as promptly as its writer writes. The stream stays open: it belongs to
    the caller.
    """

    def __init__(
        self, stream: Any, rate: int = SAMPLE_RATE_HZ, channels: int = 1, name: str = "-"
    ) -> None:
        """stream: anything with `read1` or `read`; rate in Hz; channels interleaved, mixed.

        Raises ParameterError for a rate outside 1000..768000 Hz or channels outside 1..64.
        """
        self.rate_hz = checked_rate(rate)
        try:
            self.channels = operator.index(channels)
        except TypeError:
            self.channels = 0
        if not 1 <= self.channels <= _MOST_CHANNELS:
            raise ParameterError(
                f"channels: need a whole number in 1..{_MOST_CHANNELS}, got {channels!r}; "
                "give the number of interleaved channels in the pipe"
            )
        self.name = name
        self._stream = stream

    def blocks(self) -> Iterator[Pcm]:
        """int16 as it came where it is mono at 16 kHz, else float32, mixed and resampled.

        Raises AudioError for an empty or unreadable pipe and for a file format in place of raw
        PCM, and TruncatedAudioError, after all whole frames, for a frame cut in two.
        """
        resampler = Resampler(self.rate_hz)
        frame_bytes = _SAMPLE_BYTES * self.channels
        untouched = self.channels == 1 and self.rate_hz == SAMPLE_RATE_HZ
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
            block = resampler.process(mix_down(frames))
            if len(block):
                yield block
        if not total:
            raise AudioError(
                f"{self.name}: need raw little-endian 16-bit PCM from the pipe, got nothing; "
                "check the command before the pipe"
            )
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
        """The bytes as they come; the first read holds at least the 4 that name a file format."""
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
                if data and len(head) < 4:
                    continue
                if head[:4] in _CONTAINERS:
                    raise AudioError(
                        f"{self.name}: need raw 16-bit PCM, got a {_CONTAINERS[head[:4]]} file; "
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
