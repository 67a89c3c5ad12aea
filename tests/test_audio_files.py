"""Promises of files as audio sources, of the resampler and of the sample check."""

import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream.audio import AudioSource, FileSource, Resampler, to_float32
from kws_stream.errors import AudioError, InputError, ParameterError, TruncatedAudioError


def noise(samples, channels=1, seed=0):
    x = 0.2 * np.random.default_rng(seed).standard_normal((samples, channels))
    return np.clip(x, -0.99, 0.99).squeeze()


def read(path):
    with FileSource(path) as source:
        return np.concatenate(list(source.blocks()))


def read_until_error(path):
    """Samples that came and the TruncatedAudioError that followed, also from the constructor."""
    blocks = [np.zeros(0, np.float32)]
    with pytest.raises(TruncatedAudioError) as caught, FileSource(path) as source:
        blocks.extend(source.blocks())
    return np.concatenate(blocks), str(caught.value)


def wav_header(data_size, form_size, rate=16000):
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", form_size, b"WAVE")
    return head + fmt + struct.pack("<4sI", b"data", data_size)


# Samples


def test_int16_is_float32_times_32768_for_every_value():
    every = np.arange(-32768, 32768).astype(np.int16)
    got = to_float32(every)
    assert got.dtype == np.float32
    assert np.array_equal(got.astype(np.float64) * 32768, every)


def test_foreign_byte_order_float64_and_empty_arrays_are_accepted():
    ramp = np.arange(-5, 5, dtype=np.int16)
    assert np.array_equal(to_float32(ramp.astype(">i2")), to_float32(ramp))
    x = np.array([0.1, -1e-3, 0.0])
    for given_x in (x, x.astype(np.float32), x.astype(">f4")):
        assert to_float32(given_x).dtype == np.dtype("=f4")
        assert np.array_equal(to_float32(given_x), x.astype(np.float32))
    for dtype in (np.int16, np.float32, np.float64):
        assert to_float32(np.zeros(0, dtype)).shape == (0,)


def test_float32_is_passed_on_without_a_copy():
    x = np.ones(160, np.float32)
    assert to_float32(x) is x or np.shares_memory(to_float32(x), x)


def test_the_largest_finite_samples_are_finite():
    big = np.full(1000, np.finfo(np.float32).max, np.float32)
    assert np.array_equal(to_float32(big), big)
    assert np.array_equal(to_float32(-big), -big)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_a_sample_that_is_not_finite_is_named_by_its_index(bad):
    x = np.zeros(160)
    x[[37, 90]] = bad
    with pytest.raises(InputError, match=r"index 37\b"):
        to_float32(x)


@pytest.mark.parametrize(
    "bad",
    [np.zeros((3, 2), np.int16), np.float32(1), np.zeros(3, np.int32), np.zeros(3, bool), ["a"]],
)
def test_other_shapes_and_types_are_refused(bad):
    with pytest.raises(InputError, match="pcm"):
        to_float32(bad)


# Resampling


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@settings(derandomize=True, deadline=None, max_examples=8)
@given(data=st.data())
def test_every_split_resamples_to_the_same_bits(rate, data):
    x = noise(rate // 4).astype(np.float32)
    whole = Resampler(rate).process(x, last=True)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(x)), max_size=30)))
    resampler, parts = Resampler(rate), []
    for part in np.split(x, cuts):
        parts.append(resampler.process(part))
    parts.append(resampler.process(x[:0], last=True))
    assert np.array_equal(np.concatenate(parts), whole)
    assert len(whole) in (3999, 4000)


def test_one_sample_at_a_time_resamples_to_the_same_bits():
    x = noise(4800).astype(np.float32)
    resampler = Resampler(48000)
    parts = [resampler.process(x[i : i + 1]) for i in range(len(x))]
    parts.append(resampler.process(x[:0], last=True))
    assert np.array_equal(np.concatenate(parts), Resampler(48000).process(x, last=True))


def test_resampling_keeps_a_tone():
    seconds = np.arange(48000) / 48000
    got = Resampler(48000).process(np.sin(2 * np.pi * 1000 * seconds).astype(np.float32), last=True)
    phase = 2 * np.pi * 1000 * np.arange(16000) / 16000
    parts = np.stack([np.sin(phase), np.cos(phase)], axis=1)[400:-400]
    (sine, cosine), *_ = np.linalg.lstsq(parts, got[400:-400], rcond=None)
    assert np.hypot(sine, cosine) == pytest.approx(1, abs=1e-4)
    assert abs(np.arctan2(cosine, sine) / (2 * np.pi * 1000)) < 0.000_11  # s: a tenth of 1 ms
    assert np.abs(got[400:-400] - parts @ [sine, cosine]).max() < 1e-4


@pytest.mark.parametrize(
    ("rate", "held_back_ms"),
    [(22_050, 11), (24_000, 10), (32_000, 7.5), (44_100, 14), (48_000, 12.5), (96_000, 14)],
)
def test_a_live_stream_is_held_back_by_a_few_milliseconds_and_always_the_same(rate, held_back_ms):
    resampler = Resampler(rate)
    heard, late_ms = 0, []
    for chunk in range(1, 101):
        end = chunk * rate // 50
        heard += len(resampler.process(np.zeros(end - (chunk - 1) * rate // 50, np.float32)))
        late_ms.append(1000 * (end / rate - heard / 16_000))
    settled = late_ms[10:]
    assert max(settled) <= held_back_ms + 0.1
    assert max(settled) - min(settled) < 0.2


def test_what_16_khz_cannot_carry_is_removed_not_folded():
    seconds = np.arange(48000) / 48000
    got = Resampler(48000).process(np.sin(2 * np.pi * 9000 * seconds).astype(np.float32), last=True)
    assert np.abs(got)[1000:-500].max() < 2e-5  # after the tone's sudden beginning


@pytest.mark.parametrize("rate", [0, -16000, 9, 768001, 16000.5, "16000", None])
def test_rates_that_make_no_sense_are_refused(rate):
    with pytest.raises(ParameterError, match="sample rate"):
        Resampler(rate)


# Files that work


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.wav", "FLOAT"),
        ("a.wav", "DOUBLE"),
        ("a.flac", "PCM_16"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.aiff", "PCM_16"),
    ],
)
def test_mono_16_khz_files_pass_bit_for_bit(tmp_path, name, subtype):
    path = tmp_path / name
    soundfile.write(path, noise(40000), 16000, subtype=subtype)
    want, _ = soundfile.read(path, dtype="float32")
    assert np.array_equal(read(path), want)


def test_16_bit_samples_arrive_as_sent(tmp_path):
    sent = np.random.default_rng(1).integers(-32768, 32768, 20000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", sent, 16000)
    assert np.array_equal(read(tmp_path / "a.wav"), to_float32(sent))


@pytest.mark.parametrize(
    ("name", "kwargs", "rate"),
    [
        ("a.wav", {}, 8000),
        ("a.wav", {}, 44100),
        ("a.wav", {}, 96000),
        ("a.wav", {}, 192000),
        ("a.flac", {}, 22050),
        ("a.ogg", {}, 48000),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}, 48000),
        ("a.mp3", {}, 44100),
        ("a.wav", {"format": "RF64"}, 48000),
        ("a.wav", {"format": "WAVEX"}, 48000),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_format_equals_the_whole_file_resampled_at_once(
    tmp_path, name, kwargs, rate, channels
):
    if name == "a.mp3" and "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile reads no mp3")
    path = tmp_path / name
    soundfile.write(path, noise(3 * rate // 2, channels), rate, **kwargs)
    whole, _ = soundfile.read(path, dtype="float32", always_2d=True)
    mono = whole.astype(np.float64).mean(axis=1).astype(np.float32)
    assert np.array_equal(read(path), Resampler(rate).process(mono, last=True))
    with FileSource(path) as source:
        assert source.channels == channels
        assert source.rate_hz == rate
        assert source.duration_s == len(whole) / rate
        assert source.name == str(path)
        assert isinstance(source, AudioSource)


@pytest.mark.parametrize("channels", [2, 3, 6, 7, 32])
def test_equal_channels_give_back_their_own_samples(tmp_path, channels):
    mono = noise(20000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", np.tile(mono[:, None], channels), 16000, subtype="FLOAT")
    assert np.array_equal(read(tmp_path / "a.wav"), mono)


def test_a_single_sample_is_audio(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.5]), 16000)
    assert np.array_equal(read(tmp_path / "a.wav"), [0.5])


def test_a_long_file_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 48000, 2) as file:
        for _ in range(60):
            file.write(np.zeros((48000, 2), np.int16))
    with FileSource(path) as source:
        blocks = source.blocks()
        total = len(next(blocks))  # soxr is loaded by now
        tracemalloc.start()
        total += sum(len(block) for block in blocks)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert total == 60 * 16000
    assert peak < 4 << 20  # the file is 11 MiB, 22 MiB as float32


def test_closing_twice_is_harmless(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(100), 16000)
    source = FileSource(tmp_path / "a.wav")
    source.close()
    source.close()


# Lengths that writers to a pipe could not know


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFDB, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
@pytest.mark.parametrize("form", [0, 36, 0xFFFFFFFF])
def test_a_wav_of_unknown_length_reads_to_its_end(tmp_path, size, form):
    sent = np.random.default_rng(2).integers(-32768, 32768, 50000).astype(np.int16)
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(size, form) + sent.tobytes())
    assert np.array_equal(read(path), to_float32(sent))


def test_a_flac_of_unknown_length_reads_to_its_end(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(50001), 16000)
    want, _ = soundfile.read(path, dtype="float32")
    data = bytearray(path.read_bytes())
    # STREAMINFO keeps the number of samples in the low 36 bits of bytes 18 to 25
    known = int.from_bytes(data[18:26], "big")
    data[18:26] = (known >> 36 << 36).to_bytes(8, "big")
    path.write_bytes(data)
    with FileSource(path) as source:
        assert source.duration_s is None
        assert np.array_equal(np.concatenate(list(source.blocks())), want)


def test_a_finished_wav_of_no_samples_keeps_its_other_chunks_to_itself(tmp_path):
    tags = struct.pack("<4sI", b"LIST", 4) + b"INFO"
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(0, 36 + len(tags)) + tags)
    with pytest.raises(AudioError, match="0 samples"):
        FileSource(path)


# Files cut short


@pytest.mark.parametrize("kwargs", [{}, {"format": "RF64"}, {"format": "WAVEX"}])
@pytest.mark.parametrize("keep", [0.01, 0.5, 0.9999])
def test_a_cut_wav_gives_all_it_holds_and_then_the_error(tmp_path, kwargs, keep):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(30000), 16000, **kwargs)
    want, _ = soundfile.read(path, dtype="float32")
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    got, message = read_until_error(path)
    assert len(got) == (int(keep * len(data)) - (len(data) - 60000)) // 2
    assert np.array_equal(got, want[: len(got)])
    assert "promises 60000 bytes" in message
    assert "\n" not in message


@pytest.mark.parametrize("keep", [3, 10, 30, 44])
def test_a_wav_cut_inside_or_right_after_its_header_is_cut(tmp_path, keep):
    path = tmp_path / "a.wav"
    path.write_bytes((wav_header(2000, 2036) + bytes(2000))[:keep])
    if keep < 4:
        with pytest.raises(AudioError):
            FileSource(path)
    else:
        with pytest.raises(TruncatedAudioError):
            FileSource(path)


def test_a_wav_that_lacks_its_last_pad_byte_is_whole(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(101), 16000, subtype="PCM_U8")
    data = path.read_bytes()
    path.write_bytes(data[: 44 + 101])
    assert len(read(path)) == 101


def test_chunks_before_and_after_the_samples_are_skipped(tmp_path):
    extra = struct.pack("<4sI", b"JUNK", 3) + b"abc\0"
    samples = np.arange(100, dtype="<i2")
    header = wav_header(200, 0)
    path = tmp_path / "a.wav"
    path.write_bytes(header[:36] + extra + header[36:] + samples.tobytes() + extra)
    assert np.array_equal(read(path), to_float32(samples))
    path.write_bytes(header[:36] + extra + header[36:] + samples.tobytes()[:-50])
    got, _ = read_until_error(path)
    assert np.array_equal(got, to_float32(samples[:75]))


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.999])
def test_a_cut_flac_gives_every_whole_frame_and_then_the_error(tmp_path, keep):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(60000), 16000)
    want, _ = soundfile.read(path, dtype="float32")
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    got, message = read_until_error(path)
    assert len(got) >= keep * len(want) - 2 * 4096
    assert len(got) % 4096 == 0
    assert np.array_equal(got, want[: len(got)])
    assert "60000 samples" in message


def test_a_damaged_flac_ends_at_the_damage(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(60000), 16000)
    want, _ = soundfile.read(path, dtype="float32")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    got, _ = read_until_error(path)
    assert 20000 < len(got) < 40000
    assert np.array_equal(got, want[: len(got)])


@pytest.mark.parametrize(
    "kwargs", [{"subtype": "VORBIS"}, {"subtype": "OPUS"}], ids=["vorbis", "opus"]
)
@pytest.mark.parametrize("keep", [0.001, 0.1, 0.6, 0.999])
def test_a_cut_ogg_gives_its_whole_pages_and_then_the_error(tmp_path, kwargs, keep):
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(4 * 48000), 48000, format="OGG", **kwargs)
    whole = read(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    got, message = read_until_error(path)
    assert len(got) < len(whole)
    assert "Ogg page" in message
    sure = max(0, len(got) - 1000)  # where the cut comes, the resampler meets silence
    assert np.array_equal(got[:sure], whole[:sure])
    if keep > 0.5:
        assert len(got) > 16000


def test_an_ogg_cut_between_pages_is_noticed(tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(64000), 16000)
    data = path.read_bytes()
    path.write_bytes(data[: data.rfind(b"OggS")])
    got, _ = read_until_error(path)
    assert 0 < len(got) < 64000


def test_a_cut_aiff_is_noticed(tmp_path):
    path = tmp_path / "a.aiff"
    soundfile.write(path, noise(8000), 16000)
    path.write_bytes(path.read_bytes()[:-6000])
    got, _ = read_until_error(path)
    assert len(got) == 5000


@pytest.mark.skipif("MP3" not in soundfile.available_formats(), reason="libsndfile without mp3")
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\0\5" + bytes(5)])
def test_a_cut_mp3_is_noticed_by_its_xing_header(tmp_path, tag):
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(64000), 16000)
    data = tag + path.read_bytes()
    path.write_bytes(data)
    whole = read(path)
    path.write_bytes(data[: len(data) // 2])
    got, message = read_until_error(path)
    assert 0.3 * len(whole) < len(got) < 0.7 * len(whole)
    assert f"promises {len(data) - len(tag)} bytes" in message


# Files that are no audio


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.wav", b""),
        ("text.wav", b"Once upon a time there was a keyword. " * 40),
        ("text.txt", b"yes no up down\n" * 400),
        ("zeros.flac", bytes(5000)),
        ("image.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20),
        ("speech.raw", bytes(3200)),
        ("riff.wav", struct.pack("<4sI4s", b"RIFF", 4, b"AVI ") + bytes(400)),
        ("none.wav", wav_header(0, 36)),
        ("no_rate.wav", wav_header(2000, 2036, rate=7) + bytes(2000)),
    ],
)
def test_what_is_no_audio_is_refused_in_one_sentence(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        FileSource(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(AudioError, match="No such file"):
        FileSource(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="folder"):
        FileSource(tmp_path)
    with pytest.raises(AudioError):
        FileSource("a\0b.wav")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data())
def test_mangled_headers_end_in_our_own_errors_or_in_audio(tmp_path_factory, data):
    kwargs = data.draw(
        st.sampled_from(
            [{"format": "WAV"}, {"format": "RF64"}, {"format": "FLAC"}, {"format": "AIFF"}]
        )
    )
    path = tmp_path_factory.mktemp("mangled") / "a"
    soundfile.write(path, noise(3000), 16000, **kwargs)
    content = bytearray(path.read_bytes())
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=4)
    ):
        content[at] = value
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        with FileSource(path) as source:
            for block in source.blocks():
                assert block.dtype == np.float32
    except (AudioError, InputError):
        pass


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_sample_that_is_not_finite_is_named_by_its_time(tmp_path, bad, rate):
    x = np.zeros((3 * rate, 2))
    x[2 * rate + rate // 4, 1] = bad
    soundfile.write(tmp_path / "a.wav", x, rate, subtype="FLOAT")
    with pytest.raises(InputError, match=r"at 2\.250000 s \(channel 2\)"):
        read(tmp_path / "a.wav")
