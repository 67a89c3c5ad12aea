"""A click group that loads a command when it is used, and the exit codes of all commands.

Exit codes: 0; 1 for our own errors; 2 for usage (click's own); 130 after Ctrl-C, 143 after SIGTERM
and 129 after SIGHUP, which end a command in the same way; a closed pipe is silent and 0. Any other
exception is a bug and keeps its traceback.
"""

import contextlib
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import click

from kws_stream.cli.output import ENDING, NO_ROOM, complain, printable
from kws_stream.errors import KwsStreamError, did_you_mean
from kws_stream.old_names import OldNameWarning

SIGNALLED = 128  # and the number of the signal is the exit code of a command that it ends


class _Terminated(KeyboardInterrupt):
    """SIGTERM, or SIGHUP of a terminal that is closed: as clean an end as that of Ctrl-C."""


def _terminate(number: int, frame: object) -> None:
    raise _Terminated(number)


def _let_go_of_outputs() -> None:
    """What is buffered for a closed pipe or a full disk goes nowhere, also when Python ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_outputs() -> None:
    """Standard output and standard error that were closed at the start go nowhere.

    Python has None in their place, and the next file that is opened would take their number.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.fstat(number)
        except OSError:  # free
            os.dup2(nowhere, number)
            os.close(nowhere)
            nowhere = number
        setattr(sys, name, os.fdopen(nowhere, "w", encoding="utf-8", closefd=False))


@contextlib.contextmanager
def _exit_codes() -> Iterator[None]:
    """Turn what our commands raise on purpose into exit codes."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, so that a closed pipe is noticed here
    except click.ClickException as error:
        for name in {"message", "ui_filename"} & vars(error).keys():
            vars(error)[name] = printable(vars(error)[name])
        raise
    except KwsStreamError as error:
        complain(f"error: {error}")
        raise click.exceptions.Exit(1) from error
    except KeyboardInterrupt as error:
        number = error.args[0] if isinstance(error, _Terminated) else signal.SIGINT
        raise click.exceptions.Exit(SIGNALLED + number) from error
    except BrokenPipeError as error:
        _let_go_of_outputs()
        raise click.exceptions.Exit(0) from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = "the output" if error.filename is None else os.fspath(error.filename)
        complain(f"error: need a place to write {where} to, got: {error.strerror}; make room")
        _let_go_of_outputs()
        raise click.exceptions.Exit(1) from error


_usual_warning = warnings.formatwarning


def _warning(message: Warning | str, category: type[Warning], *where: Any, **line: Any) -> str:
    """What a warning says; where it was raised is of use for warnings of other packages alone."""
    if issubclass(category, OldNameWarning):
        return f"kws-stream: warning: {printable(str(message))}\n"
    return _usual_warning(message, category, *where, **line)


OLD_OPTIONS = {
    "--figure": "--plot",
    "--out": "--output",
    "--peers": "--baselines",
    "--power-figure": "--plot",
    "--save": "--output",
}


def todays_options(command: click.Command, words: Sequence[str]) -> list[str]:
    """The words of a command with today's names of options, and a warning for each old one.

    Until version 0.1 `--json FILE` wrote a file, and `--json -` printed. -o and --output stand for
    --json-file where the command makes nothing else.
    """
    known = {name for option in command.params for name in option.opts}
    todays: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*todays, word, *left]
        name, equals, value = word.partition("=")
        new = name if name in known else OLD_OPTIONS.get(name, name)
        if name == "--json" and "--json-file" in known:
            file = value if equals else next(iter(left), "")
            if file == "-":
                left, equals, value = left[not equals :], "", ""
                warnings.warn("--json - is --json now", OldNameWarning, stacklevel=2)
            elif equals or file.endswith(".json"):
                new = "--json-file"
        if name in ("-o", "--output") and name not in known and "--json-file" in known:
            name = new = "--json-file"
        if new != name and new in known:
            warnings.warn(f"{name} is called {new} now", OldNameWarning, stacklevel=2)
            name = new
        todays.append(f"{name}{equals}{value}")
    return todays


NAMED = {"-o", "--output", "--json-file", "--save", "--run", "--keep-triggers"}
"""Options that name what is written, of which nothing goes to standard output."""


def refuse_dash(words: Sequence[str]) -> None:
    """Raises UsageError for "-" as the name of a result: it would become a file of that name."""
    for word, after in pairwise([*words, ""]):
        if word == "--":
            return
        name, _, value = word.partition("=")
        if word == "-o-" or (name in NAMED and "-" in (value, after if word == name else "")):
            instead = "--json prints it" if name == "--json-file" else "./- would be called that"
            raise click.UsageError(
                f"{word.removesuffix('-').rstrip('=')} -: need a name, for this is not written to "
                f"standard output; {instead}."
            )


class Group(click.Group):
    """A group that tells which command a mistyped one was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            near = did_you_mean(name, known) or f"; the commands are: {', '.join(known)}."
            raise click.UsageError(f"{name!r} is no command of {ctx.command_path}{near}", ctx)
        found, command, words = super().resolve_command(ctx, args)
        if command is not None:
            words = todays_options(command, words)
            if not isinstance(command, click.Group):
                refuse_dash(words)
        return found, command, words


class CommandLine(Group):
    """groups: the commands below each heading of the help.

    A command stands in the module of `package` that has its name, with "_" for "-", and is named
    alike there.
    """

    def __init__(
        self, *args: Any, package: str, groups: Mapping[str, Sequence[str]], **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self._package, self._groups = package, groups

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in self._groups.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"{self._package}.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(len(name) for name in self.list_commands(ctx))
        for heading, names in self._groups.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (name.ljust(widest), command.get_short_help_str(formatter.width))
                        for name in names
                        if (command := self.get_command(ctx, name)) is not None
                    ]
                )

    def main(self, *args: Any, **settings: Any) -> Any:
        _open_outputs()
        # a shell ignores Ctrl-C for what it starts with "&": the report is wanted there too
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number in ENDING:  # not those that `nohup` makes it ignore
                if signal.getsignal(number) == signal.SIG_DFL:
                    signal.signal(number, _terminate)
        warnings.formatwarning = _warning
        return super().main(*args, **settings)

    def make_context(
        self, info_name: str | None, args: list[str], *more: Any, **settings: Any
    ) -> click.Context:
        with _exit_codes():
            names = {name for names in self._groups.values() for name in names}
            first = next((at for at, word in enumerate(args) if word in names), len(args))
            todays = [*todays_options(self, args[:first]), *args[first:]]
            return super().make_context(info_name, todays, *more, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        with _exit_codes():
            return super().invoke(ctx)
