"""Recorded files, in bounded memory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio.headers import OpenEnded, inspect_header
from kws_stream.audio.mix import mix_down
from kws_stream.audio.resample import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, Resampler
from kws_stream.audio.source import Pcm
from kws_stream.errors import AudioError, InputError, TruncatedAudioError

_BLOCK_SAMPLES = 1 << 18  # over all channels: 1 MiB of float32 at a time
_UNKNOWN_FRAMES = 1 << 62  # libsndfile gives 2^63 - 1 for a stream that does not know its length


def _reason(error: Exception) -> str:
    """libsndfile's own words, without its punctuation."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").strip(" .")


class FileSource:
    """A file that libsndfile reads: wav, flac, ogg, opus, mp3, aiff; any depth, rate and channels.

    A mono 16 kHz file passes unchanged; other rates go through soxr in float32 and channels are
    averaged. Files cut short are noticed where something tells: the sizes in a WAV, AIFF or MP3
    (Xing) header, the number of samples in a FLAC header, the end-of-stream flag of the last Ogg
    page; other formats just end. A WAV or FLAC that was written to a pipe, whose header does not
    know its length, reads to its end.

    Attributes: name (the path as given), rate_hz, channels, duration_s (None if unknown).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the file.

        Raises AudioError for a missing, unreadable or empty file, a folder, anything that is not
        audio, and a file without samples; TruncatedAudioError if that is because it was cut.
        """
        self.name = os.fspath(path)
        self._check_regular()
        try:
            header = inspect_header(Path(path))
        except OSError as error:
            raise AudioError(
                f"{self.name}: need a readable audio file, got {error.strerror}; "
                "check its permissions"
            ) from error
        self._cut = header.cut
        self._faulty = ""
        self._patched: OpenEnded | None = None
        self._file = self._open(header.zero_size_at)
        self.rate_hz = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        frames = int(self._file.frames)
        known = frames < _UNKNOWN_FRAMES
        self.duration_s = frames / self.rate_hz if known and self.rate_hz > 0 else None
        self._flac_frames = frames if known and self._file.format == "FLAC" else 0
        try:
            self._check_content(frames)
        except AudioError:
            self.close()
            raise

    def _check_regular(self) -> None:
        try:
            status = os.stat(self.name)
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            raise AudioError(
                f"{self.name!r:.300}: need an audio file, got {getattr(error, 'strerror', error)}; "
                "check the path"
            ) from error
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{self.name}: need an audio file, got a folder; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(
                f"{self.name}: need a file on disk, got a pipe or device; "
                'send raw 16-bit PCM to "-" instead'
            )
        if status.st_size == 0:
            raise AudioError(f"{self.name}: need audio, got a file of 0 bytes; record it again")

    def _open(self, zero_size_at: int | None) -> Any:
        import soundfile

        try:
            if zero_size_at is not None:
                self._patched = OpenEnded(self.name, zero_size_at)
            # bytes, for names that are no text; Windows has no such names
            path = self.name if os.name == "nt" else os.fsencode(self.name)
            file = soundfile.SoundFile(self._patched or path)
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a name in ".raw"
            if self._patched is not None:
                self._patched.close()
            if self._cut:
                raise TruncatedAudioError(
                    f"{self.name}: {self._cut}, and nothing before the cut can be decoded; "
                    "get the whole file"
                ) from error
            raise AudioError(
                f"{self.name}: need an audio file (wav, flac, ogg, opus, mp3), got something "
                f"libsndfile cannot read ({_reason(error)}); check or convert it"
            ) from error
        # A file that can seek is re-seeked by soundfile after every read, which fails at the end
        # of a FLAC that does not know its length and loses the last block.
        file.seekable = lambda: False
        return file

    def _check_content(self, frames: int) -> None:
        if not LOWEST_RATE_HZ <= self.rate_hz <= HIGHEST_RATE_HZ:
            raise AudioError(
                f"{self.name}: need a sample rate of {LOWEST_RATE_HZ}..{HIGHEST_RATE_HZ} Hz, "
                f"got {self.rate_hz} Hz; correct the header or convert the file"
            )
        if frames == 0:
            if self._cut:
                raise TruncatedAudioError(
                    f"{self.name}: {self._cut}, and no sample came before the cut; "
                    "get the whole file"
                )
            raise AudioError(f"{self.name}: need audio, got a file of 0 samples; record it again")

    def blocks(self) -> Iterator[Pcm]:
        """float32 blocks of about a second, once.

        Raises InputError for NaN or infinite samples, with their time, and TruncatedAudioError
        after everything that could be read of a file that was cut short or is damaged.
        """
        resampler = Resampler(self.rate_hz)
        size = max(1, min(self.rate_hz, _BLOCK_SAMPLES // self.channels))
        done = 0
        while len(frames := self._read(size, done)):
            self._check_finite(frames, done)
            done += len(frames)
            block = resampler.process(mix_down(frames))
            if len(block):
                yield block
        tail = resampler.process(np.zeros(0, np.float32), last=True)
        if len(tail):
            yield tail
        if done < self._flac_frames and not self._cut:
            self._cut = f"the header promises {self._flac_frames} samples and {done} could be read"
        if self._faulty and not self._cut:
            self._cut = f"the audio cannot be decoded to its end ({self._faulty})"
        if self._cut:
            raise TruncatedAudioError(
                f"{self.name}: {self._cut}; the {done / self.rate_hz:.3f} s before the cut "
                "were used, get the whole file"
            )
        if not done:
            raise AudioError(f"{self.name}: need audio, got a file of 0 samples; record it again")

    def _read(self, size: int, done: int) -> NDArray[np.float32]:
        """The next frames (n, channels), n <= size; n is 0 at the end and after a fault."""
        import soundfile

        frames = np.empty((size, self.channels), dtype=np.float32)
        try:
            got = len(self._file.read(out=frames))
        except soundfile.SoundFileError as error:
            # the frames before the fault are in the buffer; the decoder knows how many
            got = min(max(int(self._file.tell()) - done, 0), size)
            self._faulty = _reason(error)
        return frames[:got]

    def _check_finite(self, frames: NDArray[np.float32], done: int) -> None:
        if np.isfinite(frames).all():
            return
        row, channel = (int(i) for i in np.argwhere(~np.isfinite(frames))[0])
        raise InputError(
            f"{self.name}: need finite samples, got {frames[row, channel]} at "
            f"{(done + row) / self.rate_hz:.6f} s (channel {channel + 1}); repair the recording"
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._patched is not None:
            self._patched.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
