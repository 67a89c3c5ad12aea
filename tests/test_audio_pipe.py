"""Promises of raw PCM from a pipe."""

import io
import itertools
import os
import struct
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream.audio import AudioSource, PipeSource, Resampler, to_float32
from kws_stream.audio.formats import mpeg_frame_bytes, recognise
from kws_stream.errors import AudioError, ParameterError, TruncatedAudioError


class Pieces:
    """A binary stream that hands out given pieces, as a pipe does."""

    def __init__(self, pieces):
        self._pieces = [piece for piece in pieces if piece]

    def read1(self, size):
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]


def samples(count, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(-32768, 32768, (count, channels)).astype("<i2").squeeze()


def split(data, cuts):
    edges = [0, *sorted(cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def read(stream, *args):
    with PipeSource(stream, *args) as source:
        return np.concatenate(list(source.blocks()))


def test_mono_16_khz_arrives_as_sent():
    sent = samples(100_000)
    got = read(io.BytesIO(sent.tobytes()))
    assert got.dtype == np.int16
    assert np.array_equal(got, sent)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    cuts=st.lists(st.integers(0, 6000), max_size=40),
    layout=st.sampled_from([(16000, 1), (48000, 3)]),
)
def test_partial_reads_give_the_same_bits(cuts, layout):
    rate, channels = layout
    sent = samples(1000 * (3 // channels), channels)
    stream = Pieces(split(sent.tobytes(), cuts))
    assert np.array_equal(read(stream, rate, channels), read(io.BytesIO(sent.tobytes()), *layout))


def test_one_byte_at_a_time_gives_the_same_bits():
    sent = samples(500)
    data = sent.tobytes()
    assert np.array_equal(read(Pieces(data[i : i + 1] for i in range(len(data)))), sent)


@pytest.mark.parametrize("channels", [1, 2, 64])
def test_channels_are_averaged_and_the_rate_is_brought_to_16_khz(channels):
    sent = samples(4800, channels)
    frames = to_float32(sent.reshape(-1)).reshape(-1, channels)
    mono = frames.astype(np.float64).mean(axis=1).astype(np.float32)
    want = Resampler(48000).process(mono, last=True)
    assert np.array_equal(read(io.BytesIO(sent.tobytes()), 48000, channels), want)


@pytest.mark.parametrize(("channels", "extra"), [(1, 1), (2, 1), (2, 2), (2, 3)])
def test_a_frame_cut_in_two_gives_the_whole_frames_and_then_the_error(channels, extra):
    sent = samples(1000, channels)
    source = PipeSource(io.BytesIO(sent.tobytes() + bytes(extra)), 16000, channels)
    blocks = []
    with pytest.raises(TruncatedAudioError, match=f"got {extra} over"):
        blocks.extend(source.blocks())
    assert sum(map(len, blocks)) == 1000


def test_a_single_byte_is_cut_and_nothing_at_all_is_an_error():
    with pytest.raises(TruncatedAudioError):
        read(io.BytesIO(b"\1"))
    with pytest.raises(AudioError, match="got nothing"):
        read(io.BytesIO())


def box(kind, size=28):
    return struct.pack(">I", size) + b"ftyp" + kind + bytes(16)


def adts(frames, length=200):
    """AAC frames of 16 kHz with a head of 7 bytes each."""
    head = bytes([0xFF, 0xF1, 0x60, 0x40 | length >> 11, length >> 3 & 0xFF, (length & 7) << 5, 0])
    return frames * (head + bytes([1]) * (length - 7))


HEADS = {
    "RIFF": b"RIFF",
    "RF64": b"RF64",
    "FLAC": b"fLaC",
    "Ogg": b"OggS",
    "FORM": b"FORM",
    "W64": b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb",
    "CAF": b"caff\0\1\0\0desc",
    "AU": b".snd\0\0\0\x18",
    "M4A": box(b"M4A "),
    "MP4": box(b"isom"),
    "WebM": b"\x1a\x45\xdf\xa3\x9f\x42\x86",
    "AMR": b"#!AMR\n",
    "AMR-WB": b"#!AMR-WB\n",
    "WMA": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "NIST": b"NIST_1A\n   1024\n",
    "ID3": b"ID3\4\0\0\0\0\1\0" + bytes(128) + b"\xff\xfb\x90\x44",
    "AAC": adts(6),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_file_format_is_not_taken_for_samples(head):
    data = head + bytes(100)
    by_bytes = [data[i : i + 1] for i in range(len(data))]
    for stream in (io.BytesIO(data), Pieces([data[:1], data[1:3], data[3:]]), Pieces(by_bytes)):
        with pytest.raises(AudioError, match="raw 16-bit PCM"):
            read(stream)


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_is_recognised_with_and_without_its_first_frame(rate, mode):
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile writes no mp3")
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * rate)
    soundfile.write(file, noise, rate, format="MP3", bitrate_mode=mode)
    data = file.getvalue()
    for mp3 in (data, data[mpeg_frame_bytes(data[:8]) :]):
        for size in (len(mp3), 1000, 7):
            pieces = [mp3[at : at + size] for at in range(0, len(mp3), size)]
            with pytest.raises(AudioError, match="got an MP3 file"):
                read(Pieces(pieces))


@pytest.mark.parametrize(
    "start",
    [
        [0, 0, 0, 0],
        [0, 8192, 0x7466, 0x7078],  # 00 00 00 20 "ftxp", not "ftyp"
        [-1025, -28524, 100, 200],  # ff fb 94 90: the head of an MP3 frame, but one alone
        [-3585, 20576, 300, 400],  # ff f1 60 50: of AAC
        [-1, -1, -1, -1],
        [0x4449, 1, 2, 3],  # "ID", then no tag
        [0x5249, 0x4645, 5, 6],  # "IR" "EF"
        [17690, -23584, 1, 1],  # nearly Matroska
    ],
)
@pytest.mark.parametrize("then", ["noise", "silence", "end"])
def test_raw_samples_are_never_taken_for_a_file(start, then):
    rest = {"noise": samples(20_000), "silence": np.zeros(20_000, "<i2"), "end": samples(0)}[then]
    sent = np.concatenate([np.array(start, "<i2"), rest])
    assert np.array_equal(read(io.BytesIO(sent.tobytes())), sent)
    pieces = [sent[at : at + 80].tobytes() for at in range(0, len(sent), 80)]
    assert np.array_equal(read(Pieces(pieces)), sent)


def test_random_samples_are_never_taken_for_a_file():
    for seed in range(3000):
        assert not recognise(samples(40, seed=seed).tobytes())


def test_usual_samples_are_settled_by_their_first_four_bytes():
    for value in range(-32768, 32768, 7):
        head = struct.pack("<hh", value, value)
        if head[0] != 0xFF:  # what begins like an MPEG frame waits for the next
            assert recognise(head) == "", head


def test_a_stream_that_begins_like_an_mp3_frame_waits_no_longer_than_for_the_next_one():
    sent = np.concatenate([np.array([-1025, -28524], "<i2"), samples(2000)])
    blocks = PipeSource(Pieces([sent[at : at + 160].tobytes() for at in range(0, 2002, 160)]))
    assert len(next(blocks.blocks())) <= 1000


@pytest.mark.parametrize("channel", [1, 3])
def test_a_channel_of_a_pipe_is_heard_alone(channel):
    sent = samples(3000, 3)
    source = PipeSource(io.BytesIO(sent.tobytes()), channels=3, channel=channel)
    got = np.concatenate(list(source.blocks()))
    assert np.array_equal(got, to_float32(sent[:, channel - 1]))
    with pytest.raises(ParameterError, match="channel 4: need a pipe with that channel, got 3"):
        PipeSource(io.BytesIO(), channels=3, channel=4)


def test_a_live_pipe_is_heard_before_it_ends():
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as writer:
        blocks = PipeSource(stream).blocks()
        for seed in range(3):
            sent = samples(160, seed=seed)
            writer.write(sent.tobytes())
            # would wait for ever if the source waited for more than there is
            got = []
            thread = threading.Thread(target=lambda got=got: got.append(next(blocks)), daemon=True)
            thread.start()
            thread.join(10)
            assert np.array_equal(got[0], sent)
        writer.close()
        assert list(blocks) == []


def test_a_raw_stream_without_read1_works():
    reading, writing = os.pipe()
    sent = samples(1000)
    with open(reading, "rb", buffering=0) as stream, open(writing, "wb") as writer:
        writer.write(sent.tobytes())
        writer.close()
        assert np.array_equal(read(stream), sent)


def test_the_stream_stays_open():
    stream = io.BytesIO(bytes(4))
    read(stream)
    assert not stream.closed


def test_an_unreadable_stream_is_an_audio_error():
    class Broken:
        def read1(self, size):
            raise OSError("Input/output error")

    with pytest.raises(AudioError, match="Input/output error"):
        read(Broken())


@pytest.mark.parametrize("rate", [0, 9, 768_001, -1, 16000.0, "fast"])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ParameterError, match="sample rate"):
        PipeSource(io.BytesIO(), rate)


@pytest.mark.parametrize("channels", [0, -1, 65, 1.5, None])
def test_channel_counts_out_of_range_are_refused(channels):
    with pytest.raises(ParameterError, match="channels"):
        PipeSource(io.BytesIO(), 16000, channels)


def test_the_limits_themselves_work():
    for rate in (10, 768_000):
        got = read(io.BytesIO(samples(rate // 10).tobytes()), rate)
        assert len(got) == 1600


def test_a_pipe_is_an_audio_source():
    source = PipeSource(io.BytesIO())
    assert isinstance(source, AudioSource)
    assert source.name == "-"
