"""What libmpg123 writes straight to the terminal: kept from there, and read."""

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator

_TERMINAL = 2  # the file number of standard error
# Its three kinds of line, as of libmpg123 1.32: "[src/libmpg123/layer3.c:...] error: ...",
# "Note: ..." and "Warning: ..."; it puts empty lines between them.
_LINE = re.compile(rb"\[src/libmpg123/[^\]]*\] |Note: |Warning: |\s*$")
_ERROR = re.compile(rb"\[src/libmpg123/[^\]]*\] error: (.*)")
_LOCK = threading.RLock()


@contextlib.contextmanager
def libmpg123_caught() -> Iterator[list[str]]:
    """Keeps libmpg123's lines from standard error while the body runs.

    Yields a list that holds its errors, in its words, afterwards; notes and warnings are dropped.
    Whatever else is written meanwhile reaches standard error behind the body.
    """
    errors: list[str] = []
    with _LOCK, contextlib.ExitStack() as stack:
        try:
            if os.name == "nt":  # where a library may have a standard error of its own
                raise OSError("no such file number")
            file = stack.enter_context(tempfile.TemporaryFile())
            terminal = os.dup(_TERMINAL)
        except OSError:  # nowhere to keep it, or no standard error
            yield errors
            return
        stack.callback(os.close, terminal)
        os.dup2(file.fileno(), _TERMINAL)
        try:
            yield errors
        finally:
            os.dup2(terminal, _TERMINAL)
            file.seek(0)
            for line in file:
                if found := _ERROR.match(line):
                    errors.append(found[1].decode("ascii", "replace").strip())
                elif not _LINE.match(line):
                    with contextlib.suppress(OSError):
                        os.write(_TERMINAL, line)
