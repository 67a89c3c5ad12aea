"""Audio of a Wyoming client: its formats, its times, and how much is worked on at once."""

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
from wyoming.audio import AudioChunk, AudioChunkConverter, AudioStart, AudioStop
from wyoming.wake import Detect

from kws_stream import KeywordSpotter, packs
from kws_stream.constants import RECORDING
from kws_stream.errors import InputError
from kws_stream.integrations.wyoming.clock import StreamClock
from kws_stream.integrations.wyoming.session import PIECE_SAMPLES
from kws_stream.live import Hearing, read_triggers
from kws_stream.live.decoder import ChunkDecoder
from tests.pack_factory import build_pack
from tests.wyoming_client import (
    DETECTOR,
    converse,
    detections,
    detections_of,
    events_of,
    int16_noise,
    listen,
    run,
    serving,
)

WORDS = RECORDING.with_suffix(".json")
FORM = {"rate": 16_000, "width": 2, "channels": 1}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    return packs.load(build_pack(folder, graphs=False, seed=9, detector=DETECTOR))


@pytest.fixture(scope="module")
def pcm():
    return int16_noise(2.0)


def chunks(pcm, size, stamps, **form):
    """The pcm in chunks of so many samples, with these timestamps."""
    pieces = [pcm[at : at + size] for at in range(0, len(pcm), size)]
    return [
        AudioChunk(**(FORM | form), audio=piece.tobytes(), timestamp=stamp)
        for piece, stamp in zip(pieces, stamps, strict=False)
    ]


def test_channels_are_mixed_and_widths_understood(pack, pcm):
    async def test():
        expected = detections_of(pack, pcm)
        async with serving(pack) as (_, port):
            stereo = np.repeat(pcm, 2)
            assert detections(await listen(port, stereo, channels=2, chunk=999)) == expected
            wide = pcm.astype(np.int32) << 16
            assert detections(await listen(port, wide, width=4, chunk=1001)) == expected

    run(test())


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_any_split_of_the_bytes_gives_the_same_samples(rate, pcm):
    data = np.stack([pcm, pcm[::-1]], axis=1).tobytes()
    results = []
    for size in (len(data), 1000, 333):
        decoder = ChunkDecoder()
        parts = [
            decoder.decode(data[at : at + size], rate, 2, 2) for at in range(0, len(data), size)
        ]
        results.append(np.concatenate([*parts, decoder.finish()]))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_bad_formats_are_refused_without_losing_the_decoder():
    decoder = ChunkDecoder()
    for form in ((16_000, True, 1), (16_000, 2, 0), (16_000, 2, 65), ("16000", 2, 1), (10, 2, 1)):
        with pytest.raises(InputError, match="need"):
            decoder.decode(b"0000", *form)
    assert len(decoder.decode(b"0000", 16_000, 2, 1)) == 2


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_each_width_is_what_the_protocol_s_own_converter_makes_of_it(width):
    data = np.random.default_rng(width).integers(0, 256, 12_000, np.uint8).tobytes()
    chunk = AudioChunk(rate=16_000, width=width, channels=1, audio=data)
    theirs = np.frombuffer(AudioChunkConverter(width=2).convert(chunk).audio, "<i2")
    ours = ChunkDecoder().decode(data, 16_000, width, 1) * 32768
    assert len(ours) == len(theirs) == 12_000 // width
    more = ours.astype(np.float64) - theirs  # theirs drops what 16 bits cannot hold, ours keeps it
    assert more.min() >= 0
    assert more.max() <= (0 if width <= 2 else 1)


def test_a_new_format_in_a_stream_loses_no_sound():
    decoder = ChunkDecoder()
    x = np.ones(4800, "<i2").tobytes()
    forms = [(48_000, 2, 1), (8000, 2, 1), (16_000, 2, 1), (48_000, 1, 2)]
    heard = [decoder.decode(x, *form) for form in forms]
    seconds = [len(x) / rate / width / channels for rate, width, channels in forms]
    assert decoder.time_s == pytest.approx(sum(seconds))
    total = sum(map(len, [*heard, decoder.finish()]))
    assert abs(total - 16_000 * sum(seconds)) <= len(forms)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_model_that_is_chosen_in_a_stream_has_the_times_of_the_stream(rate, pack, pcm, tmp_path):
    other = packs.load(build_pack(tmp_path / "other", graphs=False, seed=3, detector=DETECTOR))
    told_of = []

    async def test():
        async with serving(pack, other, on_event=lambda client, event: told_of.append(event)) as (
            _,
            port,
        ):
            form = FORM | {"rate": rate}
            half = pcm[: len(pcm) // 2]
            told = await converse(
                port,
                AudioStart(**form, timestamp=7000),
                AudioChunk(**form, audio=np.zeros(rate, "<i2").tobytes()),
                Detect(names=["other"]),
                *chunks(half, 1000, [None] * 999, rate=rate),
                AudioStop(),
            )
        return told

    told = asyncio.run(asyncio.wait_for(test(), 30))
    decoder = ChunkDecoder()
    before = len(decoder.decode(np.zeros(rate, "<i2").tobytes(), rate, 2, 1))
    rest = [decoder.decode(pcm[: len(pcm) // 2].tobytes(), rate, 2, 1), decoder.finish()]
    events = events_of(other, np.concatenate(rest))
    times = [before / 16_000 + event.time_s for event in events]
    assert len(times) > 1
    found = [time_ms for name, time_ms in detections(told) if name == "other"]
    assert found == [7000 + round(time_s * 1000) for time_s in times]
    assert [event.time_s for event in told_of[-len(times) :]] == pytest.approx(times)
    starts = [before / 16_000 + event.start_s for event in events]
    assert [event.start_s for event in told_of[-len(times) :]] == pytest.approx(starts)


def test_what_events_lead_to_counts_from_the_start_of_the_stream_too(pcm, tmp_path):
    """Printed lines, commands and records of a model that is chosen after a second."""
    for name, seed in (("tiny", 9), ("other", 13)):
        build_pack(tmp_path / name, graphs=False, seed=seed, detector=DETECTOR | {"warmup_s": 0.0})
    command = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0", "--json"]
    command += ["-m", tmp_path / "tiny", "-m", tmp_path / "other", "--max-clients", "9"]
    command += [
        "--keep-triggers",
        tmp_path / "kept",
        "--exec",
        f"echo $KWS_TIME_S >> {tmp_path}/ran",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stderr.readline()
        port = int(line.split()[line.split().index("at") + 1].rpartition(":")[2])
        told = asyncio.run(
            converse(
                port,
                Detect(names=["no such name"]),
                AudioStart(**FORM, timestamp=0),
                AudioChunk(**FORM, audio=bytes(32_000)),
                Detect(names=["other"]),
                *chunks(pcm, 1000, [None] * 99),
            )
        )
        process.terminate()
        printed = [json.loads(line)["time_s"] for line in process.stdout]
    expected = [
        round(1.0 + event.time_s, 3) for event in KeywordSpotter(tmp_path / "other").process(pcm)
    ]
    assert len(expected) > 2
    assert [time_ms / 1000 for _, time_ms in detections(told)] == expected
    assert printed == expected
    ran = [float(line) for line in (tmp_path / "ran").read_text("utf-8").split()]
    assert set(ran) <= set(expected)
    assert ran
    records = read_triggers(tmp_path / "kept")
    assert records
    for record in records:
        event = record.values["event"]
        assert round(event["time_s"], 3) in expected
        assert record.values["audio_start_s"] <= event["start_s"]
        assert record.values["times_s"][0] > 1.0
        assert event["time_s"] in record.values["times_s"]


def test_without_a_time_at_the_start_the_chunks_timestamps_count(pack, pcm):
    expected = [(word, 5000 + time_ms) for word, time_ms in detections_of(pack, pcm)]
    stamps = range(5000, 10_000, 20)

    async def test():
        async with serving(pack) as (_, port):
            sound = chunks(pcm, 320, stamps)
            for start in ([AudioStart(**FORM)], []):
                assert detections(await converse(port, *start, *sound, AudioStop())) == expected
            # the first alone has a time
            once = chunks(pcm, 320, [5000, *[None] * 999])
            assert detections(await converse(port, *once, AudioStop())) == expected
            # always the same, which tells nothing
            still = chunks(pcm, 320, [5000] * 999)
            assert detections(await converse(port, *still, AudioStop())) == expected
            # none at all
            none = chunks(pcm, 320, [None] * 999)
            assert detections(await converse(port, *none, AudioStop())) == detections_of(pack, pcm)

    run(test())


def test_the_time_of_an_audio_start_is_where_its_stream_begins(pack, pcm):
    async def test():
        async with serving(pack) as (_, port):
            sound = chunks(pcm, 320, range(99, 99_999, 70))
            told = await converse(port, AudioStart(**FORM, timestamp=40), *sound, AudioStop())
            assert detections(told) == [(word, 40 + ms) for word, ms in detections_of(pack, pcm)]

    run(test())


def test_a_word_that_is_cut_just_after_its_end_is_detected_at_the_audio_stop():
    x, _ = soundfile.read(RECORDING, dtype="float32")
    word = next(word for word in json.loads(WORDS.read_text())["words"] if word["word"] == "yes")
    x = x[: round((word["end_s"] + 0.02) * 16_000)]
    assert "yes" not in {event.keyword for event in KeywordSpotter("commands-12").process(x)}
    sent = np.round(x * 32768).astype("<i2")
    length_ms = len(x) / 16

    async def test():
        async with serving(packs.load("commands-12")) as (_, port):
            sound = [AudioStart(**FORM), *chunks(sent, 8000, [None] * 99)]
            choice = Detect(names=["yes"])
            assert await converse(port, choice, *sound) == []
            told = await converse(port, choice, *sound, AudioStop(), *sound, AudioStop())
            (first, again) = detections(told)
            assert first == again  # what was heard out is no part of the next stream
            assert first[0] == "yes"
            assert length_ms - 20 < first[1] < length_ms + 500
            assert len(told) == 2

    run(test())


def test_an_audio_stop_without_a_stream_hears_nothing(pack):
    async def test():
        async with serving(pack) as (_, port):
            told = await converse(port, AudioStop(), AudioStop())
            assert [event.type for event in told] == ["not-detected"] * 2

    run(test())


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_times_after_a_gap_are_the_client_s(rate, pack, pcm):
    """Half of the sound, then a pause that the client did not send, then the other half."""
    size = rate // 50
    stamps = [20 * n + (0 if n < 20 else 30_000) for n in range(200)]
    decoder = ChunkDecoder()
    heard = np.concatenate([decoder.decode(pcm.tobytes(), rate, 2, 1), decoder.finish()])
    expected = [
        (word, ms if ms <= 20 * 20 else ms + 30_000) for word, ms in detections_of(pack, heard)
    ]
    assert {ms > 30_000 for _, ms in expected} == {True, False}

    async def test():
        async with serving(pack) as (_, port):
            sound = chunks(pcm, size, stamps, rate=rate)
            assert detections(await converse(port, *sound, AudioStop())) == expected

    run(test())


def test_sound_that_is_heard_late_has_the_time_of_the_chunk_that_it_came_in():
    """As a resampler holds it back: the chunk after the gap is there already."""
    clock = StreamClock()
    clock.chunk(100, 0.0)
    clock.chunk(30_000, 1.0)
    assert [clock.at(time_s) for time_s in (0.02, 0.99, 1.0, 1.02)] == [120, 1090, 1100, 30_020]
    for number in range(200):
        clock.chunk(40_000 + 50 * number, 1.02 + 0.02 * number)
    assert clock.at(5.02) == 40_000 + 50 * 199 + 20
    assert len(clock._marks) < 120  # what cannot be asked for any more is forgotten
    clock.begin(7)
    assert clock.at(0.5) == 507


def test_times_in_nanoseconds_are_those_of_the_chunk(pack, pcm):
    """wyoming's own microphone, and with it wyoming-satellite, sends time.monotonic_ns()."""
    stamps = [10**15 + 20_000_000 * n for n in range(200)]

    async def test():
        async with serving(pack) as (_, port):
            told = await converse(port, *chunks(pcm, 320, stamps), AudioStop())
            found = [(word, (ns - 10**15) / 1e6) for word, ns in detections(told)]
            expected = detections_of(pack, pcm)
            assert [word for word, _ in found] == [word for word, _ in expected]
            for (_, ours), (_, right) in zip(found, expected, strict=True):
                assert (
                    min(right - 20, 1980) - 1e-3 <= ours <= right
                )  # the last chunk begins at 1980

    run(test())


def test_a_second_of_sound_is_never_worked_on_at_once_whatever_rate_is_claimed():
    data = bytes(2**20)
    for rate in (1000, 8000, 16_000, 768_000):
        for width, channels in ((1, 1), (4, 64)):
            sizes = [len(piece) for piece in ChunkDecoder().pieces(data, rate, width, channels)]
            assert max(sizes) < 16_000
            seconds = len(data) / rate / width / channels
            assert abs(sum(sizes) / 16_000 - seconds) < 1.0


def test_others_are_answered_while_a_chunk_of_a_quarter_of_an_hour_is_worked_on(pack):
    heard = []

    class Counting(Hearing):
        def hear(self, pcm):
            heard.append(len(pcm))
            return []

    def make(pack, keywords, client):
        return Counting(KeywordSpotter(pack), keywords=keywords)

    async def test():
        async with serving(pack, make_hearing=make) as (_, port):
            long = AudioChunk(rate=1000, width=1, channels=1, audio=bytes([128]) * 2**20)
            greedy = asyncio.create_task(converse(port, long))
            while not heard:
                await asyncio.sleep(0)
            before = len(heard)
            assert await converse(port) == []
            pieces = len(heard) - before
            await greedy
        assert max(heard) <= PIECE_SAMPLES
        assert sum(heard) > 16_000 * 1000
        assert before < len(heard) / 10
        assert pieces < len(heard) / 10

    run(test())
