"""A command that takes more than a second says how far it is: a bar, or lines in a log."""

import ast
import json
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

import kws_stream
from kws_stream.cli import main
from kws_stream.cli import progress as progress_module
from kws_stream.cli.progress import progress
from kws_stream.constants import RECORDING

DATA = Path(kws_stream.__file__).parent / "_data"
PAUSE_S = 0.15


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines at once, and often."""
    for name in ("FIRST_S", "EVERY_S", "LATER_S"):
        monkeypatch.setattr(progress_module, name, 0.02)


@pytest.mark.usefixtures("quick")
def test_a_log_gets_lines_with_how_much_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("computing envelopes", "recordings") as done:
        time.sleep(PAUSE_S)
        done(3200, 30_000)
        time.sleep(PAUSE_S)
        done(30_000, 30_000)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "computing envelopes, 0 s so far"
    assert lines[1:] == [
        "computing envelopes 3,200/30,000 recordings",
        "computing envelopes 30,000/30,000 recordings",
    ]


@pytest.mark.usefixtures("quick")
def test_messages_bytes_and_new_work_have_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("fetching", "MB") as done:
        done(1_500_000, None)
        time.sleep(PAUSE_S)
        done(2_000_000, 4_000_000, what="unpacking")
        done.say("one \x1b[31m thing")
        time.sleep(PAUSE_S)
    assert capsys.readouterr().err.splitlines() == [
        "fetching 2 MB",
        "one \\x1b[31m thing",
        "unpacking 2/4 MB",
    ]


def test_what_is_done_at_once_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("scoring clips") as done:
        done(1, 1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("quick")
def test_work_that_fails_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with progress("scoring clips") as done:
            done(1, 9)
            time.sleep(PAUSE_S)
            done(2, 9)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert capsys.readouterr().err.splitlines()[0] == "scoring clips 1/9"


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def of_terminal(**settings: object) -> Console:
        return Console(stderr=True, force_terminal=True, width=100, legacy_windows=False)

    monkeypatch.setattr("rich.console.Console", of_terminal)
    with progress("computing [envelopes]") as done:
        done(3200, 30_000)
        done.say("a [message]")
    shown = capsys.readouterr().err
    for text in ("computing [envelopes]", "3,200/30,000", "a [message]"):
        assert text in shown


@pytest.mark.usefixtures("quick")
def test_json_on_standard_output_is_not_disturbed(tmp_path: Path) -> None:
    shutil.copy(RECORDING, tmp_path)
    shutil.copy(DATA / "demo.json", tmp_path)
    words = ["evaluate-stream", str(tmp_path), "-m", "yes-4", "--jobs", "1", "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["words"] == 3
    assert "hearing recordings" in result.stderr


def test_detect_tells_of_a_long_file_and_not_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_S", "EVERY_S", "LATER_S"):  # the file takes a few hundredths of a second
        monkeypatch.setattr(progress_module, name, 0.0)
    told = CliRunner().invoke(main, ["detect", "--json", str(RECORDING)])
    assert f"{RECORDING}: heard 32/32 s" in told.stderr
    assert all(json.loads(line)["type"] == "event" for line in told.stdout.splitlines())
    piped = CliRunner().invoke(main, ["detect", "-"], input=bytes(32_000 * 20))
    assert "heard" not in piped.stderr


LONG = {
    *(
        "training/runs",
        "training/wake_phrase",
        "search",
        "evaluate",
        "evaluate_stream",
        "tune",
        "data",
    ),
    *("verify_backends", "spice", "power", "detect", "chip/common", "chip/montecarlo"),
    *("chip/noise", "chip/robustness", "chip/pvt", "chip/quantise", "chip/scaling"),
    "chip/calibrate",
}


@pytest.mark.parametrize("name", sorted(LONG))
def test_every_command_that_may_take_long_shows_its_progress(name: str) -> None:
    package = Path(kws_stream.__file__).parent
    folder = package if name.startswith("training/") else package / "cli"
    source = (folder / f"{name}.py").read_text("utf-8")
    called = [
        ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)
    ]
    assert {"progress", "reporter.progress"} & set(called)
    assert "Progress" not in called


@pytest.mark.parametrize("name", ["train", "teach", "train_verifier"])
def test_every_training_shows_its_progress_in_the_terminal(name: str) -> None:
    source = (Path(kws_stream.__file__).parent / "cli" / f"{name}.py").read_text("utf-8")
    runs = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("training.")
    ]
    assert runs
    assert all("reporter=TERMINAL" in run or "**in_both" in run for run in runs)
