"""The sentence around a wake word, sent to a Wyoming speech-to-text service while it is spoken."""

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import write_event

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import InputError
from kws_stream.integrations.wyoming.messages import Limits, read_message
from kws_stream.integrations.wyoming.server import Address
from kws_stream.live import AudioFeed

_FORM = {"rate": SAMPLE_RATE_HZ, "width": 2, "channels": 1}
_CHUNK_BYTES = 6400  # 0.2 s
MOST_AT_ONCE = 4
ANSWER_S = 30.0  # for the service to connect, to have read everything, and to answer
_MOST_MESSAGES = 1000  # of the service, until it answers
_MOST_BYTES = 2**16  # of each part of a message


class Recogniser:
    """Sends at most `MOST_AT_ONCE` sentences at a time; what is too many is skipped.

    In place of a `CommandRunner`; `started`, `skipped` and `failed` count. A service that does not
    read, does not answer or answers something else holds a place for a bounded time.
    """

    def __init__(
        self,
        address: Address,
        on_text: Callable[[dict[str, str], str], None],
        answer_s: float = ANSWER_S,
    ) -> None:
        """on_text: called in a thread with the event's variables and each transcript.

        answer_s: seconds for the service to connect, to have read everything after the last of the
        sound, and to answer then.
        """
        self.started = self.skipped = self.failed = 0
        self._address = address
        self._on_text = on_text
        self._answer_s = answer_s
        self._places = threading.Semaphore(MOST_AT_ONCE)
        self._threads: list[threading.Thread] = []

    def start(self, variables: dict[str, str], audio: AudioFeed | None = None) -> bool:
        """Begin to send a sentence; False if it was skipped. Never waits."""
        if audio is None or not self._places.acquire(blocking=False):
            self.skipped += 1
            return False
        self.started += 1
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._run, args=(variables, audio), daemon=True)
        self._threads.append(thread)
        thread.start()
        return True

    def _run(self, variables: dict[str, str], audio: AudioFeed) -> None:
        try:
            with self._connect() as link:
                self._send(link, audio)
                text = asyncio.run(self._answer(link))
            self._on_text(variables, text)
        except (OSError, ValueError):  # not there, too slow, or no Wyoming
            self.failed += 1
        finally:
            audio.stop()
            self._places.release()

    def _connect(self) -> socket.socket:
        if not self._address.path:
            place = (self._address.host, self._address.port)
            return socket.create_connection(place, self._answer_s)
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(self._answer_s)
        link.connect(self._address.path)
        return link

    def _send(self, link: socket.socket, audio: AudioFeed) -> None:
        until = time.monotonic() + audio.seconds + self._answer_s
        with io.BufferedWriter(_Link(link, until)) as stream:
            write_event(Transcribe().event(), stream)
            write_event(AudioStart(**_FORM).event(), stream)
            audio.write_to(_Chunks(stream))
            write_event(AudioStop().event(), stream)

    async def _answer(self, link: socket.socket) -> str:
        """The transcript; raises InputError for another answer, TimeoutError for none."""
        limits = Limits(_MOST_BYTES, _MOST_BYTES, _MOST_BYTES, self._answer_s, self._answer_s)
        async with asyncio.timeout(self._answer_s):
            reader, writer = await asyncio.open_connection(sock=link, limit=_MOST_BYTES)
            try:
                for _ in range(_MOST_MESSAGES):
                    message = await read_message(reader, limits)
                    if message is None:
                        raise InputError("need a transcript, got the end of the connection")
                    if Transcript.is_type(message.type):
                        text = message.data.get("text")
                        if not isinstance(text, str):
                            raise InputError(f"need a text, got {text!r:.80}")
                        return text
            finally:
                writer.transport.abort()
        raise InputError(f"need a transcript, got {_MOST_MESSAGES} other messages")

    def close(self, timeout_s: float | None = None) -> None:
        """Wait for the answers to what was sent, by default as long as one may take."""
        until = time.monotonic() + (2 * self._answer_s if timeout_s is None else timeout_s)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


class _Link(io.RawIOBase):
    """A connection to write to, until a time of the monotonic clock, when all must be read."""

    def __init__(self, link: socket.socket, until: float) -> None:
        self._link = link
        self._until = until

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the service reads too slowly")
        self._link.settimeout(left)
        return self._link.send(data)


class _Chunks(io.RawIOBase):
    """A file whose bytes become audio chunks."""

    def __init__(self, stream: "io.BufferedWriter[_Link]") -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        for at in range(0, len(data), _CHUNK_BYTES):
            chunk = AudioChunk(**_FORM, audio=data[at : at + _CHUNK_BYTES])
            write_event(chunk.event(), self._stream)
        return len(data)
