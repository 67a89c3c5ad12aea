"""Promises that all the sound of a file is heard, whatever sizes its header tells."""

import struct

import numpy as np
import pytest

from kws_stream.audio import to_float32
from kws_stream.errors import TruncatedAudioError
from tests.whole_files import RATE, encoded, heard_and_told, read_file, samples16, sound


def wav(pcm, data_size, form_size=None, magic=b"RIFF", extra=b""):
    order = ">" if magic == b"RIFX" else "<"
    pcm = pcm.astype(f"{order}i2").tobytes()
    form_size = 36 + data_size if form_size is None else form_size
    head = struct.pack(f"{order}4sI4s4sI", magic, form_size, b"WAVE", b"fmt ", 16)
    head += struct.pack(f"{order}HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    return head.replace(magic, magic) + struct.pack(f"{order}4sI", b"data", data_size) + pcm + extra


def aiff(pcm, size):
    """size: of the samples, as the header has it; the form and the common chunk agree."""
    common = struct.pack(">hIh", 1, size // 2, 16) + b"\x40\x0c\xfa" + bytes(7)
    body = b"AIFFCOMM" + struct.pack(">I", 18) + common
    sound_chunk = b"SSND" + struct.pack(">III", size + 8 if size else 0, 0, 0)
    return (
        b"FORM"
        + struct.pack(">I", 46 + size if size else 0)
        + body
        + sound_chunk
        + (pcm.astype(">i2").tobytes())
    )


GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def w64(pcm, size):
    fmt = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    head = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<Q", 104 + size)
    head += b"wave" + GUID + b"fmt " + GUID + struct.pack("<Q", 40) + fmt
    return head + b"data" + GUID + struct.pack("<q", size) + pcm.tobytes()


def caf(pcm, size):
    head = b"caff\0\1\0\0desc" + struct.pack(">q", 32) + struct.pack(">d", RATE)
    head += b"lpcm" + struct.pack(">IIIII", 2, 2, 1, 1, 16)
    return head + b"data" + struct.pack(">qI", size, 0) + pcm.tobytes()


def au(pcm, size):
    head = b".snd" + struct.pack(">IIIII", 24, size, 3, RATE, 1)
    return head + pcm.astype(">i2").tobytes()


def rf64(pcm, size):
    head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack(
        "<IQQQI", 28, min(72 + size, 2**64 - 1), size, 0, 0
    )
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return head + fmt + b"data\xff\xff\xff\xff" + pcm.tobytes()


STALE = [
    *((f"wav {size}", lambda pcm, size=size: wav(pcm, size)) for size in (3200, 0, 40_000)),
    ("wav 0 with a right form", lambda pcm: wav(pcm, 0, 36 + 2 * len(pcm))),
    ("wav with an open form", lambda pcm: wav(pcm, 3200, 0xFFFF_FFFF)),
    ("wav with form 0", lambda pcm: wav(pcm, 3200, 0)),
    ("rifx", lambda pcm: wav(pcm, 3200, magic=b"RIFX")),
    *((f"rf64 {size}", lambda pcm, size=size: rf64(pcm, size)) for size in (3200, 0, 2**64 - 1)),
    *((f"aiff {size}", lambda pcm, size=size: aiff(pcm, size)) for size in (3200, 0)),
    *(
        (f"w64 {size}", lambda pcm, size=size: w64(pcm, size))
        for size in (3224, 0, 24, 2**63 - 1, -1)
    ),
    *((f"caf {size}", lambda pcm, size=size: caf(pcm, size)) for size in (3204, 0, 4, -1)),
    *((f"au {size}", lambda pcm, size=size: au(pcm, size)) for size in (3200, 0, 2**32 - 1)),
]


@pytest.mark.parametrize(("kind", "make"), STALE, ids=[kind for kind, _ in STALE])
@pytest.mark.parametrize("quiet", [False, True])
def test_sizes_of_an_earlier_moment_or_none_hide_no_sound(tmp_path, kind, make, quiet):
    pcm = samples16() // (1 if not quiet else 20_000)
    assert np.array_equal(read_file(tmp_path, "a", make(pcm)), to_float32(pcm.astype(np.int16)))


@pytest.mark.parametrize("silent", [0, 200])
def test_a_killed_wav_that_begins_with_silence_is_heard(tmp_path, silent):
    pcm = samples16()
    pcm[: silent * 100] = 0
    got = read_file(tmp_path, "a.wav", wav(pcm, 0, 36 + 2 * len(pcm)))
    assert np.array_equal(got, to_float32(pcm))


@pytest.mark.parametrize(
    "tail",
    [
        b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"abcd" + struct.pack("<I", 6) + b"123456" + b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"LIST" + struct.pack("<I", 3) + b"INF",
        b"LIST" + struct.pack("<I", 9000) + b"INFO",
        b"TAG" + b"x" * 125,
        b"ID3\4\0\0\0\0\1\0" + bytes(128),
        bytes(6),
    ],
    ids=["chunk", "two", "no pad byte", "cut chunk", "ID3v1", "ID3v2", "zeros"],
)
@pytest.mark.parametrize("odd", [0, 1])
def test_chunks_and_tags_after_the_samples_are_no_sound(tmp_path, tail, odd):
    pcm = np.random.default_rng(4).integers(0, 255, 1000 + odd).astype(np.uint8)
    data = bytearray(encoded(np.zeros(10), format="WAV", subtype="PCM_U8"))
    at = data.find(b"data")
    head = data[: at + 4] + struct.pack("<I", len(pcm)) + pcm.tobytes()
    got = read_file(tmp_path, "a.wav", bytes(head) + bytes(odd) + tail)
    assert len(got) == len(pcm)


def test_joined_wav_files_are_all_heard_and_their_headers_are_not(tmp_path):
    pcm = [samples16(9000, seed) for seed in range(3)]
    extra = b"LIST" + struct.pack("<I", 4) + b"INFO"
    files = [wav(pcm[0], 18_000), wav(pcm[1], 18_000, extra=extra), wav(pcm[2], 200)]
    got = read_file(tmp_path, "a.wav", b"".join(files[::2]))
    assert np.array_equal(got, to_float32(np.concatenate(pcm[::2])))
    got = read_file(tmp_path, "b.wav", b"".join(files[:2]))
    assert np.array_equal(got, to_float32(np.concatenate(pcm[:2])))
    with pytest.raises(TruncatedAudioError):
        read_file(tmp_path, "c.wav", b"".join(files[:2])[:-9000])


@pytest.mark.parametrize("make", [w64, caf, au, rf64, aiff, wav])
def test_a_file_that_is_shorter_than_its_header_says_is_told(tmp_path, make):
    pcm = samples16()
    over = {w64: 24, caf: 4}.get(make, 0)
    got, told = heard_and_told(tmp_path, "a", make(pcm[:30_000], 2 * len(pcm) + over))
    assert np.array_equal(got, to_float32(pcm[:30_000]))
    assert "and the file holds 60000" in told


@pytest.mark.parametrize("subtype", ["ULAW", "PCM_24", "IMA_ADPCM", "FLOAT"])
def test_stale_sizes_hide_no_sound_of_other_codings(tmp_path, subtype):
    data = bytearray(encoded(np.stack([sound(3)] * 2, 1), format="WAV", subtype=subtype))
    want = read_file(tmp_path, "a.wav", bytes(data))
    at = data.find(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 6 * 1024)
    got = read_file(tmp_path, "b.wav", bytes(data))
    assert abs(len(got) - len(want)) <= 512  # chunks that libsndfile writes come after them
    assert np.array_equal(got[: 2 * RATE], want[: 2 * RATE])


# What libsndfile cannot read
