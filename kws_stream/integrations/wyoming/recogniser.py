"""The sentence around a wake word, sent to a Wyoming speech-to-text service while it is spoken."""

import io
import socket
import threading
from collections.abc import Callable
from typing import Any

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import read_event, write_event

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.integrations.wyoming.server import Address
from kws_stream.live import AudioFeed

_FORM = {"rate": SAMPLE_RATE_HZ, "width": 2, "channels": 1}
_CHUNK_BYTES = 6400  # 0.2 s
MOST_AT_ONCE = 4
ANSWER_S = 30.0  # for the service to connect, to read, and to answer


class Recogniser:
    """Sends at most `MOST_AT_ONCE` sentences at a time; what is too many is skipped.

    In place of a `CommandRunner`; `started`, `skipped` and `failed` count.
    """

    def __init__(self, address: Address, on_text: Callable[[dict[str, str], str], None]) -> None:
        """on_text: called in a thread with the event's variables and each transcript."""
        self.started = self.skipped = self.failed = 0
        self._address = address
        self._on_text = on_text
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
            with self._connect() as link, link.makefile("rwb") as stream:
                text = _transcribe(stream, audio)
            if text is None:
                self.failed += 1
            else:
                self._on_text(variables, text)
        except (OSError, ValueError, KeyError):  # not there, too slow, or no Wyoming
            self.failed += 1
        finally:
            audio.stop()
            self._places.release()

    def _connect(self) -> socket.socket:
        if not self._address.path:
            return socket.create_connection((self._address.host, self._address.port), ANSWER_S)
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(ANSWER_S)
        link.connect(self._address.path)
        return link

    def close(self, timeout_s: float = ANSWER_S) -> None:
        """Wait for the answers to what was sent."""
        for thread in self._threads:
            thread.join(timeout_s)


def _transcribe(stream: Any, audio: AudioFeed) -> str | None:
    write_event(Transcribe().event(), stream)
    write_event(AudioStart(**_FORM).event(), stream)
    audio.write_to(_Chunks(stream))
    write_event(AudioStop().event(), stream)
    while (event := read_event(stream)) is not None:
        if Transcript.is_type(event.type):
            return Transcript.from_event(event).text
    return None


class _Chunks(io.RawIOBase):
    """A file whose bytes become audio chunks."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        for at in range(0, len(data), _CHUNK_BYTES):
            chunk = AudioChunk(**_FORM, audio=data[at : at + _CHUNK_BYTES])
            write_event(chunk.event(), self._stream)
        return len(data)
