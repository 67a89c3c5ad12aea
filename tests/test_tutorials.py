"""The tutorials work: every command and every Python block runs and prints what the page shows."""

import shutil
from pathlib import Path

import pytest

from scripts.tutorials import agrees, commands, run

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/tutorials/*.md"), *ROOT.glob("docs/gallery/*.md")])
NEEDS = {"microcontroller.md": ["bash", "cc", "cmp"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_a_tutorial_prints_what_it_shows(page: Path, tmp_path: Path) -> None:
    missing = [tool for tool in NEEDS.get(page.name, ["bash"]) if not shutil.which(tool)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    _, differences = run(page.read_text("utf-8"), tmp_path)
    assert differences == []


def test_an_output_that_differs_is_told_and_written_anew(tmp_path: Path) -> None:
    page = "```console\n$ echo one\none\n$ echo two \\\n    three\nfour\n```\n"
    fresh, differences = run(page, tmp_path)
    assert len(differences) == 1
    assert fresh == page.replace("four", "two three")
    assert run(fresh, tmp_path) == (fresh, [])


def test_three_dots_stand_for_any_lines() -> None:
    assert agrees("a\n...\nb\n", "a\nx\ny\nb\n")
    assert not agrees("a\n...\nb\n", "a\nx\ny\nc\n")
    assert commands("$ one \\\n  more\nout\n$ two\n") == [
        ("$ one \\\n  more\n", "out\n"),
        ("$ two\n", ""),
    ]


def test_a_command_that_fails_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="exit status 3"):
        run("```console\n$ exit 3\n```\n", tmp_path)


def test_what_is_said_not_to_run_is_left_alone(tmp_path: Path) -> None:
    page = "<!-- not run: needs a microphone -->\n```console\n$ exit 3\n```\n"
    assert run(page, tmp_path) == (page, [])
