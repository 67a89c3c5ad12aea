"""How a file has to be read so that all of its sound is heard.

libsndfile believes what headers say and reads files that are longer or shorter without a word, so
that is compared with the file here, before it decodes: the sizes of chunks, the pages of Ogg, the
number of samples in FLAC, the number of bytes in the Xing header of an MP3.

Formats: those of `chunks` and `ogg`; RFC 9639 (FLAC), ID3v2.4, the Xing header as LAME writes it.
"""

import mmap
import os
from pathlib import Path
from typing import BinaryIO

from kws_stream.audio.chunks import CUT_HEADER, inspect_au, inspect_chunks, layout_of
from kws_stream.audio.formats import id3_bytes, mpeg_frame_bytes
from kws_stream.audio.ogg import inspect_ogg
from kws_stream.audio.parts import Inspection, Part

# "fLaC" and the head of the first metadata block, which always has 34 bytes; last one or not
_FLAC_STARTS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
_LONGEST_MPEG_FRAME = 2_881
_MOST_FLAC_GROWS = 1.1  # what cannot be compressed grows by the heads of frames alone
_FLAC_SPARE = 1 << 16


def inspect_file(path: Path) -> Inspection:
    """The parts of a file; raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        magic = file.read(40)
        if magic[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM") and size < 12:
            return Inspection((Part(0, size),), CUT_HEADER)
        if (layout := layout_of(magic)) is not None:
            return inspect_chunks(file, size, layout)
        if magic[:4] in (b".snd", b"dns."):
            return inspect_au(file, size)
        if magic[:4] == b"OggS":
            return inspect_ogg(file, size)
        file.seek(first := _after_id3(file, 0))
        if file.read(4) == b"fLaC":
            return _flac(file, first, _before_tags(file, size))
        return _mp3(file, first, size)


def _after_id3(file: BinaryIO, at: int) -> int:
    """Where the ID3v2 tags at `at` end."""
    while True:
        file.seek(at)
        length = id3_bytes(file.read(10))
        if not length:
            return at
        at += length


def _before_tags(file: BinaryIO, size: int) -> int:
    """Where the tags at the end of a file begin: ID3v1, and APE with its footer of 32 bytes."""
    file.seek(max(0, size - 128))
    if size > 128 and file.read(3) == b"TAG":
        size -= 128
    file.seek(max(0, size - 32))
    footer = file.read(32)
    if footer[:8] == b"APETAGEX" and len(footer) == 32:
        has_header = footer[23] & 0x80
        size -= int.from_bytes(footer[12:16], "little") + (32 if has_header else 0)
    return max(size, 0)


def _flac(file: BinaryIO, first: int, size: int) -> Inspection:
    """Every FLAC file in the file, its number of samples hidden, so that it is read to its end."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        starts = {first}
        for pattern in _FLAC_STARTS:
            at = data.find(pattern, first + 4)
            while at >= 0:
                starts.add(at)
                at = data.find(pattern, at + 4)
        places = sorted(start for start in starts if start < size)
        parts = []
        for start, stop in zip(places, [*places[1:], size], strict=True):
            known = data[start + 18 : start + 26]
            if len(known) < 8:
                parts.append(Part(start, stop))
                continue
            # from the lowest: 36 bits for the number of samples, 0 where it is not known, 5 for
            # the bits of a sample less 1, 3 for the channels less 1
            info = int.from_bytes(known, "big")
            frames = info & (1 << 36) - 1
            frame_bytes = ((info >> 41 & 7) + 1) * ((info >> 36 & 31) + 1) / 8
            audio_bytes = stop - _after_flac_metadata(data, start + 4)
            if audio_bytes > _MOST_FLAC_GROWS * frames * frame_bytes + _FLAC_SPARE:
                frames = 0  # of an earlier moment: so many samples do not fill the file
            hidden = bytes([known[3] & 0xF0, 0, 0, 0, 0])
            parts.append(Part(start, stop, {start + 21: hidden}, frames))
    if first and len(parts) == 1:  # libsndfile skips the tags
        parts[0] = Part(0, parts[0].stop, parts[0].changed, parts[0].frames)
    return Inspection(tuple(parts))


def _after_flac_metadata(data: mmap.mmap, at: int) -> int:
    """Where the blocks of metadata that begin at `at` end and frames begin."""
    last = False
    while not last and at + 4 <= len(data):
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    return at


def _mp3(file: BinaryIO, first: int, size: int) -> Inspection:
    """The Xing header in the first frame of an MP3 may count the frames and the bytes.

    Where it does not, or counts others, the decoder must not know it.
    """
    stop = _before_tags(file, size)
    unknown = Inspection((Part(0, stop, checked=False),))
    file.seek(first)
    frame = file.read(128)
    if len(frame) < 128 or not mpeg_frame_bytes(frame):
        return unknown
    at = max(frame.find(b"Xing", 0, 64), frame.find(b"Info", 0, 64))
    if at < 0:
        return unknown
    hidden = Inspection((Part(0, stop, {first + at: bytes(4)}, checked=False),))
    flags = frame[at + 7]
    if not flags & 2:  # the number of bytes is not there
        return hidden
    bytes_at = at + (12 if flags & 1 else 8)  # flag 1: the number of frames comes before it
    promised = int.from_bytes(frame[bytes_at : bytes_at + 4], "big")
    if first + promised > size:
        cut = f"the header promises {promised} bytes of audio and the file holds {size - first}"
        return Inspection((Part(0, size),), cut)
    counts_all = flags & 1 and stop - first - promised <= _LONGEST_MPEG_FRAME
    return Inspection((Part(0, size),)) if counts_all else hidden
