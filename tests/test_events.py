"""Events for applications: iterator, asyncio, callback, and the audio around an event."""

import asyncio
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
import soundfile

from kws_stream import KeywordSpotter
from kws_stream.errors import AudioError, DeviceError, InputError, ParameterError
from kws_stream.events import MOST_WAITING
from kws_stream.live import AudioRing, CommandRunner, TriggerStore, passages
from tests.pack_factory import build_pack
from tests.test_audio_microphone import UNPLUG, FakeSounddevice
from tests.test_cli import noise

SECONDS = 3


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return build_pack(
        tmp_path_factory.mktemp("packs") / "tiny",
        graphs=False,
        detector={"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.2},
    )


@pytest.fixture(scope="module")
def pcm():
    return noise(SECONDS)[:, 0].astype(np.float32)


@pytest.fixture(scope="module")
def during(pack, pcm):
    """The events before the end is heard out."""
    return KeywordSpotter(pack).process(pcm)


@pytest.fixture(scope="module")
def expected(pack, pcm, during):
    spotter = KeywordSpotter(pack)
    spotter.process(pcm)
    events = during + spotter.finish()
    assert len(events) > len(during) > 3
    return events


async def gather(stream):
    return [event async for event in stream]


def test_for_and_async_for_give_the_events_of_process(pack, pcm, expected, tmp_path):
    path = tmp_path / "noise.wav"
    soundfile.write(path, pcm, 16_000, "FLOAT")
    for source in (path, str(path), np.split(pcm, 100)):
        assert list(KeywordSpotter(pack).events(source)) == expected
        assert asyncio.run(gather(KeywordSpotter(pack).events(source))) == expected


def test_an_asynchronous_source_is_computed_in_the_event_loop(pack, pcm, expected):
    async def blocks():
        for block in np.split(pcm, 100):
            await asyncio.sleep(0)
            yield block

    assert asyncio.run(gather(KeywordSpotter(pack).events(blocks()))) == expected
    with pytest.raises(ParameterError, match="async for"):
        next(KeywordSpotter(pack).events(blocks()))


def test_events_without_a_source_are_those_of_the_microphone(pack, pcm, during, monkeypatch):
    backend = FakeSounddevice([*np.split(pcm, 150), UNPLUG])
    monkeypatch.setitem(sys.modules, "sounddevice", backend)
    heard = []
    with pytest.raises(DeviceError, match="went away"):
        heard.extend(KeywordSpotter(pack).events())
    heard = []

    async def listen():
        backend.scripts.append([*np.split(pcm, 150), UNPLUG])
        async for event in KeywordSpotter(pack).events():
            heard.append(event)

    with pytest.raises(DeviceError, match="went away"):
        asyncio.run(listen())
    assert heard == during


def test_async_for_leaves_the_event_loop_free_and_stops_with_its_loop(pack, pcm):
    closed = threading.Event()

    def endless():
        try:
            while True:
                time.sleep(0.001)
                yield pcm[:1600]
        finally:
            closed.set()

    async def listen():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticker = asyncio.create_task(tick())
        async for event in KeywordSpotter(pack).events(endless()):
            if event.index == 3:
                break
        ticker.cancel()
        return ticks

    assert asyncio.run(listen()) > 0
    assert closed.wait(60)


def test_a_slow_asynchronous_reader_holds_the_audio_back(pack, pcm):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield pcm

    async def listen():
        stream = KeywordSpotter(pack).events(endless())
        await anext(stream)
        before = -1
        while before != read:
            before = read
            await asyncio.sleep(0.3)
        await stream.aclose()
        return read

    most = asyncio.run(listen())
    per_block = len(KeywordSpotter(pack).process(pcm))
    assert most <= MOST_WAITING // per_block + 3


def test_errors_of_the_source_arrive_in_the_loop(pack, tmp_path):
    missing = tmp_path / "missing.wav"
    with pytest.raises(AudioError):
        list(KeywordSpotter(pack).events(missing))
    with pytest.raises(AudioError):
        asyncio.run(gather(KeywordSpotter(pack).events(missing)))
    with pytest.raises(InputError):
        asyncio.run(gather(KeywordSpotter(pack).events([np.array([np.nan])])))


def test_a_callback_gets_every_event_in_a_thread_of_its_own(pack, pcm, expected):
    heard, threads = [], set()

    def callback(event):
        heard.append(event)
        threads.add(threading.current_thread())

    listener = KeywordSpotter(pack).listen(callback, np.split(pcm, 100))
    assert listener.wait()
    assert heard == expected
    assert not listener.running
    assert threading.current_thread() not in threads


def test_a_listener_stops_when_asked_and_closes_its_source(pack, pcm):
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield pcm[:1600]
        finally:
            closed.set()

    with KeywordSpotter(pack).listen(lambda event: None, endless()) as listener:
        assert not listener.wait(0.05)
        assert listener.running
    assert closed.is_set()
    assert not listener.running


@pytest.mark.parametrize(
    "seconds", [30, np.float32(30), np.int64(30), Fraction(30), np.inf, 1e300, None]
)
def test_any_number_of_seconds_can_be_waited(seconds, pack, pcm, tmp_path):
    assert KeywordSpotter(pack).listen(lambda event: None, [pcm]).wait(seconds)
    if seconds is not None:
        assert KeywordSpotter(pack).listen(lambda event: None, [pcm]).stop(seconds)
        CommandRunner("true").close(seconds)
        TriggerStore(tmp_path).close(seconds)


@pytest.mark.parametrize("seconds", [-1, np.nan, "5", True])
def test_what_is_no_time_to_wait_is_refused(seconds, pack, pcm, tmp_path):
    with KeywordSpotter(pack).listen(lambda event: None, [pcm]) as listener:
        store, runner = TriggerStore(tmp_path), CommandRunner("true")
        for call in (listener.wait, listener.stop, runner.close, store.close):
            with pytest.raises(ParameterError, match="timeout_s: need 0 to inf seconds, got"):
                call(seconds)
        store.close()


def test_what_a_callback_raises_is_raised_to_whoever_waits(pack, pcm):
    def callback(event):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        KeywordSpotter(pack).listen(callback, [pcm]).wait()


def test_observing_gives_the_events_and_the_scores_that_were_compared(pack, pcm, during):
    spotter, plain = KeywordSpotter(pack), KeywordSpotter(pack)
    seen = [piece for block in np.split(pcm, 100) for piece in spotter.observe(block)]
    assert [event for piece in seen for event in piece.events] == during
    scores = np.concatenate([piece.smoothed for piece in seen])
    features = np.concatenate([piece.features for piece in seen])
    frames = len(scores)
    assert frames == len(features) == spotter.frames
    for event in during:
        row = scores[round(event.time_s / spotter.frame_s) - 1]
        assert row[spotter.classes.index(event.keyword)] == event.score
    plain.process(pcm)
    assert np.array_equal(scores[-1], plain.smoothed_scores)
    logits = np.concatenate([piece.trace.logits for piece in seen])
    whole = KeywordSpotter(pack).trace(pcm)
    assert np.array_equal(logits, np.concatenate([trace.logits for trace in whole]))


@pytest.mark.parametrize("blocks", [1, 7, 150])
def test_passages_hold_the_audio_around_each_event_for_any_blocks(pack, pcm, expected, blocks):
    found = list(passages(KeywordSpotter(pack), np.array_split(pcm, blocks), 0.5, 0.25))
    assert [passage.event for passage in found] == expected
    for passage in found:
        event = passage.event
        assert passage.start_s == pytest.approx(max(0, max(event.start_s, event.time_s - 2) - 0.5))
        start = round(passage.start_s * 16_000)
        end = min(len(pcm), round((event.time_s + 0.25) * 16_000))
        assert np.array_equal(passage.pcm, pcm[start:end])


def test_passages_work_with_async_for(pack, pcm, expected):
    found = asyncio.run(gather(passages(KeywordSpotter(pack), np.split(pcm, 100))))
    assert [passage.event for passage in found] == expected


@pytest.mark.parametrize("seconds", [-1, 61, np.nan])
def test_passages_refuse_senseless_lengths(pack, seconds):
    with pytest.raises(ParameterError, match="0 to 60 seconds"):
        passages(KeywordSpotter(pack), [], after_s=seconds)


def test_a_ring_remembers_its_seconds_and_forgets_the_rest():
    ring = AudioRing(0.1)
    x = np.arange(8000, dtype=np.float32)
    for block in np.array_split(x, 37):
        ring.add(block)
    assert ring.end == len(x)
    assert np.array_equal(ring.last(0.1), x[-1600:])
    assert np.array_equal(ring.between(len(x) - 10, len(x) + 10), x[-10:])
    assert len(ring.between(0, len(x))) < 1600 + 8000 / 37 + 1
    assert len(ring.between(0, 10)) == 0
