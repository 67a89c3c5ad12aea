"""Recordings as channel envelopes, computed once and kept in a cache.

Training works on envelopes, the filterbank's output before gain control: what comes after is cheap
and depends on what a clip is joined to, so it is computed in every step.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio import read_whole
from kws_stream.brief import brief
from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from kws_stream.errors import DataError
from kws_stream.evaluation.folders import (
    Skipped,
    by_known_word,
    folder_of,
    recordings_below,
    words_below,
)
from kws_stream.evaluation.speech_commands import NOISE, WORDS, split_of
from kws_stream.features import OF_RATE, FeatureSettings, build_bank
from kws_stream.files import replacing
from kws_stream.workers import Progress, Workers

if TYPE_CHECKING:  # it loads PyTorch, which recordings do without
    from kws_stream.training.pictures import PictureMap, Pictures

CACHE = Path("runs") / "cache"  # of envelopes and of what is made of pictures, unless told
CLIP_HOPS = SAMPLE_RATE_HZ // HOP_SAMPLES
FILES_AT_ONCE = 256
FEWEST_PAIRS = 50  # to fit a map from pictures on
STREAM_HOPS = 6000  # long recordings are cut into rows of a minute

Envelopes = NDArray[np.float32]


@dataclass(frozen=True)
class Clips:
    """Clips of one length: envelopes (n, hops, channels), their words, their official splits.

    names: of their files, without suffix, where they tell a speaker; otherwise none. logits: what a
    teacher says of each, (n, K), NaN where it was not asked (see `posteriors`); without one none.
    """

    envelopes: Envelopes
    words: NDArray[np.str_]
    splits: NDArray[np.str_]
    names: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, str))
    logits: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    __repr__ = brief

    @property
    def keys(self) -> list[str]:
        """word/name of each."""
        return [f"{word}/{name}" for word, name in zip(self.words, self.names, strict=True)]


@dataclass(frozen=True)
class Corpus:
    """Every clip found, by folder, and the long recordings (hops, channels) for training.

    A long recording's split, too, is that of its name (see `split_of`); scripts/held_out.py lists
    what training does not hear.
    """

    clips: dict[str, Clips]
    streams: dict[str, Envelopes]

    __repr__ = brief

    @classmethod
    def from_folders(
        cls,
        data: Path,
        synthetic: Path | None,
        settings: FeatureSettings,
        cache: Path,
        jobs: int = 2,
        pictures: Path | None = None,
        *,
        clip_s: float = 1.0,
        of_events: bool = False,
        notes: list[str] | None = None,
        progress: Progress | None = None,
    ) -> "Corpus":
        """Corpus of `data`: speech_commands, other_words, running_speech, noise, wake_phrases.

        synthetic: a folder of words made by scripts/synthesise_words.py. pictures: a folder or tar
        archive of log-mel pictures (see `clips_of_pictures`). notes: gets what was left out, and
        folders of words under other names (see `folders`). progress: hears of the recordings whose
        envelopes are known, of each folder from 0 on. of_events: of a sensor that hears no speech:
        `data` has clips in place of speech_commands, and background in place of running_speech.

        Raises DataError if there is no such folder of clips, or no noise.
        """
        skipped, said = Skipped(), list[str]()
        load = partial(
            load_envelopes,
            settings=settings,
            cache=cache,
            jobs=jobs,
            clip_s=clip_s,
            progress=progress,
        )
        words = _words_folder(data, "clips" if of_events else "speech_commands")
        clips = {"speech_commands": _clips_of_words(words, load, skipped, said)}
        for name, folder in (
            ("other_words", folder_of(data, "other_words")),
            ("synthetic", synthetic),
        ):
            if folder is not None and folder.is_dir():
                clips[name] = _clips_of_words(folder, load, skipped, said)
        if pictures is not None:
            clips["pictures"] = clips_of_pictures(
                pictures, clips["speech_commands"], settings, cache
            )
        streams = {}
        stream_folders = {
            "running_speech": [data / "running_speech", data / "wake_phrases"],
            "noise": [data / "noise", folder_of(words, NOISE)],
        }
        if of_events:
            stream_folders["running_speech"] = [data / "background"]
        for name, folders in stream_folders.items():
            every = [f for folder in folders for f in audio_files(folder, skipped)]
            files = training_files(every)
            if files:
                streams[name] = load(files, whole=True)
        if "noise" not in streams:
            raise DataError(
                f"{data}: need recordings in noise or in {words.name}/_background_noise_ to mix "
                "with clips, found none"
            )
        if notes is not None:
            notes += [*said, *skipped.notes]
        return cls(clips, streams)

    def without(self, *kinds: str) -> "Corpus":
        """The corpus without those kinds of clips."""
        return Corpus({k: c for k, c in self.clips.items() if k not in kinds}, self.streams)


def recordings_of(data: Path, settings: FeatureSettings, cache: Path, jobs: int) -> Clips:
    """Those of data/speech_commands; raises DataError if there is no such folder, or no clip."""
    load = partial(load_envelopes, settings=settings, cache=cache, jobs=jobs)
    return _clips_of_words(_words_folder(data), load, Skipped(), [])


def clip_files(data: Path) -> dict[str, Path]:
    """Files of the clips of data/speech_commands by word/name, as `Clips.keys` has them.

    Raises DataError if there is no such folder.
    """
    by_word, _ = by_known_word(words_in(_words_folder(data), Skipped()), WORDS)
    return {f"{word}/{file.stem}": file for word, files in by_word.items() for file in files}


def _words_folder(data: Path, name: str = "speech_commands") -> Path:
    words = folder_of(data, name)
    if not words.is_dir():
        raise DataError(
            f"{data}: need a folder {name} with one folder a word, found none; "
            "give the folder above it"
        )
    return words


def _clips_of_words(
    folder: Path, load: Callable[[list[Path]], Envelopes], skipped: Skipped, said: list[str]
) -> Clips:
    by_word, other_names = by_known_word(words_in(folder, skipped), WORDS)
    said += other_names
    pairs = sorted((f, word) for word, files in by_word.items() for f in files)
    if not pairs:
        raise DataError(f"{folder}: need clips in one folder a word, found none")
    return Clips(
        load([f for f, _ in pairs]),
        np.array([word for _, word in pairs]),
        np.array([split_of(f.name) for f, _ in pairs]),
        np.array([f.stem for f, _ in pairs]),
    )


def clips_of_pictures(
    path: Path, recordings: Clips, settings: FeatureSettings, cache: Path
) -> Clips:
    """Pictures as envelopes, by a map that is fitted on clips that are among the recordings too.

    Training hears such clips as recording and as picture: words with many recordings would
    otherwise have few pictures, and coming from a picture speak against them. Validation clips
    are left out where there is a recording. Raises DataError if there are too few to fit a map.
    """
    from kws_stream.training.pictures import Pictures

    pictures = Pictures.load(path)
    picture_map = fitted_map(pictures, recordings, settings, cache)
    known = set(recordings.keys)
    new = np.array([key not in known for key in pictures.keys])
    used = pictures.of(np.flatnonzero(new | (pictures.splits == "training")))
    return Clips(picture_map.envelopes(used.pixels), used.words, used.splits, used.names)


def pairs_of(pictures: "Pictures", recordings: Clips, split: str) -> tuple["Pictures", Envelopes]:
    """Pictures and envelopes of the clips of a split of which both exist."""
    row_of = {key: row for row, key in enumerate(recordings.keys)}
    rows = np.array([row_of.get(key, -1) for key in pictures.keys])
    both = np.flatnonzero((rows >= 0) & (pictures.splits == split))
    return pictures.of(both), recordings.envelopes[rows[both]]


def fitted_map(
    pictures: "Pictures", recordings: Clips, settings: FeatureSettings, cache: Path
) -> "PictureMap":
    """The map fitted on training speakers, from the cache if it was fitted on the same before.

    Raises DataError if there are too few pictures of clips of the recordings.
    """
    paired, envelopes = pairs_of(pictures, recordings, "training")
    if len(envelopes) < FEWEST_PAIRS:
        raise DataError(
            f"need at least {FEWEST_PAIRS} pictures of training speakers' clips that are in "
            f"speech_commands too, to fit a map from pictures to envelopes, found {len(envelopes)}"
        )
    digest = hashlib.sha256(json.dumps(_bank_settings(settings), sort_keys=True).encode())
    for array in (paired.pixels, envelopes):
        digest.update(np.ascontiguousarray(array).data)
    path = cache / f"pictures-{digest.hexdigest()[:24]}.safetensors"
    from kws_stream.training.pictures import PictureMap, fit_map

    kept = PictureMap.read(path)
    if kept is not None:
        return kept
    picture_map = fit_map(paired.pixels, envelopes)
    cache.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(picture_map.as_bytes())
    return picture_map


def words_in(folder: Path, skipped: Skipped) -> dict[str, list[Path]]:
    """The clips in a folder of words, without those that begin with "_"; none without a folder."""
    found = words_below(folder, skipped) if folder.is_dir() else {}
    for path in found.pop("", []):
        skipped.add(path, "beside the folders of words")
    return {word: files for word, files in found.items() if not word.startswith("_")}


def audio_files(folder: Path, skipped: Skipped | None = None) -> list[Path]:
    """The recordings in a folder and below; none where there is no folder."""
    return recordings_below(folder, skipped) if folder.is_dir() else []


def training_files(files: Iterable[Path]) -> list[Path]:
    """Those of the training split by their names.

    A few recordings may all be of other splits: then none is held out.
    """
    files = list(files)
    return [f for f in files if split_of(f.name) == "training"] or files


def _clips(
    files: Sequence[Path], settings: FeatureSettings, length: int = SAMPLE_RATE_HZ
) -> Envelopes:
    """Each file padded at both ends, or cut, to `length` samples."""
    samples = np.zeros((len(files), length))
    for row, path in zip(samples, files, strict=True):
        audio = read_whole(path, to_hz=settings.rate_hz)[:length]
        start = (length - len(audio)) // 2
        row[start : start + len(audio)] = audio
    return envelopes_of(samples, settings)


def _joined(
    files: Sequence[Path], settings: FeatureSettings, row_hops: int = STREAM_HOPS
) -> Envelopes:
    """The files one after another, cut into rows that are worked on side by side."""
    audio = np.concatenate([read_whole(path, to_hz=settings.rate_hz) for path in files])
    hop = settings.hop_samples
    rows = max(1, len(audio) // (row_hops * hop))
    hops = len(audio) // rows // hop
    samples = audio[: rows * hops * hop].reshape(rows, -1).astype(np.float64)
    envelopes = envelopes_of(samples, settings)
    return envelopes.reshape(-1, envelopes.shape[-1])


def envelopes_of(samples: NDArray[np.float64], settings: FeatureSettings) -> Envelopes:
    bank = build_bank(settings, hops_per_frame=1)
    size = settings.hop_samples
    hops = samples.shape[1] // size
    envelopes = np.empty((len(samples), hops, bank.channels), np.float32)
    state = bank.start(len(samples))
    samples = np.pad(samples, ((0, 0), (1, 0)))  # the sample before the first
    for hop in range(hops):
        state = bank.step(samples[:, hop * size : (hop + 1) * size + 1], state)
        envelopes[:, hop] = state.envelope
    return envelopes


def load_envelopes(
    files: Sequence[Path],
    settings: FeatureSettings,
    cache: Path,
    jobs: int,
    whole: bool = False,
    clip_s: float = 1.0,
    row_hops: int = STREAM_HOPS,
    progress: Progress | None = None,
) -> Envelopes:
    """Envelopes of `files`, from the cache if nothing that they depend on has changed.

    Clips (n, hops, channels) of clip_s, or with `whole` the files joined, (hops, channels). These
    are worked on in rows of row_hops side by side: short ones are quicker, but each begins anew.
    progress: hears of the files done, and of all. A cache that is damaged is made anew.
    """
    bank_settings = _bank_settings(settings)
    listing = [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    size = row_hops if whole else clip_s
    usual = size == (STREAM_HOPS if whole else 1)
    key = json.dumps([bank_settings, whole, listing, *([] if usual else [size])], sort_keys=True)
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    cached = _cached(path)
    if cached is not None:
        return cached
    if whole:
        compute = partial(_joined, settings=settings, row_hops=row_hops)
    else:
        compute = partial(_clips, settings=settings, length=round(clip_s * settings.rate_hz))

    def told(groups: int, _: int) -> None:
        if progress is not None:
            progress(min(groups * FILES_AT_ONCE, len(files)), len(files))

    told(0, 0)
    with Workers(jobs) as workers:  # one works here: a cluster's may not have processes of its own
        parts = list(workers.map(compute, list(_groups(files)), progress=told))
    envelopes = np.concatenate(parts)
    cache.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.save(file, envelopes)
    return envelopes


def _bank_settings(settings: FeatureSettings) -> dict[str, object]:
    """Those that envelopes depend on."""
    return {
        key: value
        for key, value in settings.as_dict().items()
        if key in ("kind", "channels", "low_hz", "high_hz", "selectivity", "preemphasis")
        or key in ("lowpass_s", "half_wave", *OF_RATE)
    }


def _cached(path: Path) -> Envelopes | None:
    """The envelopes of a file of the cache; None if there is none, or a damaged one."""
    try:
        with path.open("rb") as file:
            cached: Envelopes = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return cached if isinstance(cached, np.ndarray) and cached.dtype == np.float32 else None


def _groups(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for at in range(0, len(files), FILES_AT_ONCE):
        yield files[at : at + FILES_AT_ONCE]
