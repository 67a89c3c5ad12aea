"""A Wyoming server in the test's own loop, and a client that plays it a stream."""

import asyncio
import contextlib

import numpy as np
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection

from kws_stream import KeywordSpotter
from kws_stream.integrations.wyoming.messages import Limits
from kws_stream.integrations.wyoming.server import Address, WyomingServer
from tests.test_cli import noise

QUICK = Limits(message_s=0.3, idle_s=5.0, write_s=0.3)
DETECTOR = {"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.2}  # of a pack that hears a lot


def int16_noise(seconds):
    return np.round(noise(seconds)[:, 0] * 32768).astype(np.int16)


@contextlib.asynccontextmanager
async def serving(*offered, **settings):
    settings = {"max_clients": 100, "limits": QUICK} | settings
    server = WyomingServer(list(offered), **settings)
    address = await server.start(Address("127.0.0.1", 0))
    try:
        yield server, address.port
    finally:
        await server.stop()


def run(test):
    asyncio.run(asyncio.wait_for(test, 120))


async def converse(port, *messages):
    """All that a client is told about its messages, until the server has heard them all."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        for message in [*messages, Ping(text="done")]:
            await client.write_event(message.event())
        told = []
        while (event := await client.read_event()) is not None:
            if Pong.is_type(event.type):
                return told
            told.append(event)
        return told


async def listen(port, pcm, rate=16_000, names=None, chunk=1024, width=2, channels=1, start=0):
    """All that a client is told about a stream of pcm in an array."""
    form = {"rate": rate, "width": width, "channels": channels}
    data = pcm.tobytes()
    chunks = [AudioChunk(**form, audio=data[at : at + chunk]) for at in range(0, len(data), chunk)]
    choice = [] if names is None else [Detect(names=names)]
    return await converse(port, *choice, AudioStart(**form, timestamp=start), *chunks, AudioStop())


def detections(told):
    found = [Detection.from_event(event) for event in told if Detection.is_type(event.type)]
    return [(detection.name, detection.timestamp) for detection in found]


def events_of(pack, pcm):
    """Of a spotter that hears the pcm, and out its end as after an audio-stop."""
    spotter = KeywordSpotter(pack)
    return spotter.process(pcm) + spotter.finish()


def detections_of(pack, pcm):
    return [(event.keyword, round(event.time_s * 1000)) for event in events_of(pack, pcm)]
