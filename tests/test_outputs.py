"""What a command cannot write is refused before its work, not after it."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kws_stream import files
from kws_stream.cli import main
from kws_stream.search.table import Table

FILE_OPTIONS = {"--json-file", "--plot", "--csv", "--report"}
FILES_OF_OUTPUT = {"calibrate", "claims", "program", "export-onnx", "ask-teacher"}
RECIPE = "recipes/yes-4.toml"
SPACE = "recipes/search-yes-4.toml"
NOWHERE = "no-such-input"

# Commands that write a folder, with inputs that are not there: the output is refused before them.
FOLDERS = {
    "tune": ["tune", NOWHERE, NOWHERE, "-o"],
    "train": ["train", RECIPE, "--data", NOWHERE, "-o"],
    "run": ["train", RECIPE, "--data", NOWHERE, "-o", "never-made", "--run"],
    "train-verifier": ["train-verifier", NOWHERE, "--data", NOWHERE, "-o"],
    "teach": ["teach", RECIPE, "--data", NOWHERE, "-o"],
    "search": ["search", RECIPE, "--space", SPACE, "--data", NOWHERE, "--trials", "1", "-o"],
    "frontier": ["chip", "frontier", "-m", NOWHERE, "--divide", "2", "-o"],
    "quantise": ["chip", "quantise", "-m", NOWHERE, "--weights", "4", "--biases", "6", "-o"],
    "save": ["evaluate-stream", "-m", NOWHERE, "--synthesise", NOWHERE, "--save"],
    "figures": ["chip", "claims", "--data", NOWHERE, "--figures"],
    "kokoro": ["data", "fetch", "kokoro", "--from", ".", "-o"],
}
NEEDS = {"run": ["torch"], "search": ["optuna", "torch"]}  # asked for before the output


def options(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Option]]:
    """Every option of every command that takes the name of a file to write."""
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        assert command is not None
        if isinstance(command, click.Group):
            yield from options(command, f"{name}{each} ")
            continue
        for option in command.params:
            if isinstance(option, click.Option) and (
                FILE_OPTIONS & set(option.opts) or ("-o" in option.opts and each in FILES_OF_OUTPUT)
            ):
                yield f"{name}{each} {option.opts[-1]}", option


OPTIONS = dict(options(main))


@pytest.fixture(params=["missing", "folder", "file", "closed", "long"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: object) -> Path:
    """A place at which no file can be written."""
    place = bad_folder(request.param, tmp_path, monkeypatch)
    if request.param == "folder":
        (tmp_path / "x.html.png").mkdir()
        return tmp_path / "x.html.png"
    return place / "x.html.png" if request.param != "long" else place.with_suffix(".html.png")


def bad_folder(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "file").write_text("mine")
    if kind == "closed":  # also for root, who may write everywhere
        (tmp_path / "closed").mkdir()
        closed, access = (tmp_path / "closed").resolve(), os.access
        monkeypatch.setattr(
            os, "access", lambda path, mode: Path(path) != closed and access(path, mode)
        )
    return tmp_path / {"long": "x" * 300}.get(kind, kind)


def test_options_were_found() -> None:
    assert len(OPTIONS) > 25
    assert {name.split()[-2] for name in OPTIONS if "--output" in name} == FILES_OF_OUTPUT


@pytest.mark.parametrize("name", OPTIONS)
def test_a_file_that_cannot_be_written_is_refused_when_options_are_read(
    name: str, no_file: Path
) -> None:
    option = OPTIONS[name]
    said = "need a file in a folder that can be written|is a directory"
    with pytest.raises(click.BadParameter, match=said):
        option.process_value(click.Context(main), str(no_file))


@pytest.mark.parametrize("kind", ["file/below", "closed/below", "long"])
@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(
    command: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in NEEDS.get(command, []):
        pytest.importorskip(module)
    kind, _, below = kind.partition("/")
    place = bad_folder(kind, tmp_path, monkeypatch) / below
    done = CliRunner().invoke(main, [*FOLDERS[command], str(place)])
    assert done.exit_code in (1, 2)
    text = done.output
    assert "folder that can be written" in text or "cannot be made or written" in text, text
    assert NOWHERE not in text.replace(str(place), "")
    assert not place.exists() if kind != "long" else True


@pytest.mark.parametrize("command", ["tune", "frontier", "quantise"])
def test_a_folder_that_holds_something_takes_no_new_pack(command: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*FOLDERS[command], str(tmp_path)])
    assert "exists; need a new folder for the pack" in done.output


def test_a_device_and_a_new_file_are_good_places(tmp_path: Path) -> None:
    files.check_file(tmp_path / "new")
    files.check_file(os.devnull)
    (tmp_path / "old").write_text("old")
    files.check_file(tmp_path / "old")
    files.check_folder(tmp_path / "a" / "b")
    Table(tmp_path / "a" / "b", {"space": {}})
    assert (tmp_path / "old").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
