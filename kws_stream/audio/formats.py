"""Which kind of file bytes begin, by what its format puts there: of files on a pipe above all.

Raw samples must not be taken for a file. Most formats begin with letters or bytes that no quiet
sound has; MP3 and AAC without a tag begin with two bytes that any sound may have, so several
frames have to follow one another as their headers say.

Formats: ISO 14496-12 (ftyp), RFC 8794 (EBML), Apple Core Audio Format 1.0, RFC 3533 (Ogg), ISO
11172-3 and 13818-3 (MPEG audio), ISO 13818-7 (ADTS), RFC 4867 (AMR), ID3v2.4.
"""

from collections.abc import Callable

ENOUGH = 16_384  # bytes that settle every case
_FRAMES = 4  # that must follow one another
_MAGIC = (
    (0, b"RIFF", "WAV"),
    (0, b"RIFX", "WAV"),
    (0, b"RF64", "WAV"),
    (0, b"BW64", "WAV"),
    (0, b"riff\x2e\x91\xcf\x11", "W64"),
    (0, b"FORM", "AIFF"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"caff\0", "CAF"),
    (0, b".snd\0\0\0", "AU"),
    (0, b"dns.", "AU"),
    (4, b"ftypM4A", "M4A"),
    (4, b"ftyp", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC \x96", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"),
    (0, b"NIST_1A\n", "NIST Sphere"),
    (0, b"Creative Voice File\x1a", "VOC"),
    (0, b"FLV\x01", "FLV"),
)
_BIT_RATES = {  # kbit/s by version 1 or not, then layer; ISO 11172-3 table and 13818-3
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44_100, 48_000, 32_000)


def recognise(head: bytes) -> str | None:
    """The format of a file that begins with these bytes; "" if none, None if more must be seen.

    `ENOUGH` bytes always settle it. Silence and usual samples are settled by their first four.
    """
    undecided = False
    for at, magic, name in _MAGIC:
        seen = head[at : at + len(magic)]
        if seen == magic and _plausible(head, name):  # a longer one before it may yet be it
            return None if undecided and len(head) < ENOUGH else name
        # the size of an ftyp box comes before its name: silence is not the beginning of one
        begun = at == 0 or _plausible(head, name)
        undecided |= begun and len(seen) < len(magic) and magic.startswith(seen)
    for name, frame_bytes in (("MP3", mpeg_frame_bytes), ("AAC", _adts_frame_bytes)):
        found = _chain(head, frame_bytes)
        if found:
            return name
        undecided |= found is None
    if head[:3] == b"ID3":
        if len(head) < 10:
            undecided = True
        elif id3_bytes(head):
            return "MP3"
    else:
        undecided |= b"ID3".startswith(head)
    return None if undecided and len(head) < ENOUGH else ""


def with_article(name: str) -> str:
    """As "an MP3" and "a WAV", by how the names of formats are spoken."""
    return f"{'an' if name[0] in 'AFMO' and not name.startswith(('Ma', 'Mo')) else 'a'} {name}"


def _plausible(head: bytes, name: str) -> bool:
    """An ftyp box comes first in a file and is small: its size, big-endian, is 8 to 1023 bytes."""
    if name not in ("M4A", "MP4"):
        return True
    return head[:2] == b"\0\0"[: len(head)] and (
        len(head) < 4 or 8 <= int.from_bytes(head[:4], "big") < 1024
    )


def _chain(head: bytes, frame_bytes: Callable[[bytes], int]) -> bool | None:
    """Whether frames of one kind follow one another from the first byte; None: not yet known."""
    at, kind = 0, None
    for _ in range(_FRAMES):
        header = head[at : at + 8]
        if header[:1] not in (b"", b"\xff") or (len(header) > 1 and header[1] < 0xE0):
            return False
        if len(header) < 8:
            return None
        length = frame_bytes(header)
        if not length or kind not in (None, _kind(header)):
            return False
        kind = _kind(header)
        at += length
    return True


def _kind(header: bytes) -> tuple[int, int]:
    """What all frames of a stream share: version, layer, protection; sample rate."""
    return header[1], header[2] & 0x0C


def mpeg_frame_bytes(header: bytes) -> int:
    """The length of an MPEG audio frame that begins with this header; 0 if it is none."""
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bit_rate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    wrong = version == 1 or layer == 4 or rate == 3 or not 1 <= bit_rate <= 14
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0 or wrong:
        return 0
    kbps = _BIT_RATES[version == 3, layer][bit_rate - 1]
    rate_hz = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    if layer == 1:
        return (12_000 * kbps // rate_hz + padding) * 4
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * 1000 * kbps // rate_hz + padding


def _adts_frame_bytes(header: bytes) -> int:
    """The length of an AAC frame that begins with this header; 0 if it is none."""
    if header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or (header[2] >> 2 & 15) > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


def id3_bytes(head: bytes) -> int:
    """The length of the ID3v2 tag that begins with these 10 bytes; 0 if none does."""
    if len(head) < 10 or head[:3] != b"ID3" or not 2 <= head[3] <= 4 or head[5] & 0x0F:
        return 0
    if any(byte & 0x80 for byte in head[6:10]):
        return 0
    length = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return 10 + length + (10 if head[5] & 0x10 else 0)  # a footer
