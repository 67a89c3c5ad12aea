"""Google Speech Commands (Warden, arXiv:1804.03209, CC-BY-4.0): which clips a task scores.

Two layouts are read. Words as folders, as the data set comes, with an optional
`_background_noise_`; and the official test set, known by its folder `_unknown_` or `_silence_`.
"""

import hashlib
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from kws_stream.arguments import path_text, whole_number
from kws_stream.audio import FileSource
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError, ParameterError
from kws_stream.evaluation.folders import Skipped, by_known_word, words_below
from kws_stream.files import decoded
from kws_stream.names import folded

SPLITS = ("training", "validation", "testing")
HALVES = ("choosing", "reported")  # of a split's speakers
VALIDATION_PERCENT = 10.0  # the published split
TESTING_PERCENT = 10.0
MAX_CLIPS_PER_CLASS = 2**27 - 1  # MAX_NUM_WAVS_PER_CLASS of the published script

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
YES_OTHERS = ("no", "up", "down", "left", "right")  # with silence: the task of arXiv:2605.15216
WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward"),
    *("four", "go", "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on"),
    *("one", "right", "seven", "sheila", "six", "stop", "three", "tree", "two", "up", "visual"),
    *("wow", "yes", "zero"),
)  # all of version 2
TASKS = {"yes": ("yes", "other"), "v2-12": (*COMMANDS, "unknown", "silence"), "v2-35": WORDS}
TARGETS = {"yes": ("yes", *YES_OTHERS), "v2-12": COMMANDS, "v2-35": WORDS}  # words scored whole
EXTRA_SHARE = 10  # unknown and silence: each a tenth of the clips of the ten words

NOISE, SILENCE, UNKNOWN = "_background_noise_", "_silence_", "_unknown_"
CLIP_SAMPLES = SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Noise:
    """A second of a noise recording, snr_db below the clip that it is added to."""

    path: Path
    offset_s: float
    snr_db: float


@dataclass(frozen=True)
class Clip:
    """One second to score. label: its class in the task. word: its folder; `_silence_` for noise.

    offset_s: where the second begins in the recording; 0 but for segments of background noise.
    noise: what is added to it. channel: which is heard, from 1; None for the mean of all.
    """

    path: Path
    label: str
    word: str
    offset_s: float = 0.0
    noise: Noise | None = None
    channel: int | None = None


@dataclass(frozen=True)
class Selection:
    """The clips of a task. split: "all" for an official test set. notes: what was not as asked."""

    clips: tuple[Clip, ...]
    split: str
    notes: tuple[str, ...] = ()

    __repr__ = brief


def split_of(filename: str) -> str:
    """The official split of a clip: "training", "validation" or "testing".

    From the SHA-1 of the base name without `_nohash_...`, so that all clips of a speaker share a
    split: the function which_set of the data set's README.
    """
    percent = (
        _digest_of_speaker(filename) % (MAX_CLIPS_PER_CLASS + 1) * (100.0 / MAX_CLIPS_PER_CLASS)
    )
    if percent < VALIDATION_PERCENT:
        return "validation"
    if percent < VALIDATION_PERCENT + TESTING_PERCENT:
        return "testing"
    return "training"


def half_of(filename: str) -> str:
    """Which half of its split a clip's speaker belongs to: "choosing" or "reported".

    One half chooses among models, stages and settings; the other is looked at once for each model
    that is published, so that its figures do not flatter. Another bit of the SHA-1 that `split_of`
    takes the split from, so that all clips of a speaker share a half.
    """
    return HALVES[_digest_of_speaker(filename) >> 64 & 1]


def speaker_of(filename: str) -> str:
    """The speaker of a clip, as the data set names it: what comes before `_nohash_`."""
    return re.sub(r"_nohash_.*$", "", PurePath(filename).name)


def _digest_of_speaker(filename: str) -> int:
    speaker = speaker_of(filename).encode()
    return int(hashlib.sha1(speaker, usedforsecurity=False).hexdigest(), 16)


def select(
    folder: str | os.PathLike[str],
    task: str,
    split: str = "validation",
    seed: int = 0,
    half: str | None = None,
) -> Selection:
    """The clips that `task` scores; `seed` draws unknown words and noise.

    half: only the speakers of that half of the split (see `half_of`). docs/evaluation.md says which
    clips. Raises ParameterError for an unknown task, split or half and a seed below 0, and for a
    half of an official test set; DataError for a folder that is missing, unreadable, or without
    clips of the task's words.
    """
    if task not in TASKS:
        raise ParameterError(f"task: need one of {', '.join(TASKS)}, got {task!r}")
    if split not in SPLITS:
        raise ParameterError(f"split: need one of {', '.join(SPLITS)}, got {split!r}")
    seed = whole_number(seed, "seed", 0)
    if half is not None and half not in HALVES:
        raise ParameterError(f"half: need one of {', '.join(HALVES)}, got {half!r}")
    place = Path(path_text(folder, "a Speech Commands folder"))
    try:
        return _select(place, task, split, seed, half)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "text that is not UTF-8"
        raise DataError(
            f"{os.fspath(folder)}: need a readable Speech Commands folder, got {reason}; "
            "check the path and its permissions"
        ) from error


def _select(folder: Path, task: str, split: str, seed: int, half: str | None) -> Selection:
    skipped = Skipped()
    by_folder = words_below(folder, skipped)
    for path in by_folder.pop("", []):
        skipped.add(path, "beside the folders of words")
    targets = TARGETS[task]
    special = (NOISE, SILENCE, UNKNOWN)
    files, notes = by_known_word(by_folder, (*targets, *special))
    if not any(files.get(word) for word in targets):
        raise DataError(
            f"{folder}: need Speech Commands clips (wav, flac, ogg, opus) in one folder a word, "
            f"such as {', '.join(targets[:3])}, found none; "
            + "; ".join(["give the folder above the words", *skipped.notes])
        )
    if UNKNOWN in files or SILENCE in files:
        if half is not None:
            raise ParameterError(
                f"{folder}: half: an official test set is scored whole; leave the half out"
            )
        chosen, split = files, "all"
    else:
        by_split = of_split(folder, by_folder, split)
        if half is not None:
            by_split = {
                word: [path for path in paths if half_of(path.name) == half]
                for word, paths in by_split.items()
            }
        chosen, _ = by_known_word(by_split, (*targets, *special))
    present = {word: chosen[word] for word in targets if chosen.get(word)}
    if not present:
        where = f"{split} split" + (f", {half} half" if half else "")
        raise DataError(
            f"{folder}: need clips of the task's words in the {where}, found none; "
            "ask for another split or get the whole data set"
        )
    notes += skipped.notes
    missing = [word for word in targets if word not in present]
    if missing:
        notes.append(f"no clips of {', '.join(missing)}")
    count = sum(map(len, present.values()))
    clips = [
        Clip(f, word if word in TASKS[task] else "other", word)
        for word, paths in present.items()
        for f in paths
    ]
    if task == "v2-35":
        return Selection(tuple(clips), split, tuple(notes))
    if task == "v2-12":
        wanted = math.ceil(count / EXTRA_SHARE)
        others = [
            Clip(f, "unknown", word)
            for word, paths in chosen.items()
            if word not in targets and word not in (NOISE, SILENCE)
            for f in paths
        ]
        if split != "all":
            others, note = _draw(others, wanted, seed)
            notes += note
        elif not others:
            notes.append("no clips of unknown words")
        clips += others
        silence = "silence"
    else:
        wanted = math.ceil((count - len(present.get("yes", ()))) / len(YES_OTHERS))
        silence = "other"
    if split == "all":
        quiet = [Clip(f, silence, SILENCE) for f in files.get(SILENCE, ())]
        if not quiet:
            notes.append(f"no silence: the folder has no clips in {SILENCE}")
    else:
        # the reported half has other seconds of noise than what chose
        draw = HALVES.index(half) if half is not None else 0
        quiet = _segments(files.get(NOISE, ()), wanted, silence, seed, draw)
        if wanted and not quiet:
            notes.append(f"no silence: the folder has no recordings in {NOISE}")
    return Selection((*clips, *quiet), split, tuple(notes))


def of_split(folder: Path, files: dict[str, list[Path]], split: str) -> dict[str, list[Path]]:
    """The files of one split: by the published lists where there are any, else by name."""
    listed: dict[str, str] = {}
    authoritative = set()
    for name in ("validation", "testing"):
        path = folder / f"{name}_list.txt"
        if path.is_file():
            authoritative.add(name)
            listed |= dict.fromkeys(_keys(decoded(path.read_bytes()).splitlines()), name)

    def official(word: str, path: Path) -> str:
        by_list = listed.get(_key(word, path.name))
        by_name = by_list or split_of(path.name)
        return "training" if by_list is None and by_name in authoritative else by_name

    return {
        word: [path for path in paths if official(word, path) == split]
        for word, paths in files.items()
    }


def _keys(lines: Iterable[str]) -> list[str]:
    """`_key` of each listed clip, however it is written: with backslashes, below other folders."""
    parts = (PurePosixPath(line.strip().replace("\\", "/")).parts for line in lines)
    return [_key(*pair[-2:]) for pair in parts if len(pair) > 1]


def _key(word: str, name: str) -> str:
    """word/name of a clip; without suffix, since a copy may be re-encoded."""
    return f"{folded(word)}/{PurePosixPath(name).stem}"


def _draw(clips: Sequence[Clip], wanted: int, seed: int) -> tuple[list[Clip], list[str]]:
    """`wanted` of the clips without replacement, and a note if there are fewer."""
    rng = np.random.default_rng([seed, 0])
    rows = sorted(rng.permutation(len(clips))[:wanted])
    drawn = [clips[row] for row in rows]
    if len(drawn) < wanted:
        return drawn, [
            f"{len(drawn)} clips of unknown words instead of {wanted}: there are no more"
        ]
    return drawn, []


def _segments(
    recordings: Sequence[Path], wanted: int, label: str, seed: int, draw: int
) -> list[Clip]:
    """Seconds of background noise: a recording at random, then a place in it."""
    rng = np.random.default_rng([seed, 1 + draw])
    lengths = [_samples(path) for path in recordings] if wanted else []
    clips = []
    for _ in range(wanted if lengths else 0):
        row = int(rng.integers(len(lengths)))
        start = int(rng.integers(max(0, lengths[row] - CLIP_SAMPLES) + 1))
        clips.append(Clip(recordings[row], label, SILENCE, start / SAMPLE_RATE_HZ))
    return clips


def _samples(path: Path) -> int:
    """Length of a recording at 16 kHz."""
    with FileSource(path) as source:
        if source.duration_s is not None:
            return int(source.duration_s * SAMPLE_RATE_HZ)
        return sum(len(block) for block in source.blocks())
