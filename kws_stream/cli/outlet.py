"""Lines for a reader who may not read: nobody waits for them."""

import os
import queue
import select
import threading
import time
from collections.abc import Callable
from typing import IO, Self

_MOST_WAITING = 1000  # lines
_CLOSE_S = 1.0  # for the last of them
_LOOK_S = 0.1  # between two looks at whether it is over
_ROOM = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512  # what a pipe that has room takes


class Outlet:
    """Lines that a thread of its own writes, in order, while it is entered.

    A pipe whose reader stalls holds nobody up: lines beyond a thousand are lost, and counted. When
    writing goes on, `on_lost` is told how many they were. A line that a closed pipe or a full disk
    does not take is lost, too.
    """

    def __init__(self, stream: IO[str], on_lost: Callable[[int], None]) -> None:
        """stream: has a file number, and everything that was written to it before is flushed."""
        self._number = stream.fileno()
        self._on_lost = on_lost
        self.lost = self._told = 0
        self._until = float("inf")
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="outlet", daemon=True)

    def put(self, line: str) -> None:
        """Have a line written; never waits."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.lost += 1

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(f"{line}\n".encode("utf-8", "backslashreplace"))
            except OSError:
                self.lost += 1
                continue
            if self.lost != self._told:
                new, self._told = self.lost - self._told, self.lost
                self._on_lost(new)

    def _write(self, data: bytes) -> None:
        """All of it, in parts that never block; raises TimeoutError at the end of the time."""
        while data:
            while not _has_room(self._number):
                if time.monotonic() > self._until:
                    raise TimeoutError("nobody reads")
            data = data[os.write(self._number, data[:_ROOM]) :]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Write what waits, for a second at most."""
        self._until = time.monotonic() + _CLOSE_S
        try:
            self._lines.put(None, timeout=_CLOSE_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)


def _has_room(number: int) -> bool:
    """Whether a write would not block; waits a moment for it."""
    if not hasattr(select, "poll"):  # Windows, where pipes cannot be asked
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(1000 * _LOOK_S))
