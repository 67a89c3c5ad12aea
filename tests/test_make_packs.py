"""One command from the training speech to the packs: scripts/make_packs.py."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from kws_stream import cli
from scripts import make_packs


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    for name in ("data/speech_commands", "kokoro"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("pictures.tar.xz", "kwt1.tflite"):
        (tmp_path / name).write_bytes(b"")
    return [
        *("--data", str(tmp_path / "data"), "--pictures", str(tmp_path / "pictures.tar.xz")),
        *("--kokoro", str(tmp_path / "kokoro"), "--classifier", str(tmp_path / "kwt1.tflite")),
        *("--out", str(tmp_path / "made")),
    ]


def test_every_command_is_one_that_the_command_line_takes(given, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(
        subprocess, "run", lambda words: commands.append(words) or SimpleNamespace(returncode=0)
    )
    done = CliRunner().invoke(make_packs.main, given)
    assert done.exit_code == 0, done.output
    ours = [words[3:] for words in commands if words[1:3] == ["-m", "kws_stream"]]
    trained = [words for words in ours if words[0] == "train"]
    assert [Path(words[1]).stem for words in trained] == list(make_packs.MODELS)
    verified = [words for words in ours if words[0] == "train-verifier"]
    assert tuple(Path(words[1]).name for words in verified) == make_packs.VERIFIED
    made = [Path(words[words.index("--output") + 1]) for words in (*trained, *verified)]
    models = tmp_path / "made" / "models"
    assert {path.name for path in made if path.parent == models} == set(make_packs.MODELS)
    for words in ours:
        command: click.Command = cli.main
        while isinstance(command, click.Group):
            name = words.pop(0)
            found = command.get_command(click.Context(command), name)
            assert found is not None, name
            command = found
        options = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= options
    scripts = {Path(words[1]) for words in commands if words[1].endswith(".py")}
    assert len(scripts) == 2
    assert all(path.is_file() for path in scripts)


def test_begun_again_it_goes_on_with_the_command_that_failed(given, tmp_path, monkeypatch):
    told: list[list[str]] = []

    def run(words: list[str]) -> SimpleNamespace:
        told.append(words)
        return SimpleNamespace(returncode=1 if "yes-8" in str(words) and len(told) < 20 else 0)

    monkeypatch.setattr(subprocess, "run", run)
    failed = CliRunner().invoke(make_packs.main, given)
    assert failed.exit_code == 1
    assert "ended with status 1" in failed.output
    before = len(told)
    checkpoint = tmp_path / "made" / "runs" / "yes-8" / "first" / "checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"")
    told.extend([[]] * 20)
    assert CliRunner().invoke(make_packs.main, given).exit_code == 0
    again = told[before + 20 :]
    assert again[0] == [*told[before - 1], "--resume"]
    assert (
        len({str(words) for words in again})
        == len(again)
        == len(make_packs.MODELS + make_packs.VERIFIED) - 1
    )


def test_what_a_model_needs_is_asked_for_before_anything_runs(given):
    without = [word for word in given if "kwt1" not in word and word != "--classifier"]
    asked = CliRunner().invoke(make_packs.main, without)
    assert asked.exit_code == 2
    assert "need --classifier" in asked.output
    alone = CliRunner().invoke(make_packs.main, [*given, "--models", "commands-35"])
    assert alone.exit_code == 2
    assert "need commands-12-large" in alone.output
