"""Recorded files, in bounded memory."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import path_text
from kws_stream.audio.decoding import CannotDecode, Decoder, NoPyAV, open_part
from kws_stream.audio.formats import ENOUGH, recognise, with_article
from kws_stream.audio.headers import inspect_file
from kws_stream.audio.mix import Mixer, checked_channel
from kws_stream.audio.resample import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, Resampler, checked_rate
from kws_stream.audio.source import Pcm
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import AudioError, InputError, TruncatedAudioError

_BLOCK_SAMPLES = 1 << 18  # over all channels: 1 MiB of float32 at a time


class FileSource:
    """A file that libsndfile or PyAV reads: any depth, rate and channels.

    libsndfile reads wav, flac, ogg, opus, mp3, aiff, caf, au and w64; for the rest, such as m4a,
    aac, mp4, webm and amr, PyAV is asked (extra `formats`). A mono file at the rate that is wanted
    passes unchanged; other rates go through soxr in float32, and channels are averaged unless one
    is chosen.

    All of a file is heard: files that were joined, links of an Ogg chain, what follows sizes that
    are of an earlier moment or were never written. Where something tells that a file was cut short
    or is damaged, that is raised after all that can be decoded: sizes of chunks, the byte count in
    a Xing header, the number of samples in a FLAC header, pages of Ogg, the length that an MP4 or
    Matroska tells; other formats just end.

    Attributes: name (the path as given), to_hz, rate_hz, channels (of the beginning of the file),
    duration_s (None if unknown).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        channel: int | None = None,
        on_note: Callable[[str], None] | None = None,
        *,
        mono_too: bool = False,
        to_hz: int = SAMPLE_RATE_HZ,
    ) -> None:
        """Opens the file.

        channel: the channel to hear, from 1; None for the mean of all. on_note: hears, in one
        sentence, that the mean is far weaker than a channel. mono_too: a file of one channel is
        heard whatever channel was chosen. to_hz: the rate that `blocks` gives.

        Raises AudioError for what is no path, a missing, unreadable or empty file, a folder,
        anything that is not audio, a file without samples, and one without the channel;
        TruncatedAudioError if that is because it was cut; ParameterError for a channel that is no
        whole number from 1, and for a rate outside 10..768000 Hz.
        """
        self.to_hz = checked_rate(to_hz)
        self.name = path_text(path, "the path of an audio file", AudioError)
        self._channel, self._on_note = checked_channel(channel), on_note
        self._mono_too = mono_too
        self._check_regular()
        try:
            found = inspect_file(Path(self.name))
        except OSError as error:
            raise AudioError(
                f"{self.name}: need a readable audio file, got {error.strerror}; "
                "check its permissions"
            ) from error
        self._cut, self._damage = found.cut, found.damage
        self._parts = list(found.parts)
        self._mixing: Mixer | None = None
        self._decoder: Decoder | None = self._open()
        self.rate_hz, self.channels = self._decoder.rate_hz, self._decoder.channels
        frames = self._decoder.frames
        whole = not self._parts and frames is not None and self.rate_hz > 0
        self.duration_s = frames / self.rate_hz if whole and frames is not None else None
        try:
            self._check_content()
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

    def _open(self) -> Decoder:
        """The decoder of the next part."""
        part = self._parts.pop(0)
        try:
            return open_part(self.name, part)
        except CannotDecode as error:
            if self._cut:
                raise TruncatedAudioError(
                    f"{self.name}: {self._cut}, and nothing before the cut can be decoded; "
                    "get the whole file"
                ) from error
            with open(self.name, "rb") as file:
                kind = recognise(file.read(ENOUGH))
            got = f"{with_article(kind)} file" if kind else "something"
            if isinstance(error, NoPyAV):
                raise AudioError(
                    f"{self.name}: need an audio file, got {got} that libsndfile cannot read "
                    f"({error}); check or convert it; m4a, aac, mp4, webm and other formats need: "
                    "pip install 'kws-stream[formats]'"
                ) from error
            raise AudioError(
                f"{self.name}: need an audio file (wav, flac, ogg, opus, mp3, m4a), got {got} that "
                f"cannot be read ({error}); check or convert it"
            ) from error

    def _check_content(self) -> None:
        if not LOWEST_RATE_HZ <= self.rate_hz <= HIGHEST_RATE_HZ:
            raise AudioError(
                f"{self.name}: need a sample rate of {LOWEST_RATE_HZ}..{HIGHEST_RATE_HZ} Hz, "
                f"got {self.rate_hz} Hz; correct the header or convert the file"
            )
        self._mixer()
        if self.duration_s == 0:
            if self._cut:
                raise TruncatedAudioError(
                    f"{self.name}: {self._cut}, and no sample came before the cut; "
                    "get the whole file"
                )
            raise AudioError(f"{self.name}: need audio, got a file of 0 samples; record it again")

    def _mixer(self) -> Mixer:
        """For the present number of channels."""
        channel, channels = self._channel, self.channels
        if channel is not None and channels == 1 and self._mono_too:
            channel = None
        if channel is not None and channel > channels:
            raise AudioError(
                f"{self.name}: need a file with a channel {channel}, got {channels} "
                f"channel{'s' if channels > 1 else ''}; choose one of those that are there"
            )
        return Mixer(channels, channel, self.rate_hz, self.name, self._on_note)

    def blocks(self) -> Iterator[Pcm]:
        """float32 blocks of about a second, once.

        Raises InputError for NaN or infinite samples, with their time, and TruncatedAudioError
        after everything that could be read of a file that was cut short or is damaged.
        """
        resampler = Resampler(self.rate_hz, self.to_hz)
        mixer = self._mixing = self._mixer()
        heard_s = 0.0
        for frames, rate_hz in self._frames():
            if (rate_hz, frames.shape[1]) != (self.rate_hz, self.channels):
                mixer.judge()
                tail = resampler.process(np.zeros(0, np.float32), last=True)
                if len(tail):
                    yield tail
                self.rate_hz, self.channels = rate_hz, frames.shape[1]
                self._check_content()
                resampler = Resampler(rate_hz, self.to_hz)
                mixer = self._mixing = self._mixer()
            self._check_finite(frames, heard_s)
            heard_s += len(frames) / rate_hz
            block = resampler.process(mixer.mix(frames))
            if len(block):
                yield block
        mixer.judge()
        tail = resampler.process(np.zeros(0, np.float32), last=True)
        if len(tail):
            yield tail
        if self._cut:
            raise TruncatedAudioError(
                f"{self.name}: {self._cut}; the {heard_s:.3f} s before the cut "
                "were used, get the whole file"
            )
        if self._damage:
            raise TruncatedAudioError(
                f"{self.name}: {self._damage}; the {heard_s:.3f} s that can be decoded were used, "
                "get an intact copy"
            )
        if not heard_s:
            raise AudioError(f"{self.name}: need audio, got a file of 0 samples; record it again")

    def _frames(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Frames (n, channels) of all parts, about a second at a time, and their rate in Hz.

        What is wrong with the file is noted on the way.
        """
        while self._decoder is not None:
            decoder, done = self._decoder, 0
            while True:
                size = max(1, min(decoder.rate_hz, _BLOCK_SAMPLES // max(1, decoder.channels)))
                frames = decoder.read(size)
                if not len(frames):
                    break
                done += len(frames)
                yield frames, decoder.rate_hz
            if not (self._cut or self._damage):
                if decoder.frames is not None and done < decoder.frames:
                    self._cut = (
                        f"the header promises {decoder.frames} samples and {done} could be read"
                    )
                elif decoder.fault:
                    self._cut = f"the audio cannot be decoded to its end ({decoder.fault})"
                elif decoder.damage:
                    self._damage = decoder.damage
            decoder.close()
            self._decoder = None
            if self._parts:
                try:
                    self._decoder = self._open()
                except AudioError as error:
                    self._damage = self._damage or f"a part of it is no audio ({error.__cause__})"

    def _check_finite(self, frames: NDArray[np.float32], before_s: float) -> None:
        if np.isfinite(frames).all():
            return
        row, channel = (int(i) for i in np.argwhere(~np.isfinite(frames))[0])
        raise InputError(
            f"{self.name}: need finite samples, got {frames[row, channel]} at "
            f"{before_s + row / self.rate_hz:.6f} s (channel {channel + 1}); repair the recording"
        )

    def close(self) -> None:
        """Close the file; `on_note` hears of what was heard so far."""
        if self._mixing is not None:
            self._mixing.judge()
        if self._decoder is not None:
            self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_whole(
    path: str | Path,
    channel: int | None = None,
    on_note: Callable[[str], None] | None = None,
    *,
    mono_too: bool = False,
    to_hz: int = SAMPLE_RATE_HZ,
    limit: int | None = None,
) -> NDArray[np.float32]:
    """Samples of a recording, float32, all or the first `limit`; the rest as of `FileSource`."""
    blocks, count = [np.zeros(0, np.float32)], 0
    with FileSource(path, channel, on_note, mono_too=mono_too, to_hz=to_hz) as source:
        for block in source.blocks():
            blocks.append(np.asarray(block, np.float32))
            count += len(block)
            if limit is not None and count >= limit:
                break
    return np.concatenate(blocks)[:limit]
