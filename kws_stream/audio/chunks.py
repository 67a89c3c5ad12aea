"""Files made of chunks with a size each: WAV, RF64, AIFF, W64, CAF, and AU with its only one.

A recorder that was killed, or that writes to a pipe, leaves the size of the samples as it was at an
earlier moment, zero, or "unknown". What follows the samples tells: further chunks are a finished
file's; anything else is sound.

Formats: RIFF and WAVE (Microsoft Multimedia Programming Interface 1.0), EBU Tech 3306 (RF64), AIFF
1.3, Sony Wave64, Apple Core Audio Format 1.0, and the header of Sun's AU.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from kws_stream.audio.parts import Inspection, Part
from kws_stream.brief import brief

CUT_HEADER = "the file ends inside its header"
_MOST_CHUNKS = 10_000
_LONG_UNKNOWN = 1 << 62  # 2^63 - 1, 2^64 - 1 and the like; no file is so long
_WAVE64_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")  # put behind files of any format
# Chunks that follow samples; one of them may have been cut short.
_AFTERWARDS = (
    *(b"LIST", b"bext", b"cue ", b"smpl", b"fact", b"PEAK", b"_PMX", b"iXML", b"JUNK", b"junk"),
    *(b"id3 ", b"ID3 ", b"inst", b"INST", b"afsp", b"cart", b"axml", b"chna", b"DISP", b"acid"),
    *(b"PAD ", b"FLLR", b"MARK", b"COMT", b"NAME", b"AUTH", b"ANNO", b"APPL", b"(c) ", b"MIDI"),
    *(b"plst", b"note", b"labl", b"umid", b"COMM", b"info", b"uuid", b"free", b"strg"),
)
_WAVES = (b"RIFF", b"RIFX", b"RF64")


@dataclass(frozen=True)
class Layout:
    """How a format writes chunks.

    first: where they begin. name and size: bytes of each; whole: the size counts those, too.
    align: chunks begin at multiples of it. data: the chunk of the samples, which come after
    `before` bytes of it.
    """

    first: int
    name: int
    size: int
    order: Literal["little", "big"]
    whole: bool
    align: int
    data: bytes
    before: int = 0

    __repr__ = brief

    @property
    def head(self) -> int:
        return self.name + self.size

    def encoded(self, present: int) -> bytes:
        """The size of a data chunk whose body has so many bytes; too many are "unknown"."""
        size = present + (self.head if self.whole else 0)
        return min(size, (1 << 8 * self.size) - 1).to_bytes(self.size, self.order)


_RIFF = Layout(12, 4, 4, "little", False, 2, b"data")
_RIFX = Layout(12, 4, 4, "big", False, 2, b"data")
_AIFF = Layout(12, 4, 4, "big", False, 2, b"SSND", 8)
_W64 = Layout(40, 16, 8, "little", True, 8, b"data" + _WAVE64_GUID)
_CAF = Layout(8, 4, 8, "big", False, 1, b"data", 4)


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    body: int
    length: int


def layout_of(magic: bytes) -> Layout | None:
    """How the file that begins with these 40 bytes writes chunks, if it is one of these."""
    if magic[:4] in _WAVES and magic[8:12] == b"WAVE":
        return _RIFX if magic[:4] == b"RIFX" else _RIFF
    if magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
        return _AIFF
    if magic[:4] == b"riff" and magic[24:28] == b"wave":
        return _W64
    return _CAF if magic[:6] == b"caff\0\1" else None


def inspect_chunks(file: BinaryIO, size: int, layout: Layout, start: int = 0) -> Inspection:
    """The parts from `start` on: one, or several where whole WAV files were joined."""
    long_size_at = None
    file.seek(start)
    magic = file.read(12)
    for chunk in _walk(file, size, layout, start + layout.first):
        if chunk.name == b"ds64" and magic[:4] == b"RF64":
            long_size_at = chunk.body + 8  # after the 64-bit size of the form
        if chunk.name == layout.data:
            return _data(file, size, layout, start, chunk, long_size_at)
    form = int.from_bytes(magic[4:8], layout.order)
    if layout.first == 12 and form and not _unknown(form) and start + form + 8 > size:
        return Inspection((Part(start, size),), CUT_HEADER)
    return Inspection((Part(start, size),))


def _data(
    file: BinaryIO,
    size: int,
    layout: Layout,
    start: int,
    chunk: _Chunk,
    long_size_at: int | None,
) -> Inspection:
    """The part whose samples are in this chunk, and what comes after it."""
    promised, present = chunk.length, size - chunk.body
    right = {chunk.body - layout.size: layout.encoded(present)}
    if long_size_at is not None and promised == 0xFFFF_FFFF:
        file.seek(long_size_at)
        promised = int.from_bytes(file.read(8), "little")
        right = {long_size_at: present.to_bytes(8, "little")}
    long = layout.size == 8 or long_size_at is not None
    unknown = promised >= _LONG_UNKNOWN or promised < 0 if long else _unknown(promised)
    if unknown or promised <= layout.before:
        rest = 0 if unknown else promised  # a finished file of no samples has other chunks
        if not unknown and _is_finished(file, size, layout, chunk.body + rest):
            return Inspection((Part(start, size),))
        return Inspection((Part(start, size, right),))
    if promised > present:
        return Inspection((Part(start, size, right),), _shortfall(layout, promised, present))
    stop = chunk.body + promised
    for at in (stop, stop + promised % 2):
        file.seek(at)
        magic = file.read(40)
        following = layout_of(magic)
        if layout.first == 12 and following is not None and following.first == 12:
            others = inspect_chunks(file, size, following, at)
            return Inspection((Part(start, at), *others.parts), others.cut)
    if _is_finished(file, size, layout, stop):
        return Inspection((Part(start, size),))
    return Inspection((Part(start, size, right),))


def inspect_au(file: BinaryIO, size: int) -> Inspection:
    """AU has one run of samples, of which the header gives the size; nothing comes after it."""
    file.seek(0)
    head = file.read(12)
    order: Literal["little", "big"] = "big" if head[:4] == b".snd" else "little"
    first, promised = (int.from_bytes(head[at : at + 4], order) for at in (4, 8))
    present = max(0, size - first)
    if promised > present and not _unknown(promised):
        return Inspection((Part(0, size),), _promise(promised, present))
    if promised == present or _is_tag(file, first + promised):
        return Inspection((Part(0, size),))
    return Inspection((Part(0, size, {8: b"\xff" * 4}),))


def _unknown(size: int) -> bool:
    """Whether a 32-bit size is what writers to a pipe put where they cannot know it.

    ffmpeg writes 2^32 - 1, sox 2^31 - 4096, arecord 2^31 or a little less; some subtract the
    header. Within 4 KiB of either power of two nothing else is likely.
    """
    return abs(size - (1 << 31)) <= 4096 or size >= (1 << 32) - 4096


def _walk(file: BinaryIO, size: int, layout: Layout, at: int) -> Iterator[_Chunk]:
    """The chunks from `at` on, until the end of the file or a size that leads nowhere."""
    origin = at
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(layout.head)
        if len(head) < layout.head:
            return
        length = int.from_bytes(head[layout.name :], layout.order)
        length -= layout.head if layout.whole else 0
        yield _Chunk(head[: layout.name], at + layout.head, length)
        if length < 0:
            return
        at += layout.head + length
        at += -(at - origin) % layout.align
        if at >= size:
            return


def _is_finished(file: BinaryIO, size: int, layout: Layout, stop: int) -> bool:
    """Whether what follows the samples is nothing, a tag, or chunks up to the end of the file."""
    aligned = stop + -stop % layout.align
    return any(_ends_well(file, size, layout, at) for at in {stop, aligned})


def _ends_well(file: BinaryIO, size: int, layout: Layout, at: int) -> bool:
    if size - at < layout.head or _is_tag(file, at):
        return True
    for number, chunk in enumerate(_walk(file, size, layout, at)):
        if not _is_name(chunk.name):
            return number > 0 and _is_tag(file, chunk.body - layout.head)
        end = chunk.body + chunk.length
        if end >= size:
            # the last pad byte may be missing; a known chunk may be cut
            return end - size == 0 or chunk.name[:4] in _AFTERWARDS
        if size - end < layout.head + layout.align:
            return True
    return False


def _is_name(name: bytes) -> bool:
    letters = all(0x20 <= byte < 0x7F for byte in name[:4])
    return letters and name[4:] in (b"", _WAVE64_GUID)


def _is_tag(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return file.read(11).startswith(_TAGS)


def _shortfall(layout: Layout, promised: int, present: int) -> str:
    return _promise(promised - layout.before, present - layout.before)


def _promise(promised: int, present: int) -> str:
    return f"the header promises {promised} bytes of audio and the file holds {max(present, 0)}"
