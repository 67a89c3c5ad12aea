"""One command makes a wake phrase's model, whatever the words, or says in a sentence why not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kws_stream import KeywordSpotter, evaluation, packs
from kws_stream.cli import main
from kws_stream.features import FeatureSettings
from kws_stream.training import wake_phrase
from kws_stream.training.corpus import Corpus, audio_files, load_envelopes
from kws_stream.workers import Workers
from tests.test_wake_phrase import needs_tools, recording
from tests.tiny_verifier import tiny_graphs


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
    from kws_stream.training import verifier_again, verifying
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
    corpora: list[Corpus] = []
    teach = verifier_network.teach

    def listen(corpus: Corpus, *rest: Any) -> Any:
        corpora.append(corpus)
        return teach(corpus, *rest)

    monkeypatch.setattr(verifier_network, "teach", listen)
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    words = ["tiny.toml", "--wake-phrase", "Hey computer", "--output", "pack", "--threads", "1"]
    code, said = run(*words, "--verifier", "mcu")
    assert code == 0, said
    pack = packs.load("pack")
    assert pack.verifier is not None
    assert (pack.verifier.kind, pack.verifier.package) == ("mcu", None)
    # it has learnt from other clips of the phrase than the network, and was held to the same ones
    speech = Path("runs/hey-computer/speech")
    wanted = load_envelopes(
        audio_files(speech / "training" / "varied" / "phrase"),
        *(FeatureSettings.from_dict(pack.features), Path("runs/cache"), 1),
        clip_s=pack.manifest["recipe"]["clip_s"],
    )
    heard = corpora[0].clips["phrase"]
    assert np.array_equal(heard.envelopes[heard.splits == "training"], wanted)
    held_out = list((speech / "held_out" / "phrase").iterdir())
    assert (heard.splits != "training").sum() == len(held_out) > 0
    # and the network triggers sooner than without it
    code, said = run(*words[:-3], "plain", "--threads", "1", "--verifier", "none", "--resume")
    assert code == 0, said
    plain, eager = (p.network.parameters.classifier for p in (packs.load("plain"), pack))
    assert np.array_equal(plain.weight, eager.weight)
    assert (eager.bias - plain.bias).tolist() == [wake_phrase.EAGER, 0.0]
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
