"""What an audio file's own header says about its length, compared with the file.

libsndfile reads a file that was cut short without a word in most formats, so the sizes are
compared here: the data chunk of WAV (RIFF, RIFX, RF64, extensible or not) and AIFF, the byte count
of an MP3's Xing header, and the end-of-stream flag of the last Ogg page. A FLAC header counts
samples; whoever decodes compares that.

Formats: RIFF and WAVE (Microsoft Multimedia Programming Interface 1.0; EBU Tech 3306 for RF64),
AIFF 1.3, RFC 3533 (Ogg), ID3v2.4, and the Xing header as LAME writes it.
"""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_UNKNOWN_64 = 0xFFFF_FFFF_FFFF_FFFF
_CUT_HEADER = "the file ends inside its header"
_MOST_CHUNKS = 10_000
_LARGEST_OGG_PAGE = 27 + 255 + 255 * 255


@dataclass(frozen=True)
class Header:
    """What a header tells.

    cut: why the file must have been cut short, as the start of a sentence; empty if nothing tells.
    zero_size_at: where a WAV holds a data size of 0 that means "to the end of the file"; else None.
    """

    cut: str = ""
    zero_size_at: int | None = None


def inspect_header(path: Path) -> Header:
    """Compare what the header of `path` promises with what is there; raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        magic = file.read(12)
        if magic[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM") and size < 12:
            return Header(_CUT_HEADER)
        if magic[:4] in (b"RIFF", b"RIFX", b"RF64") and magic[8:] == b"WAVE":
            return _wave(file, size, magic)
        if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
            return _aiff(file, size)
        if magic[:4] == b"OggS":
            return _ogg(file, size)
        return _mp3(file, size)


def _unknown(size: int) -> bool:
    """Whether a 32-bit size is what writers to a pipe put where they cannot know it.

    ffmpeg writes 2^32 - 1, sox 2^31 - 4096, arecord 2^31 or a little less; some subtract the
    header. Within 4 KiB of either power of two nothing else is likely.
    """
    return abs(size - (1 << 31)) <= 4096 or size >= (1 << 32) - 4096


def _chunks(file: BinaryIO, size: int, big_endian: bool) -> Iterator[tuple[bytes, int, int]]:
    """(name, where the body starts, bytes it promises) of every chunk after the form's header."""
    at = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "big" if big_endian else "little")
        yield head[:4], at + 8, length
        at += 8 + length + length % 2
        if at >= size:
            return


def _shortfall(promised: int, present: int) -> str:
    return f"the header promises {promised} bytes of audio and the file holds {max(present, 0)}"


def _wave(file: BinaryIO, size: int, magic: bytes) -> Header:
    big_endian = magic[:4] == b"RIFX"
    form = int.from_bytes(magic[4:8], "big" if big_endian else "little")
    long_size = None
    for name, body, promised in _chunks(file, size, big_endian):
        if name == b"ds64" and magic[:4] == b"RF64":
            file.seek(body + 8)  # after the 64-bit size of the form
            long_size = int.from_bytes(file.read(8), "little")
        if name != b"data":
            continue
        if long_size is not None and promised == 0xFFFF_FFFF:
            if long_size in (0, _UNKNOWN_64):
                return Header()
            promised = long_size
        elif _unknown(promised):
            return Header()
        elif promised == 0:
            # a finished file of no samples may hold other chunks, which its form counts
            open_ended = size > body and (form + 8 <= body or _unknown(form))
            return Header(zero_size_at=body - 4 if open_ended else None)
        if body + promised > size:
            return Header(_shortfall(promised, size - body))
        return Header()
    if form + 8 > size and form and not _unknown(form):
        return Header(_CUT_HEADER)
    return Header()


def _aiff(file: BinaryIO, size: int) -> Header:
    for name, body, promised in _chunks(file, size, big_endian=True):
        if name == b"SSND" and not _unknown(promised) and body + promised > size:
            return Header(_shortfall(promised - 8, size - body - 8))  # 8: offset and block size
    return Header()


def _ogg(file: BinaryIO, size: int) -> Header:
    """The last page must be whole and carry the end-of-stream flag (RFC 3533, section 6)."""
    start = max(0, size - 2 * _LARGEST_OGG_PAGE)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"OggS")
    while at >= 0 and tail[at + 4 : at + 5] not in (b"\0", b""):  # chance letters, not a page
        at = tail.rfind(b"OggS", 0, at)
    page = tail[max(at, 0) :]
    if at >= 0 and len(page) >= 27:
        segments = page[27 : 27 + page[26]]
        whole = len(segments) == page[26] and len(page) >= 27 + len(segments) + sum(segments)
        if whole and page[5] & 4:
            return Header()
    return Header("the last Ogg page is missing or incomplete")


def _mp3(file: BinaryIO, size: int) -> Header:
    """The Xing header in the first frame of an MP3 may count the bytes from that frame on."""
    file.seek(0)
    head = file.read(10)
    first = 0
    if head[:3] == b"ID3" and len(head) == 10:
        first = 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
        first += 10 if head[5] & 0x10 else 0  # a footer
    file.seek(first)
    frame = file.read(128)
    if len(frame) < 128 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:  # sync word, layer III
        return Header()
    at = max(frame.find(b"Xing", 0, 64), frame.find(b"Info", 0, 64))
    if at < 0 or not frame[at + 7] & 2:  # flag 2: the byte count is there
        return Header()
    at += 12 if frame[at + 7] & 1 else 8  # flag 1: the frame count comes before it
    promised = int.from_bytes(frame[at : at + 4], "big")
    if first + promised > size:
        return Header(_shortfall(promised, size - first))
    return Header()


class OpenEnded(io.FileIO):
    """A WAV whose data size of 0 reads as 2^32 - 1, which libsndfile takes for "to the end"."""

    def __init__(self, path: str, size_at: int) -> None:
        super().__init__(path, "rb")
        self._size_at = size_at

    def readinto(self, buffer: Any) -> int:
        """As the file's, with the four bytes of the size set."""
        at = self.tell()
        got = super().readinto(buffer) or 0
        first, last = max(self._size_at, at), min(self._size_at + 4, at + got)
        if first < last:
            memoryview(buffer).cast("B")[first - at : last - at] = b"\xff" * (last - first)
        return got
