"""Small generated folders in the layouts of Speech Commands, for tests of evaluation."""

from pathlib import Path

import numpy as np
import soundfile

from kws_stream.evaluation import TASKS

COMMANDS = TASKS["v2-12"][:10]
SPEAKERS = {"validation": "026290a7", "testing": "0c40e715", "training": "00176480"}
RNG = np.random.default_rng(0)


def tone(seconds: float = 1.0, rate: int = 16_000, hz: float | None = None) -> np.ndarray:
    hz = RNG.uniform(200, 4000) if hz is None else hz
    time_s = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * hz * time_s) * np.sin(np.pi * time_s / seconds)


def write(path: Path, seconds: float = 1.0, rate: int = 16_000, hz: float | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    options = {".opus": {"format": "OGG", "subtype": "OPUS"}}.get(suffix, {})
    soundfile.write(path, tone(seconds, rate, hz), rate, **options)
    return path


def clip_name(split: str, number: int, suffix: str = ".wav") -> str:
    return f"{SPEAKERS[split]}_nohash_{number}{suffix}"


def build_words(folder: Path) -> Path:
    """Words as folders: three validation clips of each command, one of the other splits."""
    for word in COMMANDS:
        for number in range(3):
            write(folder / word / clip_name("validation", number))
        write(folder / word / clip_name("training", 0))
    write(folder / "yes" / clip_name("testing", 0))
    for word in ("bed", "cat"):
        for number in range(4):
            write(folder / word / clip_name("validation", number))
    for name, seconds in (("hum.wav", 3.0), ("short.wav", 0.5)):
        write(folder / "_background_noise_" / name, seconds)
    (folder / "_background_noise_" / "README.md").write_text("no audio")
    (folder / "LICENSE").write_text("no folder")
    return folder


def build_all_words(folder: Path) -> Path:
    """Two validation clips of each of the 35 words."""
    for word in TASKS["v2-35"]:
        for number in range(2):
            write(folder / word / clip_name("validation", number))
    return folder


def build_official(folder: Path) -> Path:
    """The layout of the official test set: two clips a class."""
    for word in (*COMMANDS, "_unknown_", "_silence_"):
        for number in range(2):
            write(folder / word / clip_name("training", number))
    return folder
