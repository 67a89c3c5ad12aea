"""Recordings as streams: files, folders of files, and the labels that stand beside them.

A label file stands beside its recording: NAME.json for NAME.wav, with `words`, a list of objects
with `word`, `start_s` and `end_s`. A recording without one holds no keywords.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio import FileSource
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError
from kws_stream.evaluation.speech_commands import SUFFIXES
from kws_stream.evaluation.streams import Word

AUDIO_SUFFIXES = (*SUFFIXES, ".mp3", ".aiff", ".aif")
STREAM_S = 3600.0  # files of a folder are joined until a stream is so long

Pcm = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """The next samples (n,) of a stream at 16 kHz.

    words: those whose labels come with this piece, on the stream's clock. file: begins with this
    piece; None within a file.
    """

    pcm: Pcm
    words: tuple[Word, ...] = ()
    file: str | None = None


class Stream(Protocol):
    """Sound that is heard from beginning to end with nothing reset; it can be pickled.

    source: what a person named to get it; several streams may come of one.
    """

    @property
    def source(self) -> str: ...

    def pieces(self) -> Iterator[Piece]:
        """The sound, in bounded pieces; the same each time."""
        ...


@dataclass(frozen=True)
class Recordings:
    """Files that are heard one after another, as one stream."""

    source: str
    files: tuple[Path, ...]

    def pieces(self) -> Iterator[Piece]:
        """Raises AudioError for a file that cannot be read, DataError for wrong labels."""
        samples = 0
        for path in self.files:
            start_s = samples / SAMPLE_RATE_HZ
            words = tuple(
                replace(word, start_s=word.start_s + start_s, end_s=word.end_s + start_s)
                for word in read_labels(path)
            )
            with FileSource(path) as source:
                yield Piece(np.zeros(0, np.float32), words, str(path))
                for block in source.blocks():
                    samples += len(block)
                    yield Piece(np.asarray(block, np.float32))


def streams_of(names: Sequence[str | Path]) -> list[Recordings]:
    """Streams of files and folders: a file is a stream of its own.

    The recordings in a folder and below it are heard one after another in the order of their
    names, as streams of about an hour: the file that completes the hour is the last of its stream.

    Raises DataError for a folder without recordings or that cannot be read, AudioError for a file
    in a folder that is no audio.
    """
    streams = []
    for name in map(Path, names):
        if name.is_dir():
            streams += [Recordings(str(name), files) for files in _by_the_hour(audio_below(name))]
        else:
            streams.append(Recordings(str(name), (name,)))
    return streams


def audio_below(folder: Path) -> list[Path]:
    """All recordings in a folder and below, in an order that does not depend on the machine."""
    if not folder.is_dir():
        raise DataError(f"{folder}: need a folder of recordings, got none; check the path")

    def give_up(error: OSError) -> None:
        raise DataError(
            f"{error.filename}: need a folder that can be read, got {error.strerror}; check its "
            "permissions"
        ) from error

    found = [
        Path(place, name)
        for place, _, names in os.walk(folder, onerror=give_up)
        for name in names
        if Path(name).suffix.lower() in AUDIO_SUFFIXES
        and not name.startswith(".")
        and not _is_trigger_without_label(Path(place, name))
    ]
    if not found:
        raise DataError(
            f"{folder}: need recordings ({', '.join(s[1:] for s in AUDIO_SUFFIXES)}), found none; "
            "name another folder"
        )
    return sorted(found)


def _is_trigger_without_label(path: Path) -> bool:
    """A trigger that `--keep-triggers` kept, of which nobody has said yet what was spoken."""
    if not path.name.startswith("trigger-"):
        return False
    try:
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "event" in record and record.get("words") is None


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


def read_labels(recording: Path) -> list[Word]:
    """The words spoken in a recording; none if no label file stands beside it.

    Raises DataError for a label file that is none.
    """
    path = recording.with_suffix(".json")
    if not path.exists():
        return []
    try:
        labels = json.loads(path.read_text("utf-8"))["words"]
        words = [
            Word(str(x["word"]), float(x["start_s"]), float(x["end_s"]), x.get("clip"))
            for x in labels
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: need an object whose words are objects with word, start_s and end_s, "
            f"got: {error!r:.80}"
        ) from error
    for word in words:
        if not 0 <= word.start_s <= word.end_s < float("inf"):
            raise DataError(
                f"{path}: need 0 <= start_s <= end_s, got {word.start_s} and {word.end_s}"
            )
    return words
