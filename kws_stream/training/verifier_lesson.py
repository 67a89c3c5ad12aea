"""What a head was taught from, kept in its run: it is taught again from it in seconds."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kws_stream.errors import DataError
from kws_stream.files import replacing
from kws_stream.training.verifier_speech import KINDS_HEARD, Windows, gather, real_files
from kws_stream.verifier import Graphs, SpeechEmbedding, find_graphs

LAYOUT = 1  # raised when the same recordings give other windows
NAME = "lesson.npz"  # in the folder of a run
_SIDES = ("windows", "held_out")
_PARTS = ("embeddings", *KINDS_HEARD)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a head is taught from, what its threshold is chosen on, and the embedding's graphs."""

    graphs: Graphs
    windows: Windows
    held_out: Windows

    def save(self, path: Path, about: str) -> None:
        """about: what it is made of."""
        arrays: dict[str, Any] = {
            f"{side}.{part}": getattr(getattr(self, side), part)
            for side in _SIDES
            for part in _PARTS
        }
        with replacing(path) as file:
            np.savez(file, about=np.array(about), **arrays)


def read_lesson(path: Path, graphs: Graphs, about: str | None = None) -> Lesson:
    """The lesson in a file; about: what it has to be made of, else anything with these graphs.

    Raises DataError for a file that holds none, or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            made_of = str(archive["about"])
            sides = [Windows(**{p: archive[f"{side}.{p}"] for p in _PARTS}) for side in _SIDES]
        same = json.loads(made_of)["graphs"] == graphs.checksums
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: need what a verifier of the kind host was taught from, as `train "
            f"--wake-phrase` leaves it in its run, got {error!s:.200}"
        ) from error
    if not same or about not in (None, made_of):
        raise DataError(f"{path}: need a lesson of these recordings and graphs, got another")
    return Lesson(graphs, *sides)


def prepare(
    speech: Path,
    data: Path | None,
    is_other: Callable[[str], bool],
    progress: Callable[[int, int], None] = lambda done, total: None,
    kept: Path | None = None,
) -> Lesson:
    """Embed the synthetic speech of a phrase, and real speech; arguments as of `gather`.

    kept: a file for it, from which it is read where the recordings are still the same. Raises
    MissingExtraError without the embedding.
    """
    graphs = find_graphs()
    about = _about(speech, data, is_other, graphs)
    if kept is not None:
        try:
            return read_lesson(kept, graphs, about)
        except DataError:  # none yet, or of other recordings
            pass
    windows, held_out = gather(SpeechEmbedding(graphs), speech, data, is_other, progress=progress)
    lesson = Lesson(graphs, windows, held_out)
    if kept is not None:
        lesson.save(kept, about)
    return lesson


def _about(speech: Path, data: Path | None, is_other: Callable[[str], bool], graphs: Graphs) -> str:
    real = hashlib.sha256()
    for path in real_files(data, is_other):
        found = path.stat()
        real.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    made = speech / "speech.json"
    return json.dumps(
        {
            "layout": LAYOUT,
            "speech": made.read_text("utf-8") if made.is_file() else None,
            "real": real.hexdigest(),
            "graphs": graphs.checksums,
        }
    )
