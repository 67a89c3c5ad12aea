"""A person's own recordings of a wake phrase."""

from pathlib import Path

import numpy as np

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError
from kws_stream.evaluation.folders import Skipped
from kws_stream.evaluation.mixtures import read_whole
from kws_stream.evaluation.sources import audio_below
from kws_stream.evaluation.word_times import find_word
from kws_stream.training.surroundings import Samples


def read_recordings(
    folder: Path, clip_samples: int, skipped: Skipped | None = None
) -> dict[Path, Samples]:
    """The phrase in each recording of a folder, found by its energy; float32 (n,) at 16 kHz.

    skipped: gets the files that are no recordings. Raises DataError for a folder without
    recordings and for a phrase longer than a clip, AudioError for a file that cannot be read.
    """
    found = {}
    for path in audio_below(folder, skipped):
        sound = read_whole(path)
        start, end = (round(time_s * SAMPLE_RATE_HZ) for time_s in find_word(sound))
        if not np.abs(sound).any():
            raise DataError(f"{path}: need a recording of the phrase, got silence; remove it")
        if end - start > clip_samples:
            raise DataError(
                f"{path}: need the phrase alone, {clip_samples / SAMPLE_RATE_HZ:.1f} s at most, "
                f"got {(end - start) / SAMPLE_RATE_HZ:.1f} s of sound; cut or remove it"
            )
        found[path] = sound[start:end]
    return found
