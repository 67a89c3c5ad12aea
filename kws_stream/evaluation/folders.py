"""The recordings in folders, as every command that reads data sets finds them.

A recording is a file with an ending of `SUFFIXES`, in any case, that is not empty. Links are
followed, to files and to folders. What looks like a recording and is none is left out and told:
hidden files (such as the ._x.wav that macOS writes beside x.wav), empty ones, folders named x.wav,
links to nothing, unfinished or damaged triggers, and files that nobody expects beside recordings.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kws_stream.brief import brief
from kws_stream.errors import DataError, ParameterError
from kws_stream.names import folded, known_name

# what libsndfile reads, then what needs the extra `formats`
SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc"),
    *(".caf", ".au", ".w64", ".rf64"),
    *(".m4a", ".aac", ".mp4", ".mka", ".webm", ".amr", ".wma"),
)
# what people keep beside recordings: labels, lists, notes
_COMPANIONS = {"", ".json", ".txt", ".md", ".csv", ".tsv", ".yaml", ".yml", ".html", ".toml"}
_COMPANIONS |= {".gz", ".tgz", ".zip"}  # the archive that a data set came in
_TRIGGER = re.compile(r"trigger-\d{8}T\d{12}-.*\.wav")  # as `--keep-triggers` names them


@dataclass
class Skipped:
    """Files that were left out, and why; a reader adds to it, a command tells it."""

    found: dict[Path, str] = field(default_factory=dict)

    __repr__ = brief

    def add(self, path: Path, why: str) -> None:
        self.found.setdefault(path, why)

    @property
    def notes(self) -> list[str]:
        """One sentence with their number and the first of them; none where there are none."""
        if not self.found:
            return []
        path, why = next(iter(self.found.items()))
        if len(self.found) == 1:
            return [f"1 file was left out: {path} ({why})"]
        return [f"{len(self.found)} files were left out, the first of them {path} ({why})"]


def recordings_below(folder: Path, skipped: Skipped | None = None) -> list[Path]:
    """The recordings in a folder and below, in an order that does not depend on the machine.

    None where there are none. Raises DataError for no folder, and for one that cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: need a folder of recordings, got none; check the path")
    return sorted(_walk(folder, Skipped() if skipped is None else skipped, ()))


def words_below(folder: Path, skipped: Skipped | None = None) -> dict[str, list[Path]]:
    """The recordings below a folder by the name of its folder that they are in, in order.

    Those right in the folder have the name "". Errors as of `recordings_below`.
    """
    words: dict[str, list[Path]] = {}
    for path in recordings_below(folder, skipped):
        parts = path.relative_to(folder).parts
        words.setdefault(parts[0] if len(parts) > 1 else "", []).append(path)
    return words


def folder_of(place: Path, name: str) -> Path:
    """PLACE/name, or the folder beside it whose name means the same where that is not there."""
    exact = place / name
    if exact.is_dir() or not place.is_dir():
        return exact
    mark = folded(name)
    alike = [path for path in place.iterdir() if folded(path.name) == mark and path.is_dir()]
    return min(alike, default=exact)


def by_known_word(
    words: Mapping[str, list[Path]], known: Iterable[str]
) -> tuple[dict[str, list[Path]], list[str]]:
    """Recordings under the known words that their folders' names mean, and a note for each other.

    A folder "Yes" holds recordings of "yes"; beside a folder "yes" they are joined. Raises
    DataError for a name that may mean several.
    """
    known = list(known)
    joined: dict[str, list[Path]] = {}
    notes = []
    for name, paths in words.items():
        try:
            word = known_name(name, known)
        except ParameterError as error:
            raise DataError(f"folders of words: {error}") from error
        if word != name:
            notes.append(f"the folder {name!r:.60} was read as {word!r}")
        joined[word] = sorted([*joined.get(word, ()), *paths])
    return joined, notes


def _walk(folder: Path, skipped: Skipped, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    """above: the folders that lead here, so that a link to one of them ends there."""
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{error.filename}: need a folder that can be read, got {error.strerror}; check its "
            "permissions"
        ) from error
    here = (*above, (status.st_dev, status.st_ino))
    for entry in entries:
        path = folder / entry.name
        if _is_folder(entry):
            inner = path.stat()
            if entry.name.startswith("."):
                continue
            if (inner.st_dev, inner.st_ino) in here:
                skipped.add(path, "a link to a folder that it is in")
            elif path.suffix.lower() in SUFFIXES:
                skipped.add(path, "a folder")
            else:
                yield from _walk(path, skipped, here)
            continue
        why = _why_not(entry, path)
        if why is None:
            yield path
        elif why:
            skipped.add(path, why)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _why_not(entry: "os.DirEntry[str]", path: Path) -> str | None:
    """Why a file is no recording; "" for one that needs no telling, None for a recording."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return "" if entry.name.startswith(".") or suffix in _COMPANIONS else "no recording"
    if entry.name.startswith("._"):
        return "notes of macOS about another file"
    if entry.name.startswith("."):
        return "a hidden file"
    try:
        if not entry.is_file():
            return "no plain file" if path.exists() else "a link to nothing"
        if entry.stat().st_size == 0:
            return "an empty file"
    except OSError as error:
        return str(error.strerror)
    return _why_no_trigger(path) if _TRIGGER.fullmatch(entry.name) else None


def _why_no_trigger(path: Path) -> str | None:
    """As `_why_not`, of what `--keep-triggers` kept: it counts once somebody labelled it."""
    if path.name.endswith(".part.wav"):
        return "an unfinished trigger"
    try:
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except FileNotFoundError:
        return "a trigger without its record"
    except (OSError, ValueError, RecursionError):
        return "a trigger with a damaged record"
    if not isinstance(record, dict) or "event" not in record:
        return "a trigger with a damaged record"
    return "" if record.get("words") is None else None
