"""Promises that all the sound of a file is heard, whatever its header says, or the loss is told."""

import os
import struct
import sys

import numpy as np
import pytest
import soundfile

from kws_stream.audio import FileSource, to_float32
from kws_stream.audio.formats import mpeg_frame_bytes
from kws_stream.audio.quiet import libmpg123_caught
from kws_stream.errors import AudioError
from tests.whole_files import (
    MP3,
    RATE,
    SECONDS,
    alike,
    encoded,
    heard_and_told,
    read,
    read_file,
    samples16,
    sound,
)


def vbr_mp3(samples=None):
    samples = sound() if samples is None else samples
    return encoded(
        samples, format="MP3", bitrate_mode="VARIABLE", compression_level=0.0, subtype=None
    )


def without_first_frame(mp3):
    """Without the frame that holds the Xing header, as an encoder that writes to a pipe leaves it.

    A header of lengths can be written only where the writer can go back.
    """
    assert b"Xing" in mp3[:64] or b"Info" in mp3[:64]
    return mp3[mpeg_frame_bytes(mp3[:8]) :]


@MP3
def test_a_variable_mp3_without_a_count_of_frames_is_heard_to_its_end(tmp_path):
    mp3 = without_first_frame(vbr_mp3())
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3)
    assert soundfile.info(path).frames < 0.8 * SECONDS * RATE  # which libsndfile believes
    got = read(path)
    assert abs(len(got) - SECONDS * RATE) < 3 * 1152
    assert alike(got, sound()) > 0.9
    with FileSource(path) as source:
        assert source.duration_s is None


@MP3
@pytest.mark.parametrize("between", ["nothing", "tag of a picture", "end tag"])
@pytest.mark.parametrize("first", ["with a count", "without"])
def test_joined_mp3_files_are_all_heard(tmp_path, first, between):
    mp3 = vbr_mp3() if first == "with a count" else without_first_frame(vbr_mp3())
    picture = np.random.default_rng(2).integers(0, 255, 40_000).astype(np.uint8).tobytes()
    size = bytes((len(picture) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    joint = {
        "nothing": b"",
        "tag of a picture": b"ID3\4\0\0" + size + picture,
        "end tag": b"TAG" + bytes(125),
    }[between]
    got = read_file(tmp_path, "a.mp3", mp3 + joint + mp3 + joint + vbr_mp3())
    assert abs(len(got) - 3 * SECONDS * RATE) < 9 * 1152
    assert alike(got[-SECONDS * RATE :], sound()) > 0.9


@MP3
def test_an_mp3_whose_count_is_of_an_earlier_moment_is_heard_to_its_end(tmp_path):
    mp3 = bytearray(vbr_mp3())
    at = max(mp3.find(b"Xing", 0, 64), mp3.find(b"Info", 0, 64))
    for field in (at + 8, at + 12):  # frames, bytes
        count = int.from_bytes(mp3[field : field + 4], "big")
        mp3[field : field + 4] = (count // 9).to_bytes(4, "big")
    assert abs(len(read_file(tmp_path, "a.mp3", bytes(mp3))) - SECONDS * RATE) < 3 * 1152


@MP3
def test_tags_behind_an_mp3_are_no_loss(tmp_path):
    mp3 = vbr_mp3()
    want = read_file(tmp_path, "a.mp3", mp3)
    assert len(want) == SECONDS * RATE
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 20_032, 1, 0x8000_0000) + bytes(8)
    for tag in (b"TAG" + b"x" * 125, ape + bytes(20_000) + ape):
        assert abs(len(read_file(tmp_path, "b.mp3", mp3 + tag)) - len(want)) < 3 * 1152
        bare = without_first_frame(mp3) + tag
        assert abs(len(read_file(tmp_path, "c.mp3", bare)) - len(want)) < 3 * 1152


@MP3
def test_an_mp3_whose_decoder_gives_up_is_told(tmp_path):
    mp3 = vbr_mp3()
    got, told = heard_and_told(tmp_path, "a.mp3", mp3 + bytes(20_000) + mp3)
    assert abs(len(got) - SECONDS * RATE) < 3 * 1152
    assert f"stopped at byte {len(mp3)}" in told


def damaged_mp3():
    """Both of libmpg123's kinds of complaint: numbers of a frame that cannot be, and lost sync."""
    mp3 = bytearray(vbr_mp3())
    frames = [at for at in range(len(mp3) - 4) if mp3[at] == 0xFF and mp3[at + 1] & 0xE0 == 0xE0]
    middle = frames[len(frames) // 2]
    mp3[middle + 8 : middle + 40] = b"\xff" * 32
    return bytes(mp3)


@MP3
@pytest.mark.skipif(os.name == "nt", reason="a library may have a standard error of its own there")
def test_a_damaged_mp3_is_told_in_our_words_and_the_decoder_writes_nothing(tmp_path, capfd):
    _, told = heard_and_told(tmp_path, "a.mp3", damaged_mp3())
    assert "MPEG frame cannot be decoded" in told
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="a library may have a standard error of its own there")
def test_what_others_write_while_a_decoder_works_reaches_standard_error(capfd):
    lines = ["Note: Illegal Audio-MPEG-Header 0x0 at offset 2.", "another thread's words", ""]
    lines.append("[src/libmpg123/layer3.c:INT123_do_layer3():1804] error: dequantization failed!")
    with libmpg123_caught() as errors:
        os.write(2, "\n".join(lines).encode())
    assert errors == ["dequantization failed!"]
    assert capfd.readouterr().err == "another thread's words\n"


# Ogg


OGG = [
    pytest.param({"subtype": "VORBIS"}, id="vorbis"),
    pytest.param({"subtype": "OPUS"}, id="opus"),
]


def ogg(samples, rate=RATE, **kwargs):
    return encoded(samples, rate, format="OGG", **kwargs)


def pages(data):
    """The pages of an Ogg file."""
    found, at = [], 0
    while at < len(data):
        segments = data[at + 27 : at + 27 + data[at + 26]]
        length = 27 + len(segments) + sum(segments)
        found.append(data[at : at + length])
        at += length
    return found


def ogg_checksum(page):
    """CRC-32 of RFC 3533, bit by bit."""
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x8000_0000 else 0)) & 0xFFFF_FFFF
    return crc.to_bytes(4, "little")


@pytest.mark.parametrize("kwargs", OGG)
def test_every_link_of_a_chained_ogg_is_heard(tmp_path, kwargs):
    links = [sound(3, seed=seed) for seed in range(3)]
    want = [read_file(tmp_path, f"{seed}.ogg", ogg(x, **kwargs)) for seed, x in enumerate(links)]
    got = read_file(tmp_path, "a.ogg", b"".join(ogg(x, **kwargs) for x in links))
    assert np.array_equal(got, np.concatenate(want))


def test_links_of_other_rates_channels_and_codecs_are_each_heard_as_they_are(tmp_path):
    stereo = np.stack([sound(2, 48_000)] * 2, axis=1)
    links = [
        ogg(sound(2, 8_000), 8_000, subtype="VORBIS"),
        ogg(stereo, 48_000, subtype="VORBIS"),
        ogg(sound(2), subtype="OPUS"),
    ]
    want = [read_file(tmp_path, f"{i}.ogg", link) for i, link in enumerate(links)]
    got = read_file(tmp_path, "a.ogg", b"".join(links))
    assert np.array_equal(got, np.concatenate(want))
    assert len(got) == 6 * RATE


@pytest.mark.parametrize("kwargs", OGG)
def test_a_chain_that_is_cut_in_its_last_link_is_told(tmp_path, kwargs):
    link = ogg(sound(4), **kwargs)
    got, told = heard_and_told(tmp_path, "a.ogg", link + link[: len(link) * 2 // 3])
    assert len(got) > 5 * RATE
    assert "last Ogg page" in told


@pytest.mark.parametrize("kwargs", OGG)
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("damage", "is damaged"),
        ("lose", "are missing"),
        ("fill", "are no Ogg page"),
    ],
)
def test_a_page_that_is_damaged_or_lost_is_told_after_all_the_rest(tmp_path, kwargs, harm, words):
    all_pages = pages(ogg(sound(9, 48_000), 48_000, **kwargs))
    middle = len(all_pages) // 2
    assert middle > 4
    page = bytearray(all_pages[middle])
    page[len(page) // 2] ^= 0x55
    all_pages[middle] = {
        "damage": bytes(page),
        "lose": b"",
        "fill": bytes(5000) + all_pages[middle],
    }[harm]
    got, told = heard_and_told(tmp_path, "a.ogg", b"".join(all_pages))
    assert words in told
    assert len(got) > 6 * RATE
    assert (len(got) == 9 * RATE) == (harm == "fill")


@pytest.mark.parametrize("kwargs", OGG)
def test_an_ogg_that_joined_a_broadcast_is_whole(tmp_path, kwargs):
    all_pages = pages(ogg(sound(9, 48_000), 48_000, **kwargs))
    headers = 2  # pages of identification; comments, and code books of Vorbis
    got = read_file(tmp_path, "a.ogg", b"".join(all_pages[:headers] + all_pages[-3:]))
    assert len(got) > RATE


def test_an_opus_file_that_leaves_its_rate_open_is_decoded_at_the_full_band(tmp_path):
    seconds = np.arange(48_000 * 2) / 48_000
    high = 0.5 * np.sin(2 * np.pi * 6_000 * seconds)  # above what 8 kHz can carry
    first, *others = pages(ogg(high, 48_000, subtype="OPUS"))
    want = read_file(tmp_path, "a.opus", b"".join([first, *others]))
    at = first.find(b"OpusHead") + 12
    assert first[at : at + 4] == (48_000).to_bytes(4, "little")
    first = first[:at] + bytes(4) + first[at + 4 :]
    first = first[:22] + ogg_checksum(first) + first[26:]
    path = tmp_path / "open.opus"
    path.write_bytes(b"".join([first, *others]))
    assert soundfile.info(path).samplerate == 8_000  # which libsndfile makes of it
    assert np.array_equal(read(path), want)
    assert np.abs(read(path)[8_000:16_000]).max() > 0.3


# FLAC


def test_joined_flac_files_are_all_heard(tmp_path):
    first, second = sound(2), sound(3, seed=1)
    flac = [encoded(x, format="FLAC") for x in (first, second)]
    want = [read_file(tmp_path, f"{i}.flac", data) for i, data in enumerate(flac)]
    got = read_file(tmp_path, "a.flac", b"".join(flac))
    assert np.array_equal(got, np.concatenate(want))


def test_a_flac_whose_count_is_of_an_earlier_moment_is_heard_to_its_end(tmp_path):
    data = bytearray(encoded(sound(), format="FLAC"))
    want = read_file(tmp_path, "a.flac", bytes(data))
    assert len(want) == SECONDS * RATE
    known = int.from_bytes(data[18:26], "big")
    data[18:26] = (known >> 36 << 36 | 4096).to_bytes(8, "big")
    assert np.array_equal(read_file(tmp_path, "b.flac", bytes(data)), want)
    with FileSource(tmp_path / "b.flac") as source:
        assert source.duration_s is None


def test_a_flac_knows_its_length_beside_large_metadata(tmp_path):
    data = encoded(sound(1), format="FLAC")
    padding = b"\x01" + (300_000).to_bytes(3, "big") + bytes(300_000)
    assert not data[4] & 0x80
    path = tmp_path / "a.flac"
    path.write_bytes(data[:42] + padding + data[42:])
    with FileSource(path) as source:
        assert source.duration_s == 1
        assert sum(map(len, source.blocks())) == RATE


@pytest.mark.parametrize("tail", [b"TAG" + b"x" * 125, bytes(3000), b"x" * 3000])
def test_what_is_no_sound_behind_a_flac_is_no_loss(tmp_path, tail):
    data = encoded(sound(), format="FLAC")
    want = read_file(tmp_path, "a.flac", data)
    assert np.array_equal(read_file(tmp_path, "b.flac", data + tail), want)
    tag = b"ID3\4\0\0\0\0\1\0" + bytes(128)
    assert np.array_equal(read_file(tmp_path, "c.flac", tag + data), want)


# Files of chunks


def with_pyav(path, codec, layout="mono", rate=RATE, seconds=4):
    av = pytest.importorskip("av", reason="needs the extra formats")
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            channels = len(stream.codec_context.layout.channels)
            x = np.repeat(sound(seconds, rate).astype(np.float32)[None], channels, axis=0)
            for at in range(0, x.shape[1], 1024):
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(x[:, at : at + 1024]), "fltp", layout
                )
                frame.rate, frame.pts = rate, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this PyAV has no encoder {codec}: {error}")


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.mp4", "aac"),
        ("a.aac", "aac"),
        ("a.mka", "aac"),
        ("a.webm", "libopus"),
        ("a.m4a", "alac"),
        ("a.ogg", "flac"),
    ],
)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_other_formats_are_read_by_pyav(tmp_path, name, codec, layout):
    rate = 48_000 if codec == "libopus" else 44_100
    with_pyav(tmp_path / name, codec, layout, rate)
    got = read(tmp_path / name)
    assert abs(len(got) - 4 * RATE) < 0.15 * RATE
    assert alike(got[: 4 * RATE], sound(4)) > 0.9
    with FileSource(tmp_path / name) as source:
        assert (source.rate_hz, source.channels) == (rate, 1 + (layout == "stereo"))


@pytest.mark.parametrize("name", ["a.mka", "a.aac", "a.webm"])
@pytest.mark.parametrize("keep", [0.3, 0.7])
def test_a_cut_file_of_another_format_is_told(tmp_path, name, keep):
    codec, rate = ("libopus", 48_000) if name == "a.webm" else ("aac", RATE)
    with_pyav(tmp_path / name, codec, rate=rate)
    data = (tmp_path / name).read_bytes()
    got, told = heard_and_told(tmp_path, name, data[: int(keep * len(data)) + 3])
    assert 0 < len(got) < 3.9 * RATE
    assert "cannot be decoded to its end" in told


def test_a_video_that_is_longer_than_its_sound_is_whole(tmp_path):
    av = pytest.importorskip("av", reason="needs the extra formats")
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=5)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        track = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples16(2 * RATE)[None], "s16", "mono")
        frame.rate = RATE
        container.mux(track.encode(frame))
        for number in range(30):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            image.pts = number
            container.mux(picture.encode(image))
        for stream in (track, picture):
            container.mux(stream.encode(None))
    assert np.array_equal(read(path), to_float32(samples16(2 * RATE)))


def test_joined_aac_files_are_all_heard(tmp_path):
    with_pyav(tmp_path / "a.aac", "aac")
    data = (tmp_path / "a.aac").read_bytes()
    assert abs(len(read_file(tmp_path, "b.aac", data + data)) - 8 * RATE) < 0.3 * RATE


def test_integer_and_packed_samples_of_pyav_have_full_scale_one(tmp_path):
    av = pytest.importorskip("av", reason="needs the extra formats")
    pcm = samples16(8000)
    for codec, make in (("pcm_s16le", "s16"), ("pcm_u8", "u8"), ("pcm_s32le", "s32")):
        path = tmp_path / f"{codec}.mka"
        whole = {
            "s16": pcm,
            "u8": ((pcm >> 8) + 128).astype(np.uint8),
            "s32": pcm.astype(np.int32) << 16,
        }[make]
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(whole[None], make, "mono")
            frame.rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        want = (pcm >> 8 << 8 if make == "u8" else pcm) / 32768
        assert np.array_equal(read(path), want.astype(np.float32))


M4A_HEAD = struct.pack(">I", 28) + b"ftypM4A " + bytes(16)


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.m4a"
    path.write_bytes(M4A_HEAD + bytes(2000))
    with pytest.raises(AudioError, match=r"got an M4A file .* pip install 'kws-stream\[formats\]'"):
        FileSource(path)


def test_without_pyav_nothing_is_dropped_either(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    link = ogg(sound(3), subtype="VORBIS")
    assert len(read_file(tmp_path, "a.ogg", link + link)) == 6 * RATE


def test_a_play_list_opens_nothing_else(tmp_path):
    pytest.importorskip("av", reason="needs the extra formats")
    soundfile.write(tmp_path / "a.wav", sound(), RATE)
    for name, text in (
        ("list.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\n{tmp_path}/a.wav\n"),
        ("list.ffconcat", f"ffconcat version 1.0\nfile '{tmp_path}/a.wav'\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match="cannot be read"):
            FileSource(tmp_path / name)


# A channel of a file


def test_a_channel_of_a_file_is_heard_alone(tmp_path):
    pcm = samples16(30_000).reshape(-1, 3)
    soundfile.write(tmp_path / "a.wav", pcm, RATE)
    for channel in (1, 2, 3):
        got = read(tmp_path / "a.wav", channel=channel)
        assert np.array_equal(got, to_float32(pcm[:, channel - 1]))
    with pytest.raises(AudioError, match=r"channel 4, got 3 channels;"):
        FileSource(tmp_path / "a.wav", channel=4)


def test_a_file_of_one_channel_is_heard_where_that_was_allowed(tmp_path):
    soundfile.write(tmp_path / "a.wav", samples16(), RATE)
    with pytest.raises(AudioError, match=r"channel 2, got 1 channel;"):
        FileSource(tmp_path / "a.wav", channel=2)
    assert np.array_equal(
        read(tmp_path / "a.wav", channel=2, mono_too=True), to_float32(samples16())
    )


def test_a_file_whose_channels_cancel_is_told_once(tmp_path):
    x = sound(6)
    soundfile.write(tmp_path / "a.wav", np.stack([x, -x], 1), RATE, "FLOAT")
    notes = []
    assert not read(tmp_path / "a.wav", on_note=notes.append)[:1000].any()
    assert len(notes) == 1
    assert notes[0].startswith(f"{tmp_path / 'a.wav'}: the mean of its 2 channels")
