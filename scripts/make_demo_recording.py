"""Make the packaged recording: words of several synthetic speakers in noise, and their labels.

Needs espeak-ng and flite. The same versions of both give the same recording; the versions that made
the packaged one stand in its labels.
"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
from numpy.typing import NDArray

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import KwsStreamError
from kws_stream.speech.synthesis import Manner, Voice, speak, tool_versions

SEED = 20
SPEECH_DBFS = -26.0  # RMS of a word at gain 0
NOISE_DBFS = -44.0
HUM_DBFS = -54.0
LEAD_S, TAIL_S = 2.0, 1.5
GAP_S = (1.1, 1.9)  # silence between words, drawn from this range
GAIN_DB = (-3.0, 3.0)  # of a word, drawn from this range

SLT, RMS, AWB, KAL = (Voice("flite", name) for name in ("slt", "rms", "awb", "kal16"))
AMERICAN, WOMAN, MAN = (Voice("espeak-ng", f"en-us{variant}") for variant in ("", "+f2", "+m3"))
BRITISH, SCOTTISH = Voice("espeak-ng", "en"), Voice("espeak-ng", "en-gb-scotland")

SCRIPT = (
    ("hello", SLT, Manner()),
    ("yes", RMS, Manner()),
    ("no", SLT, Manner(pitch=1.1)),
    ("up", AMERICAN, Manner()),
    ("marvin", AWB, Manner()),
    ("down", SLT, Manner(stretch=1.1)),
    ("left", SCOTTISH, Manner()),
    ("right", RMS, Manner(pitch=1.15)),
    ("seven", MAN, Manner()),
    ("yes", WOMAN, Manner(stretch=1.1)),
    ("on", AWB, Manner(stretch=1.1)),
    ("off", SLT, Manner()),
    ("stop", KAL, Manner(stretch=1.1)),
    ("go", BRITISH, Manner()),
    ("happy", RMS, Manner()),
    ("yes", SLT, Manner(pitch=0.95)),
)


def to_level(samples: NDArray[Any], dbfs: float) -> NDArray[np.float64]:
    """Scale to that RMS in dB against full scale."""
    return samples * (10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def pink_noise(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Power falling with frequency as in a quiet room: 1/f above 50 Hz."""
    frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(n)) / np.sqrt(np.maximum(frequency, 50.0))
    return np.fft.irfft(spectrum, n)


def mains_hum(n: int) -> NDArray[np.float64]:
    """50 Hz and its odd harmonics."""
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    return sum((np.sin(2 * np.pi * 50 * k * time_s + k) / k for k in (1, 3, 5, 7)), np.zeros(n))


def make(seed: int = SEED) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """The samples and their labels."""
    rng = np.random.default_rng(seed)
    words: list[dict[str, Any]] = []
    spoken: list[tuple[int, NDArray[np.float64]]] = []
    at = round(LEAD_S * SAMPLE_RATE_HZ)
    for word, voice, manner in SCRIPT:
        samples = to_level(speak(word, voice, manner), SPEECH_DBFS + rng.uniform(*GAIN_DB))
        end = at + len(samples)
        spoken.append((at, samples))
        words.append(
            {
                "word": word,
                "voice": voice.label,
                "start_s": round(at / SAMPLE_RATE_HZ, 3),
                "end_s": round(end / SAMPLE_RATE_HZ, 3),
            }
        )
        at = end + round(rng.uniform(*GAP_S) * SAMPLE_RATE_HZ)
    n = end + round(TAIL_S * SAMPLE_RATE_HZ)
    mix = to_level(pink_noise(n, rng), NOISE_DBFS) + to_level(mains_hum(n), HUM_DBFS)
    for start, samples in spoken:
        mix[start : start + len(samples)] += samples
    labels = {
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "seed": seed,
        "speech_dbfs": SPEECH_DBFS,
        "noise_dbfs": NOISE_DBFS,
        "tools": tool_versions(),
        "made_by": "scripts/make_demo_recording.py",
        "licence": "MIT",
        "words": words,
    }
    return np.round(mix * 32767).clip(-32768, 32767).astype(np.int16), labels


@click.command(help=__doc__)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(__file__).parents[1] / "kws_stream" / "_data",
    show_default=True,
    help="Folder for demo.flac and demo.json.",
)
def main(out: Path) -> None:
    try:
        samples, labels = make()
    except KwsStreamError as error:
        raise click.ClickException(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    soundfile.write(out / "demo.flac", samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    (out / "demo.json").write_text(json.dumps(labels, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{len(samples) / SAMPLE_RATE_HZ:.1f} s, {len(labels['words'])} words in {out}")


if __name__ == "__main__":
    main()
