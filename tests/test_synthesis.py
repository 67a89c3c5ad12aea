"""Synthetic training speech: repeatable, audible, one second, and honest about missing tools."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kws_stream.errors import AudioError, MissingExtraError, ParameterError
from kws_stream.speech import synthesis

needs_tools = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite")),
    reason="needs the programs espeak-ng and flite",
)


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="apt-get install espeak-ng flite"):
        synthesis.speak("yes", synthesis.Voice("flite", "slt"))


@pytest.mark.parametrize("word", ["", "../yes", "a/b", "-w", "yes;no"])
def test_a_word_that_is_no_word_is_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="letters"):
        list(synthesis.write_clips([word], 1, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_trim_keeps_the_sound_and_a_short_margin() -> None:
    samples = np.zeros(16_000, np.float32)
    samples[4_000:8_000] = 0.5
    kept = synthesis.trim(samples)
    assert len(kept) == 4_000 + 2 * 320
    assert (kept != 0).sum() == 4_000


def three_syllables() -> np.ndarray:
    """0.2 s each of a tone; between them 40 ms each, 14 dB and 40 dB under it."""
    levels = np.repeat([0.5, 0.1, 0.5, 0.005, 0.5], [3_200, 640, 3_200, 640, 3_200])
    tone = np.sin(2 * np.pi * 500 * np.arange(len(levels)) / 16_000)
    return (levels * tone).astype(np.float32)


@pytest.mark.parametrize("most", [1, 2, 9])
def test_pauses_come_at_the_quietest_places_and_change_little_else(most: int) -> None:
    word = three_syllables()
    said = synthesis.with_pauses(word, most, 0.06, np.random.default_rng(1))
    places = [3_440, 7_280][-most:]  # the middles of two frames
    rng = np.random.default_rng(1)
    begin = moved = 0
    for place in places:
        pause = round(rng.exponential(0.06) * 16_000)
        place += moved
        assert np.array_equal(
            said[begin + 160 : place - 160], word[begin + 160 - moved : place - 160 - moved]
        )
        assert not said[place : place + pause].any()
        begin, moved = place + pause, moved + pause
    assert np.array_equal(said[begin + 160 :], word[begin + 160 - moved :])
    assert len(said) == len(word) + moved
    assert np.array_equal(word, three_syllables())


def test_a_word_without_a_quiet_place_gets_no_pause() -> None:
    for word in (np.full(8_000, 0.5), np.full(100, 0.5), np.zeros(0), np.zeros(4_000)):
        said = synthesis.with_pauses(word.astype(np.float32), 3, 0.06, np.random.default_rng(1))
        assert np.array_equal(said, word.astype(np.float32))


def test_pauses_last_as_long_as_those_of_people() -> None:
    rng = np.random.default_rng(0)
    word = three_syllables()
    added = [len(synthesis.with_pauses(word, 1, 0.06, rng)) - len(word) for _ in range(2_000)]
    # of an exponential distribution of 60 ms: 17, 42 and 138 ms
    assert np.quantile(added, [0.25, 0.5, 0.9]) / 16 == pytest.approx([17, 42, 138], rel=0.1)
    assert max(added) <= 0.4 * 16_000


@pytest.mark.parametrize("length", [0, 100, 16_000])
def test_silence_is_an_error(length: int) -> None:
    with pytest.raises(AudioError, match="silence"):
        synthesis.trim(np.zeros(length, np.float32))


@needs_tools
def test_the_same_seed_gives_the_same_clips_whatever_the_jobs(tmp_path: Path) -> None:
    runs = [tmp_path / "one", tmp_path / "two"]
    names = []
    for jobs, folder in enumerate(runs, start=1):
        paths = list(synthesis.write_clips(["on", "off"], 3, folder, seed=5, jobs=jobs))
        names.append([path.relative_to(folder) for path in paths])
    assert names[0] == names[1]
    assert len(set(names[0])) == 6
    for path in names[0]:
        assert (runs[0] / path).read_bytes() == (runs[1] / path).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="the tool is played by a shell script")
@pytest.mark.parametrize(
    ("version", "option", "given"),
    [("1.51", "-z  No final pause", False), ("1.52.0", "-D  Deterministic random mode", True)],
)
def test_espeak_breathes_the_same_each_time(
    version: str, option: str, given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "word.wav", np.sin(np.arange(4000)) / 2, 22_050)
    tool = tmp_path / "espeak-ng"
    tool.write_text(
        f"""#!/bin/sh
[ "$1" = --help ] && printf 'espeak-ng {version}\\n{option}\\n' && exit
echo "$@" >> "{tmp_path}/said"
while [ "$1" != -w ]; do shift; done
cp "{tmp_path}/word.wav" "$2"
"""
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    synthesis._same_breath.cache_clear()
    synthesis.speak("yes", synthesis.Voice("espeak-ng", "en-us+f3"))
    synthesis._same_breath.cache_clear()
    assert ("-D" in (tmp_path / "said").read_text().split()) == given


@needs_tools
def test_clips_are_a_second_of_16_khz_audio_that_does_not_clip(tmp_path: Path) -> None:
    for path in synthesis.write_clips(["yes", "lesson"], 4, tmp_path):
        samples, rate_hz = soundfile.read(path)
        assert (rate_hz, samples.shape) == (16_000, (16_000,))
        assert 0.05 < np.abs(samples).max() < 0.9


@needs_tools
def test_every_voice_speaks_and_none_is_a_copy_of_another() -> None:
    voices = synthesis.espeak_voices()[::20] + synthesis.flite_voices()
    spoken = {synthesis.speak("yes", voice).tobytes() for voice in voices}
    assert len(spoken) == len(voices)
