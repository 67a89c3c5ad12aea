"""A wake phrase is taught from speech that is made for it, by other voices than it is judged on."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import KeywordSpotter, evaluation, packs
from kws_stream.cli import main
from kws_stream.errors import AudioError, DataError, MissingExtraError, ParameterError
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
from kws_stream.speech.training_set import (
    Amounts,
    Speech,
    read_recordings,
    usual_length_s,
    voices_of,
)
from kws_stream.workers import Workers
from tests.tiny_verifier import tiny_graphs

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


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["train", *words])
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "need CONFIG.toml and --data, or --wake-phrase"),
        (["x.toml"], 2, "need CONFIG.toml and --data, or --wake-phrase"),
        (["x.toml", "--data", "d", "--positives", "p"], 2, "--positives is for --wake-phrase"),
        (["x.toml", "--data", "d", "--kokoro", "k"], 2, "--kokoro is for --wake-phrase"),
        (["x.toml", "--data", "d", "--verifier", "host"], 2, "--verifier is for --wake-phrase"),
        (["x.toml", "--data", "d", "--target-fa-per-hour", "2"], 2, "is for --wake-phrase"),
        (["--wake-phrase", "hi", "--synthetic", "s"], 2, "--synthetic is not for --wake-phrase"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: list[str], code: int, says: str, tmp_path: Path
) -> None:
    got, said = run(*words, "--output", str(tmp_path / "pack"))
    assert got == code
    assert says in said


TINY = """
steps = 3
batch_size = 4
width = 6
cells = 5
[speech]
phrase = 5
near = 5
words = 3
running_min = 0.4
held_out_min = 0.2
noise_min = 0.1
"""


@needs_tools
def test_one_command_trains_a_pack_for_any_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    recording(Path("data/running_speech/talk.wav"), seconds=9)
    recording(Path("data/running_speech/talk-0.wav"), seconds=2)  # of no training
    words = ["tiny.toml", "--wake-phrase", "Hey computer", "--data", "data", "--output", "pack"]
    words += ["--verifier", "none"]
    code, said = run(*words, "--threads", "1")
    assert code == 0, said
    assert "`kws-stream data fetch kokoro` gets them" in said
    pack = packs.load("pack")
    assert (pack.name, pack.classes, pack.keywords) == (
        "hey-computer",
        ("hey_computer", "other"),
        ("hey_computer",),
    )
    manifest = pack.manifest
    assert manifest["recipe"]["phrase"] == "hey computer"
    assert "espeak-ng 1" in manifest["data"][0]["name"]
    assert len(manifest["data"]) == 2  # and running_speech
    for metric in manifest["metrics"].values():
        assert metric["command"].startswith(("kws-stream tune", "kws-stream evaluate-stream"))
    assert 0 < manifest["detector"]["threshold"] < 1
    command = manifest["metrics"]["people_false_accepts_per_hour"]["command"]
    assert command.endswith(" runs/hey-computer/speech/held_out/people")
    first = Path("pack/network.npz").read_bytes()
    code, said = run(*words, "--threads", "1", "--resume", "--target-fa-per-hour", "60")
    assert code == 0, said
    assert "resumed at step 3" in said
    metrics = packs.load("pack").manifest["metrics"]
    assert "--target-fa-per-hour 60" in metrics["synthetic_false_reject_rate"]["command"]
    assert Path("pack/network.npz").read_bytes() == first
    assert packs.load("pack").verifier is None
    refused = CliRunner().invoke(main, ["evaluate", "data", "--task", "yes", "-m", "pack"])
    assert refused.exit_code == 2
    assert "evaluate-stream" in refused.stderr


@needs_tools
def test_one_command_trains_a_verifier_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
    from kws_stream.training import verifier_again, verifying, wake_phrase
    from kws_stream.training.verifier_head import HeadSettings, train_head

    few = HeadSettings(seeds=2, steps=5, channels=3, kept=2, units=3)
    monkeypatch.setattr(verifying, "train_head", lambda w, s, done: train_head(w, few, done))
    for module in ("training.verifying", "training.verifier_lesson", "verifier.host", "verifier"):
        monkeypatch.setattr(f"kws_stream.{module}.find_graphs", tiny_graphs)
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    words = ["tiny.toml", "--wake-phrase", "Hey computer", "--output", "pack", "--threads", "1"]
    code, said = run(*words)
    assert code == 0, said
    pack = packs.load("pack")
    assert pack.verifier is not None
    assert (pack.verifier.kind, pack.verifier.files) == ("host", tiny_graphs().checksums)
    assert 0.5 <= pack.verifier.threshold <= 1
    assert verifying.SOURCE in pack.manifest["data"]
    streams = wake_phrase.held_out_streams(Path("runs/hey-computer/speech"), "hey_computer")
    with Workers(1) as here:
        of_tail = evaluation.verifier_threshold(streams, pack, 0.3, workers=here)
        measured = evaluation.evaluate_streams(streams, pack, workers=here).point
    assert pack.verifier.threshold == of_tail[0]
    assert (of_tail[1].hits, of_tail[1].false_accepts) == (measured.hits, measured.false_accepts)
    running = sorted(Path("runs/hey-computer/speech/held_out/running").glob("*.flac"))
    for extra in ([], ["--no-verify"]):
        told = CliRunner().invoke(
            main, ["evaluate-stream", "-m", "./pack", str(running[0]), *extra]
        )
        assert told.exit_code == 0, told.stderr
        assert ("triggers per hour" in told.stdout) == (not extra)
    teach = [
        "triggers",
        "teach",
        "kept",
        "./pack",
        "--run",
        "runs/hey-computer",
        "--output",
        "taught",
    ]
    keep_trigger(Path("kept"), 1, label=None)
    told = CliRunner().invoke(main, teach)
    assert (told.exit_code, "triggers with the label yes or no" in told.stderr) == (1, True)
    keep_trigger(Path("kept"), 2, label="no")
    keep_trigger(Path("kept"), 3, label="yes")
    monkeypatch.setattr(
        verifier_again.teach_again,
        "__defaults__",
        (HeadSettings(steps=3), lambda done, total: None),
    )
    told = CliRunner().invoke(main, teach)
    assert told.exit_code == 0, told.stderr
    assert "taught from 2 triggers" in told.stdout
    taught = packs.load("taught")
    assert taught.verifier is not None
    assert taught.verifier.head != pack.verifier.head
    assert taught.verifier.files == pack.verifier.files
    assert Path("taught/network.npz").read_bytes() == Path("pack/network.npz").read_bytes()
    teach[5] = "elsewhere"
    told = CliRunner().invoke(main, teach)
    assert (told.exit_code, "elsewhere/lesson.npz: need what" in told.stderr) == (1, True)


def keep_trigger(folder: Path, number: int, label: str | None) -> None:
    """A record as `--keep-triggers` writes it, as far as teaching reads it."""
    name = f"trigger-20261124T12201{number}483210-hey_computer"
    recording(folder / f"{name}.wav", seconds=3)
    event = {"keyword": "hey_computer", "score": 0.9, "start_s": 11.0, "time_s": 12.0}
    values = {"format": 1, "event": event, "audio_start_s": 10.0, "label": label}
    (folder / f"{name}.json").write_text(json.dumps(values))


@needs_tools
def test_one_command_trains_a_verifier_for_a_microcontroller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
    from kws_stream.training import verifier_network

    few = verifier_network.NetworkSettings(steps=4, sequences=2, widths=(4, 4, 4))
    monkeypatch.setattr(verifier_network, "DEFAULT", few)
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    words = ["tiny.toml", "--wake-phrase", "Hey computer", "--output", "pack", "--threads", "1"]
    code, said = run(*words, "--verifier", "mcu")
    assert code == 0, said
    pack = packs.load("pack")
    assert pack.verifier is not None
    assert (pack.verifier.kind, pack.verifier.package) == ("mcu", None)
    assert KeywordSpotter(pack).verifier is not None
    metrics = pack.manifest["metrics"]
    assert 0 <= metrics["synthetic_false_reject_rate"]["value"] <= 1
    assert metrics["synthetic_false_reject_rate"]["words"] > 0


@needs_tools
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--wake-phrase", ""], "need words to listen for"),
        (["--wake-phrase", "hal 9000"], "write numbers and signs as words"),
        (["--wake-phrase", "hi computer", "--positives", "empty"], "need recordings"),
        (["--wake-phrase", "hi computer", "--data", "empty"], "empty: need recordings in folders"),
        (["tiny.toml", "--wake-phrase", "hi computer"], "tiny.toml: need a recipe"),
        (["words.toml", "--wake-phrase", "hi computer"], "words.toml: recipe clip_s"),
        (["phrase.toml", "--wake-phrase", "hi computer"], "phrase.toml: need a recipe without"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("words.toml").write_text('task = "yes"')
    Path("phrase.toml").write_text('phrase = "hi television"')
    code, said = run(*words, "--output", "pack")
    assert (code, said.count("\n")) == (1, 1)
    assert says in said
    assert not Path("pack").exists()


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


def test_a_place_that_holds_something_else_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    code, said = run("--wake-phrase", "hey computer", "--output", str(tmp_path))
    assert (code, said.count("\n")) == (1, 1)
    assert "holds no pack" in said


def test_a_recipe_of_a_wake_phrase_asks_for_the_option(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
    recipe = tmp_path / "phrase.toml"
    recipe.write_text('name = "x"\ntask = "wake-phrase"\nphrase = "hey computer"')
    code, said = run(str(recipe), "--data", str(tmp_path), "--output", str(tmp_path / "pack"))
    assert code == 2
    assert "add --wake-phrase WORDS" in said
