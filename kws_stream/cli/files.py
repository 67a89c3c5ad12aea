"""Files of commands: recordings to hear, and what is written, all of it or nothing."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kws_stream import files
from kws_stream.cli.output import tell_channels
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import PackError

if TYPE_CHECKING:
    from kws_stream.audio import FileSource

T = TypeVar("T", str, Path, None)


def check_file(context: click.Context, option: click.Parameter, file: T) -> T:
    """Refuse, before hours of work, a file that cannot be written after them."""
    if file is not None and os.fspath(file) != "-":
        try:
            files.check_file(file)
        except OSError as error:
            raise click.BadParameter(
                f"need a file in a folder that can be written, got {os.fspath(file)!r}: "
                f"{error.strerror or error}."
            ) from error
    return file


def check_new_pack(context: click.Context, option: click.Parameter, folder: T) -> T:
    """As `check_file`, of a folder that a pack is written to, and that is not there yet."""
    from kws_stream import packs

    if folder is not None:
        if os.path.lexists(folder):
            raise PackError(f"{folder} exists; need a new folder for the pack, name another")
        packs.check_replaceable(folder)
    return folder


def write_json(path: Path, figures: dict[str, Any]) -> None:
    write_file(path, json.dumps(figures, allow_nan=False, indent=2) + "\n")


def encoded(text: str) -> bytes:
    """UTF-8; file names that are no text come out as the bytes that they are."""
    return text.encode("utf-8", "surrogateescape")


def write_file(path: Path, content: str | bytes) -> None:
    """All of the file or nothing of it."""
    try:
        files.write(path, encoded(content) if isinstance(content, str) else content)
    except OSError as error:
        raise click.FileError(os.fspath(path), error.strerror or str(error)) from error


def open_sound(path: str | Path, channel: int | None, to_hz: int = SAMPLE_RATE_HZ) -> "FileSource":
    """A recording at that rate; what is to be said of its channels goes to standard error."""
    from kws_stream.audio import FileSource

    return FileSource(path, channel, lambda note: tell_channels([note]), to_hz=to_hz)
