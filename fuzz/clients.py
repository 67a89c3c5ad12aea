"""Messages of network clients: Wyoming's, and those of a page over its WebSocket."""

import asyncio
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from wyoming.event import Event

from fuzz.pack_files import PACK
from fuzz.places import sentence
from kws_stream.errors import InputError
from kws_stream.integrations.web.app import _rate
from kws_stream.integrations.web.session import PageSession
from kws_stream.integrations.wyoming.catalogue import Catalogue
from kws_stream.integrations.wyoming.counts import ServiceCounts
from kws_stream.integrations.wyoming.messages import Limits, read_message
from kws_stream.integrations.wyoming.session import Session
from kws_stream.live import Hearing
from kws_stream.live.decoder import ChunkDecoder
from kws_stream.pipeline import KeywordSpotter

CATALOGUE = Catalogue([PACK])
LIMITS = Limits(payload_bytes=2**13)  # of sound at the lowest rate four seconds
_MOST_MESSAGES = 64
_loops: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    if not _loops:
        _loops.append(asyncio.new_event_loop())
    return _loops[0]


def _spotter() -> KeywordSpotter:
    return KeywordSpotter(PACK, verify=False)


async def _conversation(data: bytes) -> None:
    reader = asyncio.StreamReader(LIMITS.line_bytes)
    reader.feed_data(data)
    reader.feed_eof()
    session = Session(
        CATALOGUE,
        lambda pack, keywords: Hearing(_spotter(), keywords=keywords),
        lambda event: None,
        lambda: 3,
        [1],
        ChunkDecoder(),
        lambda names: None,
        ServiceCounts(),
    )
    try:
        for _ in range(_MOST_MESSAGES):
            message = await read_message(reader, LIMITS)
            if message is None:
                break
            async for reply in session.answer(message):
                _sent(reply)
        for reply in session.finish():
            _sent(reply)
    except InputError as error:
        sentence(error)
    finally:
        session.close()


def _sent(reply: Event) -> None:
    text = json.dumps(reply.data, ensure_ascii=False, allow_nan=False)
    assert len(text.encode("utf-8")) < 2**20


def wyoming(data: bytes) -> None:
    """All that a client sends is answered with what can be sent, or ended in a sentence."""
    _loop().run_until_complete(_conversation(data))


def _pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Messages of a page: a kind, a length of 16 bits, and so many bytes."""
    at = 0
    while at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "little")
        yield data[at], data[at + 3 : at + 3 + size]
        at += 3 + size


async def _page(data: bytes) -> None:
    page, rate = PageSession(_spotter()), None
    try:
        for number, (kind, body) in enumerate(_pieces(data)):
            if number == _MOST_MESSAGES:
                break
            if kind & 1:
                await page.hear_browser(body[:4096], rate)
            else:
                text = body.decode("utf-8", "replace")
                if text.startswith('{"rate":'):
                    rate = _rate(text)
                    page.restart()
                else:
                    page.obey(text)
        json.dumps(page.moment(), allow_nan=False)
    except InputError as error:
        sentence(error)
    finally:
        page.close()


def web_page(data: bytes) -> None:
    """What a page sends is obeyed or refused in a sentence; what it is told stays strict JSON."""
    _loop().run_until_complete(_page(data))


def _message(kind: str, data: dict[str, Any], payload: bytes = b"", apart: bool = False) -> bytes:
    header: dict[str, Any] = {"type": kind, "payload_length": len(payload)}
    body = json.dumps(data).encode() if apart else b""
    header |= {"data_length": len(body)} if apart else {"data": data}
    return json.dumps(header).encode() + b"\n" + body + payload


def wyoming_seeds() -> list[bytes]:
    """A conversation of a satellite, and its messages by themselves."""
    form = {"rate": 16_000, "width": 2, "channels": 1}
    noise = np.random.default_rng(0).integers(-9000, 9000, 1000, np.int16).tobytes()
    messages = [
        _message("describe", {}),
        _message("ping", {"text": "a"}),
        _message("detect", {"names": ["yes", "\u00e9"]}, apart=True),
        _message("audio-start", form | {"timestamp": 12}),
        _message("audio-chunk", form | {"timestamp": 12}, noise),
        _message("audio-chunk", {"rate": 48_000, "width": 3, "channels": 2}, noise[:600], True),
        _message("audio-stop", {"timestamp": 99}),
    ]
    return [b"".join(messages), *messages, b"".join(messages[3:5] * 4 + messages[6:])]


def page_seeds() -> list[bytes]:
    """What the page sends, and a browser's sound."""
    texts = ['{"threshold": 0.5}', '{"threshold": 1, "keyword": "yes"}', '{"follow": [0, 1]}']
    texts.insert(0, '{"rate": 16000}')
    parts = [b"\0" + struct.pack("<H", len(text)) + text.encode() for text in texts]
    sound = np.random.default_rng(0).integers(-9000, 9000, 800, np.int16).tobytes()
    parts.insert(1, b"\1" + struct.pack("<H", len(sound)) + sound)
    return [b"".join(parts), *parts, b"".join(parts[:2] * 3)]
