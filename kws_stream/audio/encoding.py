"""Sound as the bytes of a file.

soundfile writes to an open file by callbacks, and what a full disk raises in one of them goes to
the terminal as a traceback. So whole recordings are encoded in memory; `Writing` is for long ones.
"""

import io
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.files import write


def encoded(sound: NDArray[Any], kind: str) -> bytes:
    """A file of mono samples (n,) at 16 kHz in 16 bits; int16, or floats with full scale 1.0.

    kind: "WAV" or "FLAC".
    """
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, sound, SAMPLE_RATE_HZ, subtype="PCM_16", format=kind)
    return file.getvalue()


def write_flac(path: Path, sound: NDArray[Any]) -> None:
    """Write mono samples as `encoded` takes them as FLAC, and the folders above; all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, encoded(sound, "FLAC"))


class Writing:
    """An open file for soundfile to write to; `error` is the first that a write has raised."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return 0 if self.error else self._file.write(data)
        except OSError as error:
            self.error = error
            return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)
