"""One name for one thing in all commands; names of before are read, with a warning."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kws_stream.cli import main
from kws_stream.cli.group import OLD_OPTIONS, refuse_dash, todays_options
from kws_stream.constants import RECORDING
from kws_stream.old_names import OldNameWarning


def below(command: click.Command, name: str = "kws-stream") -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, with their names."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from below(found, f"{name} {each}")


COMMANDS = dict(below(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_options_mean_the_same_in_every_command(name: str) -> None:
    options = {opt: one for one in COMMANDS[name].params for opt in one.opts if opt[:1] == "-"}
    for known, option in options.items():
        assert isinstance(option, click.Option)
        if known == "--json":
            assert option.is_flag
        if known in ("-o", "--output"):
            assert {"-o", "--output"} <= set(option.opts)
        if known in ("--plot", "--json-file"):
            assert option.metavar is not None
            assert option.metavar.startswith("FILE")
    old = OLD_OPTIONS.keys() - ({"--save"} if name.endswith("evaluate-stream") else set())
    assert not old & options.keys()  # the streams of evaluate-stream are no product of the model


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_a_help_text(name: str) -> None:
    command = COMMANDS[name]
    assert (command.help or "").strip()
    for one in command.params:
        if isinstance(one, click.Option):
            text = (one.help or "").strip()
            assert text, one.opts
            assert not text.startswith(("Default:", "Repeatable.")), one.opts  # says what it is


@pytest.mark.parametrize(
    ("command", "old", "today"),
    [
        ("evaluate", ["d", "--json", "x.json"], ["d", "--json-file", "x.json"]),
        ("evaluate-stream", ["a.wav", "--json", "-"], ["a.wav", "--json"]),
        ("tune", ["p", "--json=-", "a.wav"], ["p", "--json", "a.wav"]),
        ("chip noise", ["--json=out"], ["--json-file=out"]),
        ("chip quantise", ["--save", "d"], ["--output", "d"]),
        ("train", ["--out=d", "--", "--out"], ["--output=d", "--", "--out"]),
        ("power", ["yes-4", "--figure", "x.png"], ["yes-4", "--plot", "x.png"]),
        ("detect", ["--power-figure", "x.png"], ["--plot", "x.png"]),
    ],
)
def test_an_option_of_before_is_read_with_a_warning(
    command: str, old: list[str], today: list[str]
) -> None:
    with pytest.warns(OldNameWarning, match="now"):
        assert todays_options(COMMANDS[f"kws-stream {command}"], old) == today


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["-o", "--output"])
@pytest.mark.parametrize("command", ["evaluate", "evaluate-stream", "chip noise"])
def test_figures_are_what_a_command_writes_that_makes_nothing_else(command: str, name: str) -> None:
    told = todays_options(COMMANDS[f"kws-stream {command}"], ["d", name, "x.json"])
    assert told == ["d", "--json-file", "x.json"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("detect", ["--json", "-"]),
        ("evaluate-stream", ["--json", "a.wav", "--save", "d"]),
        ("tune", ["p", "a.wav", "--json", "--json-file", "x.json"]),
        ("tune", ["p", "a.wav", "-o", "new"]),
    ],
)
def test_todays_options_are_left_as_they_are(command: str, words: list[str]) -> None:
    assert todays_options(COMMANDS[f"kws-stream {command}"], words) == words


def test_the_warning_is_one_line_on_standard_error() -> None:
    for words in (["power", "yes-4", "--figure", "x.txt"], ["-m", "yes-4", "--power-figure", "x"]):
        done = subprocess.run(
            [sys.executable, "-m", "kws_stream", *words], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert "is called --plot now" in done.stderr.splitlines()[0]
        assert done.stderr.startswith("kws-stream: warning: ")


@pytest.mark.parametrize(
    "words",
    [
        ["program", "yes-4", "-o", "-"],
        ["program", "yes-4", "-o-"],
        ["export-onnx", "yes-4", "--output=-"],
        ["export-c", "yes-4", "--output", "-"],
        ["tune", "yes-4", "-o", "-"],
        ["listen", "--keep-triggers", "-"],
        ["train", "x.toml", "--data", ".", "-o", "x", "--run", "-"],
        ["evaluate", ".", "--task", "yes", "--json-file", "-"],
        ["chip", "calibrate", "x.csv", "-o", "-"],
        ["data", "fetch", "kokoro", "-o", "-"],
    ],
    ids=" ".join,
)
def test_no_result_is_written_to_a_file_called_dash(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert " -: need a name, for this is not written to standard output" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_dash_elsewhere_is_what_it_was() -> None:
    refuse_dash([])
    refuse_dash(["-o", "x", "-"])
    refuse_dash(["--rate", "8000", "--", "-o", "-"])
    refuse_dash(["--output=-x", "-"])
    refuse_dash(["--csv", "-"])


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_number_within_bounds_is_finite(number: str) -> None:
    ranges = [
        (f"{name} {option.opts[0]}", option)
        for name, command in COMMANDS.items()
        for option in command.params
        if isinstance(option.type, click.FloatRange)
    ]
    assert len(ranges) > 10
    for name, option in ranges:
        with pytest.raises(click.BadParameter, match=r"finite|range"):
            print(name, option.type.convert(number, option, None))


def test_the_circuit_of_no_seconds_is_wrong_usage() -> None:
    for options in (["--seconds", "nan"], ["--start", "nan"], ["--start", "inf"]):
        done = CliRunner().invoke(main, ["spice", "network", str(RECORDING), *options])
        assert (done.exit_code, type(done.exception)) == (2, SystemExit)
    done = CliRunner().invoke(main, ["chip-info", "yes-4", "--currents", "--unit", "nan"])
    assert (done.exit_code, done.stdout) == (2, "")
