"""Reading and writing Wyoming's messages, within bounds of size and time.

A message is a line of JSON, then `data_length` bytes of JSON, then `payload_length` bytes. The
package's own reader would wait for ever and store whatever a client promises.
"""

import asyncio
import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from wyoming.event import Event, async_write_event

from kws_stream.arguments import set_alike
from kws_stream.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What one client may take: bytes of a message's parts, and seconds.

    message_s: from the first byte of a message to its last. idle_s: between two messages.
    write_s: until a client has read what it was sent. 1 MiB is 32 s of 16-bit mono at 16 kHz.
    """

    line_bytes: int = 2**16
    data_bytes: int = 2**16
    payload_bytes: int = 2**20
    message_s: float = 10.0
    idle_s: float = 600.0
    write_s: float = 10.0

    def __post_init__(self) -> None:
        set_alike(self, "limits ")


async def read_message(reader: asyncio.StreamReader, limits: Limits) -> Event | None:
    """The next message; None at the end of the connection, also in the middle of a message.

    Raises InputError for anything that is no message or exceeds a limit.
    """
    first = b""
    try:
        async with asyncio.timeout(limits.idle_s) as limit:
            first = await reader.read(1)
            if not first:
                return None
            limit.reschedule(asyncio.get_running_loop().time() + limits.message_s)
            return await _read_rest(first, reader, limits)
    except TimeoutError as error:
        if not first:
            raise InputError(f"need a message within {limits.idle_s:g} s, got none") from error
        raise InputError(
            f"need the rest of a message within {limits.message_s:g} s, got only a part"
        ) from error
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise InputError(f"need a line of {limits.line_bytes} bytes at most, got more") from error


async def _read_rest(first: bytes, reader: asyncio.StreamReader, limits: Limits) -> Event:
    line = first if first == b"\n" else first + await reader.readuntil(b"\n")
    header = _object(line)
    kind = header.get("type")
    if not isinstance(kind, str):
        raise InputError(f"need a message with a type, got {kind!r:.80}")
    data = header.get("data") or {}
    if not isinstance(data, dict):
        raise InputError(f"need a JSON object as data, got {data!r:.80}")
    if length := _length(header, "data_length", limits.data_bytes):
        data = data | _object(await reader.readexactly(length))
    length = _length(header, "payload_length", limits.payload_bytes)
    payload = await reader.readexactly(length) if length else None
    return Event(kind, data, payload)


def _object(text: bytes) -> dict[str, Any]:
    """Strict JSON: Python's reader takes what cannot be sent back, and numbers without end."""
    try:
        value = _STRICT.decode(text.decode())
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise InputError(f"need a line of JSON, got {text[:60]!r}: {error!s:.80}") from error
    if not isinstance(value, dict):
        raise InputError(f"need a JSON object, got {value!r:.80}")
    return value


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(number := int(digits)) >= 2**63:
        raise ValueError("an integer of more than 64 bits")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse_constant(digits)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text:.20} is not a JSON number")


_STRICT = json.JSONDecoder(parse_int=_whole, parse_float=_finite, parse_constant=_refuse_constant)


def _length(header: dict[str, Any], name: str, most: int) -> int:
    length = header.get(name) or 0
    if not isinstance(length, int) or isinstance(length, bool) or not 0 <= length <= most:
        raise InputError(f"{name}: need 0 to {most}, got {length!r:.80}; send smaller chunks")
    return length


async def write_message(event: Event, writer: asyncio.StreamWriter, limits: Limits) -> None:
    """Send a message; raises InputError where the client does not read."""
    try:
        async with asyncio.timeout(limits.write_s):
            await async_write_event(event, writer)
    except TimeoutError as error:
        raise InputError(
            f"need a client that reads within {limits.write_s:g} s, got one that does not"
        ) from error
