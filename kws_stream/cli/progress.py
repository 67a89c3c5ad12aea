"""How far a command is, on standard error: a bar in a terminal, now and then a line in a log.

A command that is done within a second says nothing. What works without telling how far it is, in
another process or in a library, still shows that it is at work.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from kws_stream.cli.output import complain, printable

if TYPE_CHECKING:
    from rich.progress import Progress

FIRST_S = 1.0  # after the start, in a log: the first line
EVERY_S = 5.0  # the next ones, in the first minute
LATER_S = 30.0
_MINUTE_S = 60.0


class ShownReport:
    """Hears how much of the work is done, and of how much; `say` prints a message beside it."""

    def __init__(self, what: str, unit: str = "", bar: "Progress | None" = None) -> None:
        self.what, self.unit = what, unit
        self._began = time.monotonic()
        self._done: float | None = None
        self._total: float | None = None
        self._bar = bar
        self._task = None if bar is None else bar.add_task(what, total=None, shown="")

    def __call__(self, done: float, total: float | None = None, what: str | None = None) -> None:
        """what: the work has come to something else than it began with."""
        self._done, self._total = done, total
        self.what = what or self.what
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=done,
                total=total,
                description=self.what,
                shown=self._amount(),
            )

    def say(self, text: str) -> None:
        """Print a line for people."""
        if self._bar is None:
            _print(text)
        else:
            self._bar.console.print(text, highlight=False, soft_wrap=True, markup=False)

    @property
    def counts(self) -> bool:
        """Whether it is known how much is done."""
        return self._done is not None

    def text(self) -> str:
        """A line of a log, such as "computing envelopes 3,200/30,000"."""
        if self._done is None:
            return f"{self.what}, {time.monotonic() - self._began:.0f} s so far"
        return f"{self.what} {self._amount()}"

    def _amount(self) -> str:
        scale = 1e6 if self.unit == "MB" else 1.0
        known = [value for value in (self._done, self._total) if value is not None]
        numbers = "/".join(f"{value / scale:,.0f}" for value in known)
        return f"{numbers} {self.unit}".rstrip()


@contextlib.contextmanager
def progress(
    what: str, unit: str = "", *, lines: bool = False, first_s: float | None = None
) -> Iterator[ShownReport]:
    """Show how far a piece of work is while the body does it.

    what: a participle and its object, "computing envelopes". unit: of the numbers that the report
    gets; "MB" for bytes. lines: never a bar, for commands whose results come meanwhile. first_s:
    when a log gets its first line.
    """
    bar = None if lines else _bar()
    if bar is not None:
        with bar:
            yield ShownReport(what, unit, bar)
        return
    report = ShownReport(what, unit)
    teller = _Teller(report, FIRST_S if first_s is None else first_s)
    try:
        yield report
        teller.finish()
    finally:
        teller.stop()


class _Terminal:
    """The `Reporter` of a training: bars or lines of progress, and messages."""

    progress = staticmethod(progress)
    note = staticmethod(complain)


TERMINAL = _Terminal()


def _bar() -> "Progress | None":
    """A bar on standard error; None where that is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[shown]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )


class _Teller:
    """A thread that prints the lines of a report when their time has come."""

    def __init__(self, report: ShownReport, first_s: float) -> None:
        self._report = report
        self._first_s = first_s
        self._ended = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self._thread.start()

    def _tell(self) -> None:
        began, wait_s = time.monotonic(), self._first_s
        while not self._ended.wait(wait_s):
            self._line()
            wait_s = EVERY_S if time.monotonic() - began < _MINUTE_S else LATER_S

    def _line(self) -> None:
        text = self._report.text()
        if text != self._told:
            _print(text)
            self._told = text

    def finish(self) -> None:
        """All is done: a log that has begun to tell of it tells that, too."""
        self.stop()
        if self._told and self._report.counts:
            self._line()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def _print(text: str) -> None:
    with contextlib.suppress(OSError):  # a log on a full disk, or that nobody reads
        click.echo(printable(text), err=True)
