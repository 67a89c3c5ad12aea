"""Decoders: libsndfile for what it reads, PyAV (FFmpeg) for what it cannot."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio.parts import Part
from kws_stream.audio.quiet import libmpg123_caught
from kws_stream.audio.view import View

Frames = NDArray[np.float32]

_UNKNOWN_FRAMES = 1 << 40  # libsndfile gives 2^63 - 1, or makes the most of a file without an end
_UNREAD_S = 0.5  # of sound that a decoder leaves over where nothing else tells that it is whole
_UNREAD_BYTES = 4096
# What FFmpeg may take a file for: those that hold sound of their own. Play lists, which name other
# files and addresses, are not among them.
_CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,matroska,webm,mov,"
    "mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,nut,ogg,oma,rm,shn,sox,spdif,swf,tak,tta,voc,"
    "w64,wav,wv,xwma"
)
_TELLS_LENGTH = ("mov", "matroska", "asf", "avi", "wv", "ape", "tta", "wav", "w64", "caf")
_LENGTH_S = 0.25  # by which a container's own length may be off: padding of a codec's frames


class CannotDecode(Exception):
    """A decoder cannot make anything of a file; the text says why."""


class NoPyAV(CannotDecode):
    """The package that would read the file is not installed."""


class Decoder(Protocol):
    """Frames of a part of a file, from its beginning to its end.

    rate_hz: of what `read` gave last, or will give first. format: of the file. frames: how many the
    header promises, None if it does not. fault: why reading stopped before the end, or empty.
    damage: what in between cannot be decoded, or empty.
    """

    rate_hz: int
    channels: int
    format: str
    frames: int | None
    fault: str
    damage: str

    def read(self, size: int) -> Frames:
        """The next frames (n, channels), n <= size; n is 0 at the end and after a fault."""
        ...

    def close(self) -> None: ...


def open_part(name: str, part: Part) -> Decoder:
    """Whatever reads it: libsndfile, else PyAV.

    Raises CannotDecode with libsndfile's reason, NoPyAV where PyAV is missing.
    """
    try:
        return SndfileDecoder(name, part)
    except CannotDecode as refusal:
        try:
            return PyAVDecoder(View(name, part.start, part.stop, part.changed))
        except NoPyAV as missing:
            raise NoPyAV(str(refusal)) from missing
        except CannotDecode as other:
            raise CannotDecode(f"libsndfile: {refusal}; PyAV: {other}") from other


def reason_of(error: Exception) -> str:
    """The library's own words: libsndfile's without its punctuation, FFmpeg's without numbers."""
    words = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
    return str(words).removeprefix("Error : ").strip(" .")


class SndfileDecoder:
    """libsndfile: wav, flac, ogg, opus, mp3, aiff, caf, au, w64 and some of their time."""

    def __init__(self, name: str, part: Part) -> None:
        self._view: View | None = None
        self._part = part
        self._open(name, endless=False)
        self.format = str(self._file.format)
        if self.format == "MP3" and not part.checked:
            self.close()
            self._open(name, endless=True)
        self.rate_hz = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        frames = int(self._file.frames)
        self.frames = frames if frames < _UNKNOWN_FRAMES else None
        if str(self._file.subtype).startswith("MPEG") and (
            self.format != "MP3" or not part.checked
        ):
            self.frames = None  # an estimate
        elif part.frames is not None:
            self.frames = part.frames or None
        self._done = 0
        self.fault = ""
        self.damage = ""

    def _open(self, name: str, endless: bool) -> None:
        import soundfile

        part = self._part
        whole = part.start == 0 and part.stop == os.path.getsize(name) and not part.changed
        if not whole or not part.checked:
            self._view = View(name, part.start, part.stop, part.changed, endless)
        # bytes, for names that are no text; Windows has no such names
        path = name if os.name == "nt" else os.fsencode(name)
        try:
            with libmpg123_caught():
                self._file = soundfile.SoundFile(self._view or path)
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a name in ".raw"
            if self._view is not None:
                self._view.close()
            raise CannotDecode(reason_of(error)) from error
        # A file that can seek is re-seeked by soundfile after every read, which fails at the end
        # of a FLAC that does not know its length and loses the last block.
        self._file.seekable = lambda: False

    def read(self, size: int) -> Frames:
        import soundfile

        frames = np.empty((size, self.channels), dtype=np.float32)
        told: contextlib.AbstractContextManager[list[str]] = contextlib.nullcontext([])
        if str(self._file.subtype).startswith("MPEG"):
            told = libmpg123_caught()
        try:
            with told as errors:
                got = len(self._file.read(out=frames))
        except soundfile.SoundFileError as error:
            # the frames before the fault are in the buffer; the decoder knows how many
            got = min(max(int(self._file.tell()) - self._done, 0), size)
            # beyond the number that is promised there is no sound, but what follows a file
            if self._done + got != self._part.frames or not self._part.frames:
                self.fault = reason_of(error)
        if errors:
            self.damage = (
                self.damage or f"an MPEG frame cannot be decoded ({errors[0].strip(' .!')})"
            )
        self._done += got
        if not got and not self.fault:
            self.fault = self._unread()
        return frames[:got]

    def _unread(self) -> str:
        """What is left over, where the sizes in the file were not compared with it."""
        view = self._view
        if view is None or self._part.checked or not self._done:
            return ""
        left = view.position < self._part.stop and self._part.stop - view.position
        bytes_a_second = view.position / self._done * self.rate_hz
        if left <= max(_UNREAD_BYTES, _UNREAD_S * bytes_a_second):
            return ""
        return f"the decoder stopped at byte {view.position} of {self._part.stop}"

    def close(self) -> None:
        self._file.close()
        if self._view is not None:
            self._view.close()


class PyAVDecoder:
    """PyAV, which brings FFmpeg: m4a, aac, mp4, matroska, webm, amr, wma and many more."""

    def __init__(self, file: io.FileIO) -> None:
        """file: open, read and closed by this. Raises CannotDecode, NoPyAV without the package."""
        self._input = file
        try:
            import av
        except ImportError as error:
            file.close()
            raise NoPyAV("PyAV is not installed") from error
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": ""}
        try:
            self._container: Any = av.open(
                file, metadata_errors="ignore", container_options=options
            )
        except (av.FFmpegError, ValueError) as error:
            file.close()
            raise CannotDecode(reason_of(error)) from error
        stream = self._container.streams.best("audio")
        if stream is None:
            self.close()
            raise CannotDecode("there is no sound in it")
        self.format = str(self._container.format.name).partition(",")[0]
        self.frames: int | None = None
        self.fault = self.damage = ""
        self._errors = av.FFmpegError
        self._promised_s = self._length_s(stream)
        self._heard_s = 0.0
        self._frames = self._decoded(stream)
        self._next: tuple[int, Frames] | None = next(self._frames, None)
        if self._next is None:
            self.close()
            raise CannotDecode(self.fault or "there is no sound in it")
        self.rate_hz, first = self._next
        self.channels = first.shape[1]

    def _length_s(self, stream: Any) -> float:
        """The length that the container tells; 0 where it tells none or FFmpeg estimates it."""
        if self.format not in _TELLS_LENGTH:
            return 0.0
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        if len(self._container.streams) > 1:  # the whole may be longer than its sound
            return 0.0
        late = float((stream.start_time or 0) * stream.time_base)
        return (self._container.duration or 0) / 1e6 - max(0.0, late)

    def _decoded(self, stream: Any) -> Iterator[tuple[int, Frames]]:
        try:
            for frame in self._container.decode(stream):
                frames = _as_float32(frame)
                if len(frames):
                    self._heard_s += len(frames) / frame.sample_rate
                    yield int(frame.sample_rate), frames
        except self._errors as error:
            self.fault = reason_of(error)
        if not self.fault and self._heard_s < self._promised_s - _LENGTH_S:
            self.fault = (
                f"the header promises {self._promised_s:.3f} s and {self._heard_s:.3f} s are there"
            )

    def read(self, size: int) -> Frames:
        parts: list[Frames] = []
        count = 0
        while self._next is not None:
            rate_hz, frames = self._next
            form = (rate_hz, frames.shape[1])
            if parts and form != (self.rate_hz, self.channels):
                break
            self.rate_hz, self.channels = form
            taken = frames[: size - count]
            parts.append(taken)
            count += len(taken)
            left = frames[len(taken) :]
            self._next = (rate_hz, left) if len(left) else next(self._frames, None)
            if count == size:
                break
        return np.concatenate(parts) if parts else np.zeros((0, self.channels), np.float32)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # a container that never opened
            self._container.close()
        self._input.close()


def _as_float32(frame: Any) -> Frames:
    """An audio frame of PyAV as (n, channels), full scale 1.0."""
    samples = frame.to_ndarray()
    channels = len(frame.layout.channels)
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, channels)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples * 2.0 ** (1 - 8 * samples.dtype.itemsize)
    return np.ascontiguousarray(samples, dtype=np.float32)
