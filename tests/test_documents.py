"""What the documents show works: Python runs, commands parse, make targets and links exist."""

import re
import shlex
import sys
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def blocks(document: Path, language: str) -> list[tuple[int, str]]:
    """Line number and text of each fenced block in that language."""
    text = document.read_text(encoding="utf-8")
    found = [match for match in BLOCK.finditer(text) if match[1] == language]
    return [(text.count("\n", 0, match.start(2)) + 1, match[2]) for match in found]


def commands(document: Path) -> list[list[str]]:
    """Every command after a $ in a console block; the parts of a pipe each by itself."""
    found = []
    for _, text in blocks(document, "console"):
        for line in text.replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                for part in line[2:].split(" | "):
                    found.append(shlex.split(part, comments=True))
    return [words for words in found if words]


def label(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


RUN_IN_TEST_TUTORIALS = ("tutorials", "gallery")
WITH_PYTHON = [
    document
    for document in DOCUMENTS
    if blocks(document, "python") and document.parent.name not in RUN_IN_TEST_TUTORIALS
]
COMMANDS = [(name(document), words) for document in DOCUMENTS for words in commands(document)]
OURS = [(where, words) for where, words in COMMANDS if words[0] == "kws-stream"]
MAKE = [(where, words) for where, words in COMMANDS if words[0] == "make"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("document", WITH_PYTHON, ids=name)
def test_python_in_documents_runs_without_a_warning(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, text in blocks(document, "python"):
        padded = "\n" * (line - 1) + text  # a traceback then shows the document's own line
        exec(compile(padded, str(document), "exec"), namespace)


@pytest.mark.parametrize(("where", "words"), OURS, ids=label)
def test_commands_in_documents_are_understood(
    where: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kws_stream.cli import main

    monkeypatch.setattr(click.Command, "invoke", lambda self, context: None)  # parse, do not run
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, f"{where}: {words}"


@pytest.mark.parametrize(("where", "words"), MAKE, ids=label)
def test_make_targets_in_documents_exist(where: str, words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in words[1:] if "=" not in word]
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"{where}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    broken = [
        target
        for target in targets
        if not re.match(r"https?://", target) and not (document.parent / target).exists()
    ]
    assert broken == []


def test_readme_has_its_two_commands_and_an_example() -> None:
    readme = ROOT / "README.md"
    assert [words for words in commands(readme) if words[0] == "make"][:2] == [
        ["make", "demo"],
        ["make", "test"],
    ]
    assert blocks(readme, "python")


FILES = re.compile(r"\b(?:tests|scripts|benchmarks|packaging|recipes)/[\w/-]+\.(?:py|toml|txt)\b")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_of_the_repository_that_a_document_names_is_there(path: Path) -> None:
    for name in FILES.findall(path.read_text("utf-8")):
        assert (ROOT / name).is_file(), name


def test_each_errand_of_contributing_names_at_most_four_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text.partition("## Where to begin")[2].partition("\n## ")[0]
    errands = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(errands) == 7
    for files in errands:
        named = [path for path in re.findall(r"`([^`]+)`", files) if "/" in path or "." in path]
        assert 0 < len(named) <= 4
        assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", ["reliability", "security"])
def test_every_promise_names_tests_that_exist(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:tests|scripts|benchmarks)/[\w/]+\.\w+", text))
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).is_file()] == []
