"""What targets share: a folder of this process for files, and what a sentence is."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_folders: list[Path] = []


def folder() -> Path:
    """The folder, made when it is first asked for."""
    if not _folders:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        _folders.append(Path(tempfile.mkdtemp(prefix="kws-stream-fuzz-", dir=memory)))
        atexit.register(shutil.rmtree, _folders[0], ignore_errors=True)
    return _folders[0]


def file(name: str, data: bytes) -> Path:
    """A file of these bytes; the one of before that had the name is gone."""
    path = folder() / name
    path.write_bytes(data)
    return path


def sentence(error: Exception) -> None:
    """Our errors say something, on one line."""
    text = str(error)
    assert text
    assert "\n" not in text, text
