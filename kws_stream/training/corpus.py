"""Recordings as channel envelopes, computed once and kept in a cache.

Training works on envelopes, the filterbank's output before gain control: what comes after is cheap
and depends on what a clip is joined to, so it is computed in every step.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from kws_stream.errors import DataError
from kws_stream.evaluation.mixtures import read_whole
from kws_stream.evaluation.speech_commands import split_of
from kws_stream.features import FeatureSettings, build_bank

SUFFIXES = (".wav", ".flac", ".ogg", ".opus")
CLIP_HOPS = SAMPLE_RATE_HZ // HOP_SAMPLES
FILES_AT_ONCE = 256
STREAM_HOPS = 6000  # long recordings are cut into rows of a minute

Envelopes = NDArray[np.float32]


@dataclass(frozen=True)
class Clips:
    """Clips of one length: envelopes (n, hops, channels), their words, their official splits."""

    envelopes: Envelopes
    words: NDArray[np.str_]
    splits: NDArray[np.str_]


@dataclass(frozen=True)
class Corpus:
    """Every clip found, by folder, and the long recordings (hops, channels) for training.

    A long recording's split, too, is that of its name (see `split_of`); scripts/held_out.py lists
    what training does not hear.
    """

    clips: dict[str, Clips]
    streams: dict[str, Envelopes]

    @classmethod
    def from_folders(
        cls,
        data: Path,
        synthetic: Path | None,
        settings: FeatureSettings,
        cache: Path,
        jobs: int = 2,
    ) -> "Corpus":
        """Corpus of `data`: speech_commands, other_words, running_speech, noise, wake_phrases.

        synthetic: a folder of words made by scripts/synthesise_words.py. Raises DataError if there
        is no speech_commands folder, or no noise.
        """
        if not (data / "speech_commands").is_dir():
            raise DataError(
                f"{data}: need a folder speech_commands with one folder a word, found none; "
                "give the folder above it"
            )
        load = partial(load_envelopes, settings=settings, cache=cache, jobs=jobs)
        clip_folders = {"speech_commands": data / "speech_commands"}
        for name, folder in (("other_words", data / "other_words"), ("synthetic", synthetic)):
            if folder is not None and folder.is_dir():
                clip_folders[name] = folder
        clips = {}
        for name, folder in clip_folders.items():
            files = [f for f in audio_files(folder) if not f.parent.name.startswith("_")]
            if not files:
                raise DataError(f"{folder}: need clips in one folder a word, found none")
            clips[name] = Clips(
                load(files),
                np.array([f.parent.name for f in files]),
                np.array([split_of(f.name) for f in files]),
            )
        streams = {}
        stream_folders = {
            "running_speech": [data / "running_speech", data / "wake_phrases"],
            "noise": [data / "noise", data / "speech_commands" / "_background_noise_"],
        }
        for name, folders in stream_folders.items():
            files = training_files(f for folder in folders for f in audio_files(folder))
            if files:
                streams[name] = load(files, whole=True)
        if "noise" not in streams:
            raise DataError(
                f"{data}: need recordings in noise or in speech_commands/_background_noise_ to mix "
                "with speech, found none"
            )
        return cls(clips, streams)


def audio_files(folder: Path) -> list[Path]:
    """The recordings in a folder and below; none where there is no folder."""
    return sorted(f for f in folder.rglob("*") if f.suffix in SUFFIXES)


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
        audio = read_whole(path)[:length]
        start = (length - len(audio)) // 2
        row[start : start + len(audio)] = audio
    return _envelopes(samples, settings)


def _joined(
    files: Sequence[Path], settings: FeatureSettings, row_hops: int = STREAM_HOPS
) -> Envelopes:
    """The files one after another, cut into rows that are worked on side by side."""
    audio = np.concatenate([read_whole(path) for path in files])
    rows = max(1, len(audio) // (row_hops * HOP_SAMPLES))
    hops = len(audio) // rows // HOP_SAMPLES
    samples = audio[: rows * hops * HOP_SAMPLES].reshape(rows, -1).astype(np.float64)
    envelopes = _envelopes(samples, settings)
    return envelopes.reshape(-1, envelopes.shape[-1])


def _envelopes(samples: NDArray[np.float64], settings: FeatureSettings) -> Envelopes:
    bank = build_bank(settings, hops_per_frame=1)
    hops = samples.shape[1] // HOP_SAMPLES
    envelopes = np.empty((len(samples), hops, bank.channels), np.float32)
    state = bank.start(len(samples))
    samples = np.pad(samples, ((0, 0), (1, 0)))  # the sample before the first
    for hop in range(hops):
        state = bank.step(samples[:, hop * HOP_SAMPLES : (hop + 1) * HOP_SAMPLES + 1], state)
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
) -> Envelopes:
    """Envelopes of `files`, from the cache if nothing that they depend on has changed.

    Clips (n, hops, channels) of clip_s, or with `whole` the files joined, (hops, channels). These
    are worked on in rows of row_hops side by side: short ones are quicker, but each begins anew.
    """
    bank_settings = {
        key: value
        for key, value in asdict(settings).items()
        if key in ("kind", "channels", "low_hz", "high_hz", "selectivity", "preemphasis")
        or key in ("lowpass_s", "half_wave")
    }
    listing = [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    size = row_hops if whole else clip_s
    usual = size == (STREAM_HOPS if whole else 1)
    key = json.dumps([bank_settings, whole, listing, *([] if usual else [size])], sort_keys=True)
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    if path.exists():
        cached: Envelopes = np.load(path, allow_pickle=False)
        return cached
    if whole:
        compute = partial(_joined, settings=settings, row_hops=row_hops)
    else:
        compute = partial(_clips, settings=settings, length=round(clip_s * SAMPLE_RATE_HZ))
    if jobs == 1:  # a worker of a cluster may not have processes of its own
        parts = list(map(compute, _groups(files)))
    else:
        with ProcessPoolExecutor(jobs) as pool:
            parts = list(pool.map(compute, _groups(files)))
    envelopes = np.concatenate(parts)
    cache.mkdir(parents=True, exist_ok=True)
    # A name of its own: two trainings may fill the cache at once.
    partial_path = path.with_suffix(f".{os.getpid()}.part.npy")
    np.save(partial_path, envelopes)
    partial_path.replace(path)
    return envelopes


def _groups(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for at in range(0, len(files), FILES_AT_ONCE):
        yield files[at : at + FILES_AT_ONCE]
