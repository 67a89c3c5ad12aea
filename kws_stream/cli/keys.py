"""Single keys from a terminal, without waiting for Enter and without waiting at all."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


class Keys:
    """`pressed` gives the keys since the last call; nothing where there is no terminal."""

    def pressed(self) -> str:
        return ""


class _PosixKeys(Keys):
    def pressed(self) -> str:
        import os
        import select

        keys = ""
        while select.select([sys.stdin], [], [], 0)[0]:
            data = os.read(sys.stdin.fileno(), 64)
            if not data:  # the terminal is gone
                break
            keys += data.decode("ascii", "ignore")
        return keys


class _WindowsKeys(Keys):
    def __init__(self, msvcrt: Any) -> None:
        self._msvcrt = msvcrt

    def pressed(self) -> str:
        keys = ""
        while self._msvcrt.kbhit():
            keys += self._msvcrt.getwch()
        return keys


@contextlib.contextmanager
def single_keys() -> Iterator[Keys]:
    """Keys while the body runs; the terminal is as before afterwards. Ctrl-C stays a signal."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield Keys()
        return
    try:
        import termios
        import tty
    except ImportError:  # Windows
        import importlib

        yield _WindowsKeys(importlib.import_module("msvcrt"))
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield _PosixKeys()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
