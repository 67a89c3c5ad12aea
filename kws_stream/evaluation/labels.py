"""The words of a recording, from the label file beside it.

NAME.json for NAME.wav, with `words`, a list of objects with `word`, `start_s` and `end_s`. A label
that cannot be one of its recording is refused, with its file and line: a wrong label would be
counted against the model.
"""

import json
import json.scanner
import os
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

from kws_stream.arguments import path_text
from kws_stream.audio import FileSource
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError
from kws_stream.evaluation.streams import Word
from kws_stream.files import decoded

_scanner: Any = json.scanner

LONGEST_S = 30.0  # of a word or phrase; times in milliseconds or samples pass it at once
AFTER_END_S = 1.0  # a label may end so much after its recording, which may have cut the word short


def label_file(recording: Path) -> Path | None:
    """The label file beside a recording: NAME.json, or NAME.wav.json; None if there is none.

    A name in another case, or in another form of Unicode, will do.
    """
    own = recording.with_suffix(".json")
    if own.exists():
        return own
    try:
        beside = _json_files(recording.parent, os.stat(recording.parent).st_mtime_ns)
    except OSError:
        return None
    return beside.get(_plain(recording.stem)) or beside.get(_plain(recording.name))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


@lru_cache(maxsize=16)
def _json_files(folder: Path, changed_ns: int) -> dict[str, Path]:
    """The JSON files in a folder by their plain names, without the ending."""
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(".json"))
    return {_plain(name[: -len(".json")]): folder / name for name in names}


def read_labels(recording: Path) -> list[Word]:
    """The words spoken in a recording; none if no label file stands beside it.

    Raises DataError, with file and line, for a label file that is none and for times that are not
    seconds within the recording, ParameterError for a recording that is no path.
    """
    recording = Path(path_text(recording, "the path of a recording"))
    path = label_file(recording)
    if path is None:
        return []
    try:
        text = decoded(path.read_bytes())
        labels = json.loads(text)["words"]
        if not isinstance(labels, list):
            raise TypeError(f"words as {labels!r:.40}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(
            f"{path}: need an object whose words are objects with word, start_s and end_s{line}, "
            f"got: {error!r:.80}"
        ) from error
    words: list[Word] = []
    for label in labels:
        try:
            words.append(_word(label))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise DataError(
                f"{path}: need word, start_s and end_s, text and two numbers, in line "
                f"{_line(text, len(words))}, got {label!r:.80}"
            ) from error
    length_s = _length_s(recording, words)
    for number, word in enumerate(words):
        fault = _fault(word, length_s)
        if fault is not None:
            raise DataError(
                f"{path}: need {fault}, got {word.word!r:.40} from {word.start_s:g} to "
                f"{word.end_s:g} in line {_line(text, number)}; times are seconds from the start "
                "of the recording"
            )
    return words


def _word(label: Any) -> Word:
    """A label as a word; raises what wrong types raise."""
    name, start_s, end_s = label["word"], label["start_s"], label["end_s"]
    if not isinstance(name, str) or not name.strip():
        raise TypeError("need a word")
    if isinstance(start_s, bool) or isinstance(end_s, bool):
        raise TypeError("need times")
    return Word(name, float(start_s), float(end_s), label.get("clip"))


def _length_s(recording: Path, words: list[Word]) -> float:
    """Length of a recording in s; infinite where it is not there.

    From the header; where a label lies beyond that, from the sound, since headers may be wrong.
    """
    if not words or not recording.exists():
        return float("inf")
    with FileSource(recording) as source:
        known_s = source.duration_s
        if known_s is not None and all(_fault(word, known_s) is None for word in words):
            return known_s
        return sum(len(block) for block in source.blocks()) / SAMPLE_RATE_HZ


def _fault(word: Word, length_s: float) -> str | None:
    """What a word in a recording of that length would need; None if nothing is wrong."""
    if not 0 <= word.start_s <= word.end_s < float("inf"):
        return "0 <= start_s <= end_s"
    if word.start_s >= length_s or word.end_s > length_s + AFTER_END_S:
        return f"words within the recording's {length_s:.2f} s"
    if word.end_s - word.start_s > LONGEST_S:
        return f"words of {LONGEST_S:g} s at most"
    return None


def _line(text: str, number: int) -> int:
    """The line of a label file in which its label number `number`, from 0, begins."""
    starts: dict[int, int] = {}  # by the identity of the object that begins there
    decoder: Any = json.JSONDecoder()
    parse = decoder.parse_object

    def placed(text_and_end: tuple[str, int], *rest: Any) -> Any:
        value, end = parse(text_and_end, *rest)
        starts[id(value)] = text_and_end[1]
        return value, end

    decoder.parse_object = placed
    decoder.scan_once = _scanner.py_make_scanner(decoder)  # the quick one takes no other parser
    label = decoder.decode(text)["words"][number]
    return text.count("\n", 0, starts.get(id(label), 0)) + 1
