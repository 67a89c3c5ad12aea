"""Make the packaged labelled clips: 504 seconds of synthetic words and of noise, and their labels.

They let the chip studies run without a data set. Needs espeak-ng and flite. The same versions of
both give the same clips; the versions that made the packaged ones stand in the labels.
"""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
from numpy.typing import NDArray

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import KwsStreamError
from kws_stream.speech.synthesis import Manner, espeak_voices, flite_voices, speak, tool_versions

SEED = 31
COUNTS = {"yes": 72} | dict.fromkeys(
    ("no", "up", "down", "left", "right", "on", "off", "stop", "go"), 32
)
UNKNOWN = ("happy", "seven", "marvin", "bird", "visual", "zero", "three", "house", "sheila")
UNKNOWN_EACH, SILENCE = 8, 72
FLITE_SHARE = 0.6  # nearer to people than formants
SPEECH_DBFS = (-32.0, -20.0)  # RMS of a word, drawn from this range
SNR_DB = (15.0, 35.0)
SILENCE_DBFS = (-70.0, -40.0)
OPUS_COMPRESSION = 0.97  # of soundfile: 0 is the highest bit rate


def noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """A second of noise of RMS 1, its power falling with frequency to a power drawn from 0..1."""
    frequency = np.fft.rfftfreq(SAMPLE_RATE_HZ, 1 / SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(SAMPLE_RATE_HZ))
    samples = np.fft.irfft(spectrum / np.maximum(frequency, 50.0) ** rng.uniform(0, 0.5))
    return samples / np.sqrt(np.mean(samples**2))


def clip(word: str | None, rng: np.random.Generator) -> NDArray[np.float64]:
    """One second: a word somewhere in noise, or noise alone."""
    if word is None:
        return noise(rng) * 10 ** (rng.uniform(*SILENCE_DBFS) / 20)
    voices = flite_voices() if rng.random() < FLITE_SHARE else espeak_voices()
    manner = Manner(
        stretch=rng.uniform(0.85, 1.2),
        pitch=rng.uniform(0.8, 1.25),
        tract=rng.uniform(0.92, 1.08),
        ending=str(rng.choice([".", "!", "?"])),
    )
    spoken = speak(word, voices[rng.integers(len(voices))], manner)[:SAMPLE_RATE_HZ]
    level = 10 ** (rng.uniform(*SPEECH_DBFS) / 20)
    samples = noise(rng) * level * 10 ** (-rng.uniform(*SNR_DB) / 20)
    start = int(rng.integers(SAMPLE_RATE_HZ - len(spoken) + 1))
    samples[start : start + len(spoken)] += spoken * level / np.sqrt(np.mean(spoken**2))
    return samples


def make(seed: int = SEED) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """All clips, one after another, and their labels in that order."""
    words = list(chain.from_iterable([word] * n for word, n in COUNTS.items()))
    words += list(UNKNOWN) * UNKNOWN_EACH
    entries: list[str | None] = [*words, *[None] * SILENCE]
    rng = np.random.default_rng(seed)
    entries = [entries[i] for i in rng.permutation(len(entries))]
    samples = [clip(word, np.random.default_rng([seed, i])) for i, word in enumerate(entries)]
    labels = {
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "clip_s": 1.0,
        "seed": seed,
        "tools": tool_versions(),
        "made_by": "scripts/make_packaged_clips.py",
        "licence": "MIT",
        "words": ["_silence_" if word is None else word for word in entries],
    }
    return np.concatenate(samples).clip(-1, 1), labels


@click.command(help=__doc__)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(__file__).parents[1] / "kws_stream" / "_data",
    show_default=True,
    help="Folder for clips.opus and clips.json.",
)
def main(out: Path) -> None:
    try:
        samples, labels = make()
    except KwsStreamError as error:
        raise click.ClickException(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(
        out / "clips.opus",
        "w",
        SAMPLE_RATE_HZ,
        1,
        format="OGG",
        subtype="OPUS",
        compression_level=OPUS_COMPRESSION,
    ) as file:
        for at in range(0, len(samples), SAMPLE_RATE_HZ):  # libsndfile fails on minutes at once
            file.write(samples[at : at + SAMPLE_RATE_HZ])
    (out / "clips.json").write_text(json.dumps(labels, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{len(labels['words'])} clips in {out}")


if __name__ == "__main__":
    main()
