"""Streams as files: a 16-bit recording and its labels beside it."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kws_stream.arguments import path_text, writable_folder
from kws_stream.audio import to_int16
from kws_stream.audio.encoding import Writing
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError
from kws_stream.evaluation.sources import Recordings, Stream, checked_streams
from kws_stream.evaluation.streams import Word
from kws_stream.files import replacing, write
from kws_stream.workers import Progress, Workers


def check_save(folder: str | os.PathLike[str], count: int = 1) -> list[Path]:
    """The files of so many streams in a folder; raises DataError as `save_streams`, before work."""
    place = Path(path_text(folder, "a folder"))
    writable_folder(place)
    paths = [place / f"stream-{number}.flac" for number in range(1, count + 1)]
    for path in paths:
        if path.exists() or path.with_suffix(".json").exists():
            raise DataError(f"{path}: exists; need a folder without saved streams, name another")
    return paths


def save_streams(
    streams: Sequence[Stream],
    folder: str | os.PathLike[str],
    workers: Workers,
    about: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[Recordings]:
    """Write FOLDER/stream-1.flac and its labels stream-1.json, and so on; give the same streams,
    heard from these files.

    about: what else the labels say. Raises DataError for files that exist and where nothing can be
    written, and what the streams raise.
    """
    streams = checked_streams(streams)
    paths = check_save(folder, len(streams))
    Path(os.fsdecode(folder)).mkdir(parents=True, exist_ok=True)
    work = list(zip(streams, paths, strict=True))
    return list(workers.map(_Save(about or {}), work, progress=progress))


@dataclass(frozen=True)
class _Save:
    about: dict[str, Any]

    def __call__(self, stream_and_path: tuple[Stream, Path]) -> Recordings:
        """All of the recording or nothing of it."""
        import soundfile

        stream, path = stream_and_path
        try:
            with replacing(path) as plain:
                words = _encode(stream, plain)
                # before the recording: one without labels would be one without keywords
                labels = {"words": [vars(word) for word in words], **self.about}
                write(path.with_suffix(".json"), json.dumps(labels, indent=1) + "\n")
        except (OSError, soundfile.SoundFileError) as error:
            path.with_suffix(".json").unlink(missing_ok=True)
            raise DataError(f"{path}: cannot be written: {error}") from error
        return Recordings(str(path), (path,))


def _encode(stream: Stream, plain: IO[bytes]) -> list[Word]:
    """Write a stream's sound, however long, and give its words; raises OSError for a full disk."""
    import soundfile

    target = Writing(plain)
    words: list[Word] = []
    try:
        with soundfile.SoundFile(
            target, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16", format="FLAC"
        ) as file:
            for piece in stream.pieces():
                words += piece.words
                file.write(to_int16(piece.pcm))
    except (soundfile.SoundFileError, AssertionError):  # what it makes of too few bytes written
        if target.error is None:
            raise
    if target.error is not None:
        raise target.error
    return words
