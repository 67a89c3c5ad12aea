"""The packaged recording holds what its labels say, and its script makes it again."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import kws_stream
from kws_stream.constants import RECORDING

ROOT = Path(__file__).parents[1]
DATA = Path(kws_stream.__file__).parent / "_data"
KEYWORDS = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]


@pytest.fixture(scope="module")
def samples() -> NDArray[np.int16]:
    return soundfile.read(RECORDING, dtype="int16")[0]


@pytest.fixture(scope="module")
def labels() -> dict[str, Any]:
    return json.loads((DATA / "demo.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "make_demo_recording.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def level_db(samples: NDArray[np.int16]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples / 32768))))


def test_recording_is_16_khz_mono_of_half_a_minute() -> None:
    info = soundfile.info(RECORDING)
    assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
    assert 25 <= info.duration <= 35


def test_every_keyword_is_spoken_by_several_voices_among_other_words(
    labels: dict[str, Any],
) -> None:
    spoken = [word["word"] for word in labels["words"]]
    assert set(KEYWORDS) < set(spoken)
    assert len({word["voice"] for word in labels["words"]}) >= 5
    assert len({word["voice"] for word in labels["words"] if word["word"] == "yes"}) >= 2


def test_labels_are_in_order_with_a_second_of_noise_between(
    samples: NDArray[np.int16], labels: dict[str, Any]
) -> None:
    edges = [0.0]
    for word in labels["words"]:
        assert word["start_s"] - edges[-1] >= 1.0
        assert 0.2 <= word["end_s"] - word["start_s"] <= 1.0
        edges.append(word["end_s"])
    assert len(samples) / 16_000 - edges[-1] >= 1.0


def test_words_stand_out_of_the_noise_where_the_labels_say(
    samples: NDArray[np.int16], labels: dict[str, Any]
) -> None:
    words = labels["words"]
    ends = [0.0, *(word["end_s"] for word in words)]
    for before, word in zip(ends, words, strict=False):
        start, end = (round(word[key] * 16_000) for key in ("start_s", "end_s"))
        gap = samples[round(before * 16_000) : start]
        assert 12 <= level_db(samples[start:end]) - level_db(gap) <= 22, word


def test_nothing_clips(samples: NDArray[np.int16]) -> None:
    assert np.abs(samples.astype(int)).max() < 32_000


@pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite")),
    reason="needs the programs espeak-ng and flite",
)
def test_script_makes_the_packaged_recording(
    samples: NDArray[np.int16], labels: dict[str, Any], script: ModuleType
) -> None:
    remade, remade_labels = script.make(labels["seed"])
    if remade_labels["tools"] != labels["tools"]:
        pytest.skip(f"made with {labels['tools']}, here are {remade_labels['tools']}")
    assert remade_labels == labels
    # sines and Fourier transforms may differ in the last bit between processors
    assert np.abs(remade.astype(int) - samples).max() <= 1
