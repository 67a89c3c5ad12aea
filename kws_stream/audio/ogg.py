"""Ogg files: links of a chain, pages that are damaged or lost, an end that was cut off (RFC 3533).

Radio recorders and `cat` put whole Ogg files behind one another; a decoder reads one of them.
"""

import zlib
from dataclasses import dataclass
from typing import BinaryIO

from kws_stream.audio.parts import Inspection, Part

_HEAD = 27
_FIRST, _LAST = 2, 4  # flags of a stream's first and last page
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_SEARCH = 1 << 16
_OPUS_RATE_AT = 12  # in the identification header of Opus (RFC 7845, section 5.1)
_OPUS_RATE_HZ = 48_000


@dataclass(frozen=True)
class _Page:
    at: int
    data: bytes

    @property
    def stop(self) -> int:
        return self.at + len(self.data)

    @property
    def flags(self) -> int:
        return self.data[5]

    @property
    def serial(self) -> bytes:
        return self.data[14:18]

    @property
    def number(self) -> int:
        return int.from_bytes(self.data[18:22], "little")

    @property
    def body(self) -> bytes:
        return self.data[_HEAD + self.data[26] :]

    @property
    def intact(self) -> bool:
        return self.data[22:26] == checksum(self.data)


def checksum(page: bytes) -> bytes:
    """The four bytes of a page's checksum: CRC-32 of 0x04c11db7, highest bit first, from 0.

    zlib's begins with the lowest bit and with all bits set: reversed bits and two complements.
    """
    data = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    crc = zlib.crc32(data, 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{crc:032b}"[::-1], 2).to_bytes(4, "little")


def inspect_ogg(file: BinaryIO, size: int) -> Inspection:
    """The links of the chain, and what is damaged, lost or cut off."""
    starts, changed, damage = [0], dict[int, bytes](), ""
    numbers: dict[bytes, int] = {}  # of the latest page of each stream
    at, open_streams, beginning = 0, set[bytes](), True
    while (page := _next_page(file, at)) is not None:
        if page.at > at and not damage:
            damage = f"{page.at - at} bytes at byte {at} are no Ogg page"
        at = page.stop
        if not page.intact:
            damage = damage or f"the Ogg page at byte {page.at} is damaged"
        if page.flags & _FIRST:
            if not beginning:
                starts.append(page.at)
                open_streams.clear()
            beginning = True
            open_streams.add(page.serial)
            changed |= _with_opus_rate(page)
        else:
            beginning = False
            # one that joined a broadcast has no page between the headers, 0 to 2, and its first
            last = numbers.get(page.serial, page.number)
            if page.number > last + 1 and last > 2 and not damage:
                damage = f"Ogg pages are missing before byte {page.at}"
        numbers[page.serial] = page.number
        if page.flags & _LAST:
            open_streams.discard(page.serial)
    cut = "" if at >= size and not open_streams else "the last Ogg page is missing or incomplete"
    stops = [*starts[1:], size]
    parts = tuple(Part(a, b, changed) for a, b in zip(starts, stops, strict=True))
    return Inspection(parts, cut, damage)


def _with_opus_rate(page: _Page) -> dict[int, bytes]:
    """A rate of 0 in an Opus header is "unspecified": decoded at 48 kHz, as RFC 7845 advises.

    libsndfile takes it for 8 kHz, which loses half of what speech has.
    """
    rate_at = _HEAD + page.data[26] + _OPUS_RATE_AT
    if page.body[:8] != b"OpusHead" or page.data[rate_at : rate_at + 4] != bytes(4):
        return {}
    rate = _OPUS_RATE_HZ.to_bytes(4, "little")
    right = page.data[:rate_at] + rate + page.data[rate_at + 4 :]
    return {page.at + rate_at: rate, page.at + 22: checksum(right)}


def _next_page(file: BinaryIO, at: int) -> _Page | None:
    """The next whole page at or after `at`."""
    file.seek(at)
    while True:
        head = file.read(_HEAD + 255)
        if len(head) < _HEAD:
            return None
        if head[:5] == b"OggS\0":
            segments = head[_HEAD : _HEAD + head[26]]
            length = _HEAD + head[26] + sum(segments)
            file.seek(at)
            data = file.read(length)
            if len(data) == length:
                return _Page(at, data)
        # lost: the next page begins somewhere behind here
        file.seek(at + 1)
        block = file.read(_SEARCH)
        found = block.find(b"OggS\0")
        if found < 0 and len(block) < _SEARCH:
            return None
        at += 1 + (found if found >= 0 else len(block) - 4)
        file.seek(at)
