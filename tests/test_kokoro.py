"""Kokoro's voices, pairs of them, and those held out; a stand-in speaks for it."""

import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile

from kws_stream.errors import DataError, MissingExtraError
from kws_stream.training import kokoro, synthesis
from kws_stream.training.phrase import Phrase
from kws_stream.training.phrase_speech import (
    KOKORO_HELD_OUT,
    Amounts,
    Speech,
    kokoro_voices_of,
)

NAMES = ("af_heart", "af_bella", "bm_fable", "bm_lewis", "jf_alpha", "zm_yunxi")
RATE_HZ = 24_000


class Engine:
    """Answers as Kokoro does: a tone as long as the text, at a pitch of the style's own."""

    heard: ClassVar[list[tuple[str, float, str]]] = []

    def __init__(self) -> None:
        self.voices = {name: np.full((510, 1, 256), i, np.float32) for i, name in enumerate(NAMES)}

    @classmethod
    def from_session(cls, session: Any, voices: str) -> "Engine":
        assert Path(voices).name == "voices-v1.0.bin"
        return cls()

    def create(self, text: str, voice: Any, speed: float, lang: str) -> tuple[Any, int]:
        self.heard.append((text, speed, lang))
        t = np.arange(round(RATE_HZ * 0.1 * len(text) / speed)) / RATE_HZ
        return np.sin(2 * np.pi * (200 + 40 * voice.mean()) * t).astype(np.float32), RATE_HZ


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kokoro's files, and its packages, as far as they are called."""
    fake: Any = types.ModuleType("kokoro_onnx")
    fake.Kokoro = Engine
    runtime: Any = types.ModuleType("onnxruntime")
    runtime.SessionOptions = types.SimpleNamespace
    runtime.InferenceSession = lambda path, options, providers: path
    monkeypatch.setitem(sys.modules, "kokoro_onnx", fake)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    Engine.heard.clear()
    for name in ("kokoro-v1.0.int8.onnx", "voices-v1.0.bin"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_two_voices_make_a_third_and_one_of_them_speaks_english(folder: Path) -> None:
    names = kokoro.names_in(folder)
    assert set(NAMES) < set(names)
    assert "af_bella+af_heart" in names
    assert "af_heart+zm_yunxi" in names
    assert "jf_alpha+zm_yunxi" not in names
    assert len(set(names)) == len(names)
    mean, _ = kokoro.speak("yes.", "af_heart+bm_fable", 1.0, folder)  # styles 0 and 2
    same, _ = kokoro.speak("yes.", "af_bella", 1.0, folder)  # style 1
    assert np.array_equal(mean, same)


def test_a_voice_speaks_its_english_at_a_speed_that_the_synthesiser_takes(folder: Path) -> None:
    kokoro.speak("on.", "bm_lewis", 9.0, folder)
    kokoro.speak("on.", "zm_yunxi", 0.1, folder)
    assert Engine.heard == [("on.", 2.0, "en-gb"), ("on.", 0.5, "en-us")]


def test_clips_are_a_second_at_16_khz_and_named_after_their_voices(folder: Path) -> None:
    made = list(synthesis.write_clips(["on"], 5, folder / "out", kokoro_folder=folder))
    again = list(synthesis.write_clips(["on"], 5, folder / "again", jobs=2, kokoro_folder=folder))
    for path, other in zip(made, again, strict=True):
        assert path.name.startswith("kokoro-")
        assert "+" not in path.name
        assert soundfile.info(path).frames == soundfile.info(path).samplerate == 16_000
        assert path.read_bytes() == other.read_bytes()


def test_a_longer_tract_lowers_the_pitch_and_keeps_the_length(folder: Path) -> None:
    voice = synthesis.Voice("kokoro", "af_heart", folder)
    usual, longer = (
        synthesis.speak("seven", voice, synthesis.Manner(tract=tract)) for tract in (1.0, 1.25)
    )
    assert abs(len(longer) - len(usual)) < 400
    tops = [np.abs(np.fft.rfft(x, 1 << 17)).argmax() for x in (usual, longer)]
    assert tops[1] / tops[0] == pytest.approx(0.8, abs=0.01)


def test_no_mixture_is_both_taught_and_held_out(folder: Path) -> None:
    parts = {
        held_out: {p for v in kokoro_voices_of(folder, held_out) for p in v.name.split("+")}
        for held_out in (False, True)
    }
    assert parts[True] == {"af_bella", "bm_fable"} == set(NAMES) & set(KOKORO_HELD_OUT)
    assert parts[False] == set(NAMES) - parts[True]


def test_kokoro_says_a_share_of_the_clips_each_utterance_once(folder: Path) -> None:
    amounts = Amounts(kokoro=0.5)
    speech = Speech(Phrase.parse("hey computer"), 1.5, amounts, 0, folder / "s", kokoro=folder)
    rng = np.random.default_rng(0)
    said = [speech._said("words", rng, True) for _ in range(60)]
    assert 10 < len(Engine.heard) <= 20  # a fifth of the utterances of words, drawn some 30 times
    assert len({sound.tobytes() for sound in said}) == 60


def test_missing_files_and_a_missing_package_are_named(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DataError, match=r"found no kokoro\*\.onnx"):
        list(synthesis.write_clips(["on"], 1, empty / "out", kokoro_folder=empty))
    monkeypatch.setitem(sys.modules, "kokoro_onnx", None)
    with pytest.raises(MissingExtraError, match=r"kws-stream\[kokoro\]"):
        list(
            synthesis.write_clips(
                ["on"], 1, empty / "out", kokoro_folder=tmp_path_factory.mktemp("k")
            )
        )
    assert not (empty / "out").exists()
