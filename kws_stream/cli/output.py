"""What commands print: events and reports on standard output, messages on standard error."""

import contextlib
import errno
import json
import math
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kws_stream.detector import WakeEvent
    from kws_stream.power import PowerReport


ENDING = [number for number in signal.Signals if number.name in ("SIGTERM", "SIGHUP")]
"""What ends a command as Ctrl-C does; SIGHUP comes of a terminal that is closed."""

NO_ROOM = {errno.ENOSPC, errno.EROFS, errno.EIO, errno.EFBIG, getattr(errno, "EDQUOT", None)}
"""What a disk answers that is full, or that cannot be written any more."""


# What a terminal would act on in place of showing it: control characters but for tab and line feed,
# marks that turn the direction of writing, and halves of characters that cannot be encoded.
_UNSHOWN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Text from outside, such as the name of a file, with escapes for what is not to be shown."""
    return _UNSHOWN.sub(lambda found: ascii(found[0])[1:-1], text)


def say(text: str) -> None:
    """Text for people on standard output, flushed; names in it come from anywhere."""
    click.echo(printable(text))


def complaint(message: str) -> str:
    """The line of a message for people."""
    return printable(f"kws-stream: {message}")


def complain(message: str) -> None:
    """A message for people, on standard error; where that is on a full disk, it is lost."""
    try:
        click.echo(complaint(message), err=True)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """A title and a text a row; in a terminal long texts go on below themselves."""
    listed = list(rows)
    width = max(len(title) for title, _ in listed) + 1
    room = shutil.get_terminal_size().columns - width if sys.stdout.isatty() else 0
    for title, text in listed:
        lines = textwrap.wrap(text, room, break_on_hyphens=False) if room > 20 else [text]
        for line in lines or [""]:
            say(f"{title:<{width}}{line}".rstrip())
            title = ""


def print_json(value: Any) -> None:
    """One JSON value on a line; strict JSON, so never NaN. Flushed: somebody may be waiting."""
    click.echo(json.dumps(value, allow_nan=False))


def event_text(event: "WakeEvent") -> str:
    """The line of an event, as kws_format.c of the exported firmware writes it: halves go up."""
    score = math.floor(event.score * 100 + 0.5) / 100  # exact, of a multiple of 2^-24
    start_s = (round(event.start_s * 1000) + 5) // 10 / 100
    return f"{event.time_s:6.2f} s  {event.keyword}  score {score:.2f}  (from {start_s:.2f} s)"


def event_line(event: "WakeEvent", file: str, as_json: bool, with_name: bool = False) -> str:
    """An event as people or programs read it, on one line."""
    if as_json:
        return json.dumps({"type": "event", "file": file, **event.as_dict()}, allow_nan=False)
    return printable(f"{click.format_filename(file)}: " * with_name + event_text(event))


def print_event(event: "WakeEvent", file: str, as_json: bool, with_name: bool = False) -> None:
    """One event as a line, flushed at once."""
    click.echo(event_line(event, file, as_json, with_name))


def print_rich(renderable: "RenderableType") -> None:
    """Something of rich's on standard output, with colours where it is a terminal."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    with console.capture() as captured:  # rich itself would turn a closed pipe into exit code 1
        console.print(renderable)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_power(
    report: "PowerReport",
    subject: str,
    as_json: bool,
    figure: Path | None = None,
    *,
    full: bool = False,
    typed: bool = True,
) -> None:
    """The power report as the last JSON line, or as tables; and as a picture in a file.

    subject: which model heard what. full: more than fits a screen. typed: the JSON says what it
    is, for it stands among events.
    """
    if figure is not None:
        from kws_stream.power.figure import draw

        draw(report, figure, subject)
    if as_json:
        print_json(({"type": "power"} if typed else {}) | report.as_dict())
        return
    from kws_stream.cli.power_table import render, render_summary

    subject = printable(subject)
    print_rich(render(report, subject) if full else render_summary(report, subject))


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and what is `ENDING` wait until the body is done, so that no block counts by half."""
    waiting: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, *ENDING):
            before[number] = signal.signal(number, lambda number, frame: waiting.append(number))
    except ValueError:  # not the main thread: no signals arrive here
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in waiting:
        raise KeyboardInterrupt
    if waiting:
        signal.raise_signal(waiting[0])


MOST_NOTES = 3


def tell_channels(notes: Sequence[str]) -> None:
    """Sentences about the channels of files; of many the first few, and how many more there are."""
    for note in notes[:MOST_NOTES]:
        complain(f"note: {note}")
    if len(notes) > MOST_NOTES:
        complain(f"note: the same holds for {len(notes) - MOST_NOTES} more recordings")
