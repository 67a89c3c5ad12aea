"""Words joined from pieces of others: one speaker's, training speakers' alone, and repeatable."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kws_stream.errors import DataError, MissingExtraError, ParameterError
from kws_stream.evaluation.speech_commands import split_of
from kws_stream.speech import splicing, synthesis

pytest.importorskip("pocketsphinx", reason="needs the extra train (PocketSphinx)")
needs_tools = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite")),
    reason="needs the programs espeak-ng and flite",
)
VOICES = {"slt": "training", "rms": "training", "kal": "validation"}


def speaker(voice: str) -> str:
    """A speaker's name that is in the voice's split."""
    names = (f"{voice}{number}" for number in range(1000))
    return next(name for name in names if split_of(f"{name}_nohash_0.flac") == VOICES[voice])


@pytest.fixture(scope="module")
def speech_commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stop, one, down and left by three voices, a second each."""
    root = tmp_path_factory.mktemp("speech_commands")
    for word in ("stop", "one", "down", "left"):
        (root / word).mkdir()
        for voice in VOICES:
            spoken = synthesis.speak(word, synthesis.Voice("flite", voice))
            clip = np.zeros(16_000, np.float32)
            clip[3_000 : 3_000 + len(spoken)] = spoken[:13_000]
            soundfile.write(root / word / f"{speaker(voice)}_nohash_0.flac", clip, 16_000)
    return root


@needs_tools
def test_phones_are_found_in_their_order(speech_commands: Path) -> None:
    (recording,) = splicing.WordRecordings(speech_commands).of("stop")[speaker("slt")]
    starts = [recording.spans[phone][0] for phone in ("S", "T", "AA", "P")]
    assert starts == sorted(starts)
    assert starts[0] >= 2_000


@needs_tools
@pytest.mark.parametrize("word", ["on", "off"])
def test_clips_are_a_second_by_training_speakers_and_the_same_for_a_seed(
    word: str, speech_commands: Path, tmp_path: Path
) -> None:
    runs = [tmp_path / name for name in ("one", "two", "other")]
    for run, seed in zip(runs, (5, 5, 6), strict=True):
        paths = list(splicing.write_spliced([word], 4, speech_commands, run, seed))
        assert {path.name.split("_nohash_")[0] for path in paths} <= {
            speaker("slt"),
            speaker("rms"),
        }
        assert all(path.parent.name == word for path in paths)
    files = [sorted(path for path in run.rglob("*.flac")) for run in runs]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
    assert [p.read_bytes() for p in files[0]] != [p.read_bytes() for p in files[2]]
    for path in files[0]:
        samples, rate_hz = soundfile.read(path)
        assert (len(samples), rate_hz) == (16_000, 16_000)
        assert 0.001 < np.abs(samples).max() < 1
        power = np.square(samples).reshape(100, -1).mean(1)
        assert 10 <= (power > power.max() / 1000).sum() <= 70  # hundredths with a voice


def test_the_joint_has_no_step() -> None:
    time = np.arange(4_000) / 16_000
    vowel = np.sin(2 * np.pi * 120 * time).astype(np.float32)
    word = splicing.join(vowel, 0.2 * vowel, splicing.PIECES["on"], np.random.default_rng(0))
    assert np.abs(np.diff(word)).max() < 0.15  # twice the tone's steepest step, at most
    assert np.abs(word[[0, -1]]).max() < 1e-6


@needs_tools
def test_what_is_not_there_is_said(speech_commands: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="need words out of on, off, got yes"):
        list(splicing.write_spliced(["yes"], 1, speech_commands, tmp_path))
    (tmp_path / "stop").mkdir()
    with pytest.raises(DataError, match="need recordings of 'stop' and of 'left'"):
        list(splicing.write_spliced(["off"], 1, tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_missing_aligner_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pocketsphinx", None)
    with pytest.raises(MissingExtraError, match=r"kws-stream\[train\]"):
        splicing.Aligner()
