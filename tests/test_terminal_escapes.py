"""Text from outside never reaches a terminal as something that it acts on."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream.cli import main
from kws_stream.cli.output import printable
from kws_stream.constants import RECORDING

DEMO = RECORDING
NASTY = "a\x1b]0;title\x07\x1b[31m\u202e\x9b2J"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("\x07\x9b\x7f", "\\x07\\x9b\\x7f"),
        ("\u202ewav.exe", "\\u202ewav.exe"),
        ("\udcff", "\\udcff"),
        ("J\u00fcrgen \u65e5\u672c\n\t'\\x", "J\u00fcrgen \u65e5\u672c\n\t'\\x"),
        ("a\rb", "a\\rb"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def harmless(text: str) -> bool:
    return printable(text) == text


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
@pytest.mark.parametrize(
    "words",
    [
        ["detect", "FILE", "DEMO"],
        ["detect", "FILE.missing"],
        ["detect", "FILE", "--power-report"],
        ["evaluate-stream", "FILE", "DEMO", "--jobs", "1"],
        ["tune", "yes-4", "FOLDER", "--jobs", "1"],
        ["tune", "yes-4", "--positives", "FOLDER", "--jobs", "1"],
        ["evaluate", "FOLDER", "--task", "yes"],
        ["evaluate-stream", "DEMO", "--json-file", "FOLDER/nothing/out.json"],
        ["evaluate-stream", "DEMO", "-m", "FILE"],
        ["detect", "DEMO", "--threshold", "FILE=0.5"],
        ["FILE"],
        ["triggers", "list", "FOLDER/nothing"],
    ],
)
def test_names_of_files_are_shown_harmlessly(tmp_path: Path, words: list[str]) -> None:
    folder = tmp_path / NASTY
    (folder / NASTY).mkdir(parents=True)
    file = folder / NASTY / f"{NASTY}.flac"
    shutil.copy(DEMO, file)
    file.with_suffix(".json").write_text(
        json.dumps({"words": [{"word": NASTY, "start_s": 1, "end_s": 2}]})
    )
    (folder / NASTY / f"._{NASTY}.flac").write_text("left out")
    names = {"FILE": str(file), "FOLDER": str(folder), "DEMO": str(DEMO)}
    for name, value in names.items():
        words = [word.replace(name, value) for word in words]
    result = CliRunner().invoke(main, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert harmless(result.stdout), result.stdout
    assert harmless(result.stderr), result.stderr
    assert "\\x1b" in result.output


def test_keywords_of_triggers_are_shown_harmlessly(tmp_path: Path) -> None:
    stem = "trigger-20261124T122011483210-x"
    event = {"keyword": NASTY, "score": 0.5, "start_s": 0.1, "time_s": 0.5}
    record = {"format": 1, "kept_at": NASTY, "audio_start_s": 0, "event": event, "source": NASTY}
    (tmp_path / f"{stem}.json").write_text(json.dumps(record))
    soundfile.write(tmp_path / f"{stem}.wav", np.zeros(1600), 16_000)
    for words, given in ((["list"], ""), (["list", "--json"], ""), (["label"], "quit\n")):
        shown = CliRunner().invoke(main, ["triggers", words[0], str(tmp_path), *words[1:]], given)
        assert harmless(shown.output), shown.output
        assert "\\x1b" in shown.output or "\\u001b" in shown.output
