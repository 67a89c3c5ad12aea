"""A wake phrase is taught from speech that is made for it, by other voices than it is judged on."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream.cli import main
from kws_stream.errors import AudioError, DataError, MissingExtraError, ParameterError
from kws_stream.speech import training_set
from kws_stream.speech.acoustics import KINDS, in_room, noise, recorded
from kws_stream.speech.phrase import (
    LEAST_CHANGED,
    NearMisses,
    Phrase,
    common_words,
    distance,
    length_note,
    phonemes,
    sentences,
)
from kws_stream.speech.synthesis import Manner, Voice
from kws_stream.speech.training_set import (
    Amounts,
    Speech,
    read_recordings,
    usual_length_s,
    voices_of,
)
from kws_stream.training import wake_phrase

needs_tools = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite")),
    reason="needs the programs espeak-ng and flite",
)
PHRASE = Phrase.parse("Hey  computer")
FEW = Amounts(4, 4, 3, 4, running_min=0.3, held_out_min=0.2, noise_min=0.1)


@pytest.mark.parametrize(
    "text", ["", "  ", "hal 9000", "café", "stop!", "-v", "other", "a" * 61, "it is " * 11]
)
def test_what_is_no_phrase_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ParameterError, match=r"^wake phrase: need [^\n]*$"):
        Phrase.parse(text)


@pytest.mark.parametrize("words", [None, 3, b"hey computer", ["hey", "computer"]])
def test_a_phrase_is_text(words: object) -> None:
    with pytest.raises(ParameterError, match="need words to listen for"):
        Phrase.parse(words)  # type: ignore[arg-type]


def test_class_and_pack_are_named_after_the_phrase() -> None:
    assert (PHRASE.text, PHRASE.keyword, PHRASE.pack) == (
        "hey computer",
        "hey_computer",
        "hey-computer",
    )
    assert Phrase.parse("o'clock it-is").pack == "o-clock-it-is"


def test_a_text_that_says_the_phrase_is_known() -> None:
    assert PHRASE.within("Well, hey computer!")
    assert not PHRASE.within("They computer")
    assert not PHRASE.within("hey commuter")


def test_sentences_and_words_are_plain_text_each_once() -> None:
    assert len(set(sentences())) == len(sentences()) > 100
    assert len(common_words()) > 1000


def test_distance_counts_changed_phonemes_but_no_stress() -> None:
    assert distance(["h", "'eI"], ["h", ",eI"]) == 0
    assert distance(["k", "@", "m"], ["k", "V", "m", "s"]) == 2
    assert distance([], ["a", "b"]) == 2


@needs_tools
@pytest.mark.parametrize("text", ["a", "I", "hey", "a I"])
def test_a_phrase_of_a_sound_or_two_is_refused(text: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    result = CliRunner().invoke(
        main, ["train", "--wake-phrase", text, "-o", str(tmp_path / "out"), "--run", str(tmp_path)]
    )
    assert result.exit_code == 1
    assert re.search(r"wake phrase: need 3 sounds or more, got [12] in ", result.stderr)
    assert not any(tmp_path.iterdir())


@needs_tools
def test_a_short_phrase_is_told() -> None:
    notes = {text: length_note(Phrase.parse(text)) for text in ("lamp", "button")}
    for text, syllables in (("lamp", "1 syllable;"), ("button", "2 syllables;")):
        assert f"{text!r} has about {syllables}" in (notes[text] or "")
    for text in ("alexa", "hey computer", "ok nabu", "turn it on"):
        assert length_note(Phrase.parse(text)) is None


@needs_tools
def test_each_word_has_its_phonemes() -> None:
    got = phonemes(["hey", "two"])
    assert got == [["h", "'eI"], ["t", "'u:"]]


@needs_tools
@pytest.mark.parametrize("text", ["hey computer", "snowboy", "a"])
@pytest.mark.parametrize("phonetic", [False, True])
def test_near_misses_are_many_and_never_the_phrase(text: str, phonetic: bool) -> None:
    phrase = Phrase.parse(text)
    misses = NearMisses(phrase)
    rng = np.random.default_rng(0)
    drawn = [misses.draw(rng, phonetic) for _ in range(300)]
    assert len(set(drawn)) > 50
    assert not any(phrase.within(miss) for miss in drawn)
    assert phonetic == any(miss.startswith("[[") for miss in drawn)
    word = phonemes([phrase.words[-1]])[0]
    assert all(distance(word, near) >= LEAST_CHANGED for near in phonemes(misses.near[-1]))


@needs_tools
def test_a_phrase_that_takes_too_long_is_refused_with_its_length() -> None:
    assert 0.4 < usual_length_s(PHRASE) < 1.5
    with pytest.raises(ParameterError, match=r"takes about \d\.\d s; choose a shorter"):
        usual_length_s(Phrase.parse("please would you listen to me now my dear old computer"))


@pytest.mark.parametrize("kind", KINDS)
def test_noises_are_finite_and_come_from_the_seed(kind: str) -> None:
    sound = noise(kind, 2.0, np.random.default_rng(3))
    assert sound.shape == (32_000,)
    assert 0.04 < np.abs(sound).max() < 0.51
    assert np.array_equal(sound, noise(kind, 2.0, np.random.default_rng(3)))


def test_a_room_adds_echoes_after_the_sound() -> None:
    click = np.zeros(8000, np.float32)
    click[1000] = 1
    wet = in_room(click, np.random.default_rng(0))
    assert wet.shape == click.shape
    assert wet[1000] == pytest.approx(1, abs=0.01)
    assert np.abs(wet[:1000]).max() < 1e-5
    assert np.abs(wet[1100:3000]).max() > 1e-3


def test_a_recording_is_as_long_as_its_sound_and_another_each_time() -> None:
    sound = np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    heard = [recorded(sound, np.random.default_rng(seed)) for seed in range(20)]
    assert {(h.shape, h.dtype) for h in heard} == {(sound.shape, sound.dtype)}
    unchanged = sum(np.array_equal(h, sound) for h in heard)
    assert 0 < unchanged < 10  # two in ten are as spoken
    assert len({h.tobytes() for h in heard}) == 21 - unchanged
    assert np.array_equal(recorded(sound, np.random.default_rng(3)), heard[3])


def test_no_voice_is_both_taught_and_held_out() -> None:
    for taught, held_out in zip(voices_of(False), voices_of(True), strict=True):
        assert taught
        assert held_out
        assert not set(taught) & set(held_out)


def speech_in(folder: Path, phrase: Phrase = PHRASE, positives: Path | None = None) -> Speech:
    return Speech(phrase, 1.5, FEW, 0, folder, positives)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    speech_in(folder).write(2, lambda done, total: None)
    return folder


def sounds(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.flac")}


@needs_tools
def test_an_interrupted_synthesis_goes_on_to_the_same_files(speech: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(speech, copy)
    lost = [copy / "training/phrase/00001.flac", copy / "held_out/running/00002.flac"]
    kept = copy / "training/near/00000.flac"
    for path in lost:
        path.unlink()
    before = kept.stat().st_mtime_ns
    steps: list[tuple[int, int]] = []
    speech_in(copy).write(1, lambda done, total: steps.append((done, total)))
    assert sounds(copy) == sounds(speech)
    assert kept.stat().st_mtime_ns == before
    assert steps[-1] == (len(sounds(speech)),) * 2


@needs_tools
def test_speech_of_another_phrase_is_replaced_and_a_foreign_folder_is_not(
    speech: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(speech, copy)
    speech_in(copy, Phrase.parse("snowboy")).write(2, lambda done, total: None)
    assert (copy / "held_out/clips/snowboy").is_dir()
    assert not (copy / "held_out/clips/hey_computer").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="need a folder of synthetic speech"):
        speech_in(tmp_path / "mine").write(1, lambda done, total: None)
    assert (tmp_path / "mine" / "letter.txt").exists()


@needs_tools
def test_clips_are_of_one_length_and_end_soon_after_their_sound(speech: Path) -> None:
    for side in ("training", "held_out"):
        for kind in ("phrase", "near", "words"):
            for path in (speech / side / kind).glob("*.flac"):
                samples, rate_hz = soundfile.read(path)
                assert (rate_hz, samples.shape) == (16_000, (24_000,))
                assert 0.05 < np.abs(samples).max() < 0.9
                assert np.abs(samples[-8000:]).max() > 0.01


@needs_tools
def test_the_phrase_is_said_as_slowly_as_people_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 770 recordings of two phrases by people: half last longer than 1.1 times as long as usual, a
    # twentieth than 1.46 times (docs/training-notebook.md)
    stretches: list[float] = []

    def said(text: str, voice: Voice, manner: Manner) -> np.ndarray:
        if text == PHRASE.text:
            stretches.append(manner.stretch)
        return np.full(3200, 0.5, np.float32)

    monkeypatch.setattr(training_set, "speak", said)
    monkeypatch.setattr(training_set, "recorded", lambda sound, rng: sound)
    monkeypatch.setattr(wake_phrase, "usual_length_s", lambda phrase: 0.8)
    amounts = Amounts(100, 1, 1, 1, running_min=0.1, held_out_min=0.1, noise_min=0.1)
    clip_s = wake_phrase.recipe_for(PHRASE).clip_s
    Speech(PHRASE, clip_s, amounts, 0, tmp_path).write(1, lambda done, total: None)
    assert len(stretches) == 100 + 2 * 20  # held-out voices say it in clips, and by itself
    assert 0.75 <= min(stretches) < 0.85
    assert 1.05 < np.median(stretches) < 1.15
    assert 1.45 < np.quantile(stretches, 0.95) < max(stretches) <= 1.6
    assert clip_s >= 0.8 * 1.46 + max(training_set.TAIL_S)


@needs_tools
def test_varied_clips_are_as_high_as_people_and_pause_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manners: list[Manner] = []
    syllable, gap = np.full(2400, 0.5, np.float32), np.zeros(640, np.float32)

    def said(text: str, voice: Voice, manner: Manner) -> np.ndarray:
        manners.append(manner)
        return np.concatenate([syllable, gap, syllable])

    monkeypatch.setattr(training_set, "speak", said)
    monkeypatch.setattr(training_set, "recorded", lambda sound, rng: sound)
    monkeypatch.setattr(training_set.Speech, "_context", lambda *_: np.zeros(1, np.float32))
    amounts = Amounts(200, 100, 1, 1, running_min=0.1, held_out_min=0.1, noise_min=0.1)
    gaps, drawn = {}, {}
    for varied in (False, True):
        manners.clear()
        folder = tmp_path / str(varied)
        Speech(PHRASE, 1.5, amounts, 0, folder, varied=varied).write(1, lambda done, total: None)
        assert (folder / "training" / "varied").exists() == varied
        assert not (folder / "held_out" / "varied").exists()
        clips = sorted((folder / "training" / ("varied" if varied else "") / "phrase").iterdir())
        assert len(clips) == 200
        heard = [np.flatnonzero(soundfile.read(clip)[0]) for clip in clips]
        gaps[varied] = [int(np.diff(places).max()) - 640 for places in heard]
        drawn[varied] = set(manners)
    assert len(list((tmp_path / "True/training/varied/near").iterdir())) == 100
    assert max(gaps[False]) < 16
    # of an exponential distribution of 60 ms, in samples
    assert np.quantile(gaps[True], [0.25, 0.5, 0.9]) == pytest.approx([276, 665, 2210], rel=0.3)
    others = drawn[True] - drawn[False]
    assert (len(others), len(drawn[False] - drawn[True])) == (300, 0)
    assert max(manner.pitch for manner in drawn[False]) < 1.5
    pitches = [manner.pitch for manner in others]
    assert 0.75 <= min(pitches) < 0.8
    assert 2.0 < max(pitches) <= 2.2
    tracts = [manner.tract * manner.pitch**0.3 for manner in others]
    assert 0.92 <= min(tracts) < max(tracts) <= 1.08


def recording(path: Path, rate_hz: int = 16_000, seconds: float = 0.6) -> Path:
    """A tone between silences, as a person's recording of a phrase."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(round(rate_hz * seconds)) / rate_hz
    tone = 0.3 * np.sin(2 * np.pi * 300 * time_s)
    quiet = np.random.default_rng(0).standard_normal(rate_hz) * 1e-4
    soundfile.write(path, np.concatenate([quiet, tone, quiet]), rate_hz)
    return path


def test_the_phrase_is_found_in_recordings_of_any_kind(tmp_path: Path) -> None:
    recording(tmp_path / "a.wav", 44_100)
    recording(tmp_path / "deep" / "b.flac", 8_000)
    found = read_recordings(tmp_path, 24_000)
    assert len(found) == 2
    assert all(0.55 < len(sound) / 16_000 < 0.75 for sound in found.values())


@pytest.mark.parametrize("fault", ["nothing", "text", "long", "silence"])
def test_recordings_that_cannot_be_used_are_named(fault: str, tmp_path: Path) -> None:
    if fault == "text":
        (tmp_path / "bad.wav").write_text("no sound")
    elif fault == "long":
        recording(tmp_path / "bad.wav", seconds=4)
    elif fault == "silence":
        soundfile.write(tmp_path / "bad.wav", np.zeros(16_000), 16_000)
    name = tmp_path.name if fault == "nothing" else "bad.wav"
    with pytest.raises((DataError, AudioError), match=rf"{name}: need"):
        read_recordings(tmp_path, 24_000)


@needs_tools
def test_own_recordings_are_taught_and_every_fifth_is_held_out(tmp_path: Path) -> None:
    for index in range(5):
        recording(tmp_path / "mine" / f"{index}.wav")
    folder = tmp_path / "speech"
    speech_in(folder, positives=tmp_path / "mine").write(2, lambda done, total: None)
    assert len(list((folder / "training/recordings").glob("*.flac"))) == FEW.recordings
    assert len(list((folder / "held_out/clips/hey_computer").glob("recording-*.flac"))) == 1


def test_without_the_tools_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="apt-get install espeak-ng flite"):
        usual_length_s(PHRASE)


@pytest.mark.parametrize(
    "values",
    [
        {"frase": 3},
        {"near": 0},
        {"near": 1.5},
        {"noise_min": "ten"},
        {"words": True},
        {"kokoro": 1.5},
    ],
)
def test_wrong_amounts_are_refused_by_name(values: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="recipe speech"):
        Amounts.from_dict(values)


@needs_tools
def test_real_speech_is_taught_but_for_the_phrase(speech: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
    from kws_stream.training.wake_phrase import corpus_of, recipe_for

    for name in ("other_words/hey_computer", "other_words/tea", "wake_phrases/hey_computer"):
        recording(tmp_path / name / "a.wav")
    recipe = recipe_for(PHRASE)
    corpus = corpus_of(speech, tmp_path, recipe, tmp_path / "cache")
    assert list(corpus.clips["other_words"].words) == ["tea"]
    assert set(corpus.streams) == {"running", "noise"}
    assert corpus.clips["phrase"].envelopes.shape[1] == recipe.clip_hops
