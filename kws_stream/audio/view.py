"""A file as a decoder should see it: a part of it, some bytes changed, perhaps without an end."""

import io
from collections.abc import Mapping
from typing import Any

_NO_END = 1 << 62


class View(io.FileIO):
    """Bytes `start` to `stop` of a file, from 0; read-only.

    changed: bytes to show in place of the file's own, by their place in the file. endless: the end
    is told as far beyond all files, for libsndfile, which believes a wrong estimate of an MP3's
    length but reads on where it can make none. `position` is where the last reading ended, in the
    file.
    """

    def __init__(
        self,
        path: str,
        start: int,
        stop: int,
        changed: Mapping[int, bytes] | None = None,
        endless: bool = False,
    ) -> None:
        super().__init__(path, "rb")
        self._start, self._stop = start, stop
        self._changed = changed or {}
        self._endless = endless
        self._at = 0
        self.position = start

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        length = _NO_END if self._endless else self._stop - self._start
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        shown = memoryview(buffer).cast("B")
        at = self._start + self._at
        if (
            self._endless and self._at > _NO_END // 2
        ):  # it looks for a tag at the end: there is none
            got = min(len(shown), _NO_END - self._at)
            shown[:got] = bytes(got)
            self._at += got
            return got
        wanted = min(len(shown), self._stop - at)
        if wanted <= 0:
            return 0
        super().seek(at)
        got = super().readinto(shown[:wanted]) or 0
        for place, other in self._changed.items():
            first, last = max(place, at), min(place + len(other), at + got)
            if first < last:
                shown[first - at : last - at] = other[first - place : last - place]
        self._at += got
        self.position = at + got
        return got

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._stop - self._start - self._at)
        data = bytearray(left if size is None or size < 0 else min(size, left))
        return bytes(data[: self.readinto(data)])
