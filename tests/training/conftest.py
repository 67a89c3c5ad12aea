"""Recordings that the tests of training hear: tones in place of words."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from kws_stream.features import FeatureSettings
from kws_stream.training.corpus import Corpus


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few tones a word, by many speakers, and half a minute of noise."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def write(path: Path, seconds: float, tone_hz: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        time_s = np.arange(int(16_000 * seconds)) / 16_000
        sound = 0.3 * np.sin(2 * np.pi * tone_hz * time_s) * (tone_hz > 0)
        soundfile.write(path, sound + 0.01 * rng.standard_normal(len(time_s)), 16_000)

    for index, word in enumerate(("yes", "no", "up", "cat")):
        for speaker in range(30):
            name = f"{index}{speaker:07x}_nohash_0.wav"
            write(root / "speech_commands" / word / name, 0.6, 300.0 * 2**index)
    write(root / "speech_commands" / "_background_noise_" / "hiss.wav", 20, 0)
    write(root / "running_speech" / "talk" / "talk.wav", 10, 800)
    return root


@pytest.fixture(scope="module")
def corpus(data: Path) -> Corpus:
    return Corpus.from_folders(data, None, FeatureSettings(), data / "cache", jobs=1)
