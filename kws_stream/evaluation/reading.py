"""The samples of a clip: one second, with noise added where the clip says so."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import instance_of
from kws_stream.audio import read_whole
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError
from kws_stream.evaluation.folders import Skipped, recordings_below
from kws_stream.evaluation.speech_commands import CLIP_SAMPLES, SILENCE, Clip, Noise

SNRS_DB = (20.0, 10.0, 5.0, 0.0)
QUIET = 1e-9  # mean square of a second of noise without sound: -90 dB below full scale

Pcm = NDArray[np.float32]


def read_clip(clip: Clip, on_note: Callable[[str], None] | None = None) -> Pcm:
    """Samples (16000,) of a clip: cut to one second, or padded with zeros at the end.

    With noise, its mean power over the second is that of the clip less the signal-to-noise ratio;
    the sum may pass full scale and is not cut. A clip of zeros stays one. Noise, also where it is
    the clip, may have one channel whatever channel the clip asks for. on_note: as of `FileSource`.

    Raises AudioError or InputError for a file that cannot be read, ParameterError for no `Clip`.
    """
    instance_of(clip, Clip, "clip", "a Clip, as of select()")
    samples = np.zeros(CLIP_SAMPLES, np.float32)
    if clip.offset_s > 0:
        audio = _second(clip.path, clip.offset_s, clip.channel)
    else:
        mono_too = clip.word == SILENCE
        audio = read_whole(clip.path, clip.channel, on_note, mono_too=mono_too, limit=CLIP_SAMPLES)
    samples[: len(audio)] = audio
    if clip.noise is None:
        return samples
    noise = np.resize(_second(clip.noise.path, clip.noise.offset_s, clip.channel), CLIP_SAMPLES)
    ratio = 10 ** (clip.noise.snr_db / 10)
    gain = np.sqrt(_mean_square(samples) / (ratio * _mean_square(noise)))
    mixed: Pcm = (samples + gain * noise.astype(np.float64)).astype(np.float32)
    return mixed


def noise_seconds(folder: Path, skipped: Skipped | None = None) -> list[Noise]:
    """Every second of the recordings in a folder and below; silent ones are left out.

    skipped: gets the files that are no recordings. A recording shorter than a second is one,
    repeated. Raises DataError if there is none.
    """
    seconds = []
    for path in recordings_below(folder, skipped) if folder.is_dir() else []:
        samples = read_whole(path)
        for at in range(max(1, len(samples) // CLIP_SAMPLES)):
            part = samples[at * CLIP_SAMPLES : (at + 1) * CLIP_SAMPLES]
            if _mean_square(part) > QUIET:
                seconds.append(Noise(path, float(at), 0.0))
    if not seconds:
        raise DataError(
            f"{folder}: need a folder with recordings of noise (wav, flac, ogg, opus), found "
            "none with sound; name one with --noise"
        )
    return seconds


def with_noise(
    clips: Sequence[Clip], seconds: Sequence[Noise], snr_db: float, seed: int = 0
) -> list[Clip]:
    """The clips, each with a second of noise that `seed` draws: the same one at every ratio."""
    rows = np.random.default_rng([seed, 2]).integers(len(seconds), size=len(clips))
    return [
        replace(clip, noise=replace(seconds[row], snr_db=snr_db))
        for clip, row in zip(clips, rows, strict=True)
    ]


def _mean_square(samples: Pcm) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def _second(path: Path, offset_s: float, channel: int | None) -> Pcm:
    start = round(offset_s * SAMPLE_RATE_HZ)
    return _recording(path, channel)[start : start + CLIP_SAMPLES]


@lru_cache(maxsize=8)  # the data set has six recordings, of 6 MB each
def _recording(path: Path, channel: int | None) -> Pcm:
    return read_whole(path, channel, mono_too=True)
