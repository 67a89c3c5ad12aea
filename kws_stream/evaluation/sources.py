"""Recordings as streams: files, folders of files, and the labels that stand beside them.

A recording without a label file (see `labels`) holds no keywords.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import paths_of
from kws_stream.audio import FileSource
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError, ParameterError
from kws_stream.evaluation.folders import SUFFIXES, Skipped, recordings_below
from kws_stream.evaluation.labels import read_labels
from kws_stream.evaluation.streams import Word

STREAM_S = 3600.0  # files of a folder are joined until a stream is so long

Pcm = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """The next samples (n,) of a stream.

    words: those whose labels come with this piece, on the stream's clock. file: begins with this
    piece; None within a file. notes: what should be said of the channels of its recordings.
    """

    pcm: Pcm
    words: tuple[Word, ...] = ()
    file: str | None = None
    notes: tuple[str, ...] = ()

    __repr__ = brief


class Stream(Protocol):
    """Sound that is heard from beginning to end with nothing reset; it can be pickled.

    source: what a person named to get it; several streams may come of one.
    """

    @property
    def source(self) -> str: ...

    def pieces(self, rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[Piece]:
        """The sound at that rate, in bounded pieces; the same each time."""
        ...


@dataclass(frozen=True)
class Recordings:
    """Files that are heard one after another, as one stream.

    channel: which is heard, from 1; None for the mean of all. mono_too: files of one channel are
    heard whatever channel was chosen.
    """

    source: str
    files: tuple[Path, ...]
    channel: int | None = None
    mono_too: bool = False

    __repr__ = brief

    def pieces(self, rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[Piece]:
        """Raises AudioError for a file that cannot be read, DataError for wrong labels."""
        samples = 0
        for path in self.files:
            start_s = samples / rate_hz
            words = tuple(
                replace(word, start_s=word.start_s + start_s, end_s=word.end_s + start_s)
                for word in read_labels(path)
            )
            notes: list[str] = []
            with FileSource(
                path, self.channel, notes.append, mono_too=self.mono_too, to_hz=rate_hz
            ) as source:
                yield Piece(np.zeros(0, np.float32), words, str(path))
                for block in source.blocks():
                    samples += len(block)
                    yield Piece(np.asarray(block, np.float32))
            if notes:
                yield Piece(np.zeros(0, np.float32), notes=tuple(notes))


def streams_of(
    names: Sequence[str | Path] | str | Path,
    skipped: Skipped | None = None,
    channel: int | None = None,
    *,
    mono_too: bool = False,
) -> list[Recordings]:
    """Streams of files and folders: a file is a stream of its own.

    The recordings in a folder and below it are heard one after another in the order of their
    names, as streams of about an hour: the file that completes the hour is the last of its stream.
    names: one or several. skipped: gets the files in folders that are no recordings (see
    `folders`). channel, mono_too: as of `Recordings`.

    Raises DataError for a folder without recordings or that cannot be read, AudioError for a file
    in a folder that is no audio.
    """
    streams = []
    for name in paths_of(names, "the path of a recording or folder"):
        if name.is_dir():
            files = audio_below(name, skipped)
            hours = list(_by_the_hour(files))
        else:
            hours = [(name,)]
        streams += [Recordings(str(name), some, channel, mono_too) for some in hours]
    return streams


def checked_streams(streams: object) -> list[Stream]:
    """Streams as a list; raises ParameterError for what is none."""
    several = isinstance(streams, Iterable) and not isinstance(streams, str | bytes)
    listed: list[Stream] = list(streams) if several else []  # type: ignore[call-overload]
    if not several or not all(hasattr(stream, "pieces") for stream in listed):
        raise ParameterError(
            f"streams: need streams, as `streams_of` gives of recordings, got {streams!r:.80}"
        )
    return listed


def audio_below(folder: Path, skipped: Skipped | None = None) -> list[Path]:
    """All recordings in a folder and below: `recordings_below`, of which there has to be one."""
    skipped = Skipped() if skipped is None else skipped
    found = recordings_below(folder, skipped)
    if not found:
        raise DataError(
            f"{folder}: need recordings ({', '.join(s[1:] for s in SUFFIXES)}), found none; "
            + "; ".join(["name another folder", *skipped.notes])
        )
    return found


def _by_the_hour(files: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    stream: list[Path] = []
    seconds = 0.0
    for path in files:
        stream.append(path)
        seconds += length_of(path) / SAMPLE_RATE_HZ
        if seconds >= STREAM_S:
            yield tuple(stream)
            stream, seconds = [], 0.0
    if stream:
        yield tuple(stream)


def length_of(path: Path) -> int:
    """Length of a recording in samples at 16 kHz."""
    with FileSource(path) as source:
        if source.duration_s is not None:
            return int(source.duration_s * SAMPLE_RATE_HZ)
        return sum(len(block) for block in source.blocks())
