"""One client of the server: its audio, its spotters, its detections."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection, NotDetected

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.errors import InputError
from kws_stream.integrations.wyoming.catalogue import Catalogue
from kws_stream.live import Hearing
from kws_stream.live.decoder import ChunkDecoder, Samples
from kws_stream.packs import Pack

# Work done at once for one client: a tenth of a second of audio, then the others have their turn.
PIECE_SAMPLES = SAMPLE_RATE_HZ // 10

MakeHearing = Callable[[Pack, frozenset[str]], Hearing]
MOST_NAMES = 1000


class Session:
    """Answers the messages of one client; nothing is shared with other clients but the packs."""

    def __init__(
        self,
        catalogue: Catalogue,
        make_hearing: MakeHearing,
        on_event: Callable[[WakeEvent], None] = lambda event: None,
        free: Callable[[], int] = lambda: MOST_NAMES,
        places: Sequence[int] = (),
        decoder: ChunkDecoder | None = None,
    ) -> None:
        """make_hearing: called for each pack that the client wants to hear. on_event: told too.

        free: places that the server has left. places: how many each pack takes, 1 by default.
        decoder: makes samples of the chunks; by default one that averages channels.
        """
        self._catalogue = catalogue
        self._make_hearing = make_hearing
        self._on_event = on_event
        self._free = free
        self._places = places or [1] * len(catalogue.packs)
        self._decoder = decoder or ChunkDecoder()
        self._hearings: dict[int, Hearing] = {}
        self._wanted: dict[int, frozenset[str]] | None = None
        self._start_ms = 0
        self._running = False
        self._detected = False

    @property
    def extra(self) -> int:
        """Places that this client takes beyond its first."""
        return max(0, sum(self._places[number] for number in self._wanted or ()) - 1)

    def close(self) -> None:
        """The client is gone."""
        for hearing in self._hearings.values():
            hearing.close()
        self._hearings.clear()

    async def answer(self, message: Event) -> AsyncIterator[Event]:
        """The replies to a message, as they come; messages that are not ours have none.

        Raises InputError for audio in a format that is not supported.
        """
        kind, data = message.type, message.data
        if Describe.is_type(kind):
            yield self._catalogue.info().event()
        elif Ping.is_type(kind):
            yield Pong(text=data.get("text")).event()
        elif Detect.is_type(kind):
            for reply in self._choose(data.get("names")):
                yield reply
        elif AudioStart.is_type(kind):
            self._begin(data.get("timestamp"))
        elif AudioChunk.is_type(kind):
            if not self._running:
                self._begin(data.get("timestamp"))
            audio = message.payload or b""
            form = data.get("rate"), data.get("width"), data.get("channels")
            async for reply in self._hear(self._decoder.decode(audio, *form)):
                yield reply
        elif AudioStop.is_type(kind):
            async for reply in self._hear(self._decoder.finish()):
                yield reply
            if not self._detected:
                yield NotDetected().event()
            self._running = False

    def _choose(self, names: Any) -> Sequence[Event]:
        good = isinstance(names, list) and len(names) <= MOST_NAMES
        if names is not None and not (good and all(isinstance(name, str) for name in names)):
            raise InputError(f"names: need a list of names, got {names!r:.80}")
        choice = self._catalogue.choose(names)
        room = 1 + self.extra + max(0, self._free())
        self._wanted, refused = {}, []
        for number, keywords in choice.keywords.items():
            room -= self._places[number]
            if room >= 0:
                self._wanted[number] = keywords
            else:
                refused.append(number)
        for number, hearing in list(self._hearings.items()):
            if number in self._wanted:
                hearing.keywords = self._wanted[number]
            else:
                self._hearings.pop(number).close()
        errors = []
        if choice.unknown:
            text = f"need names from the info, got {', '.join(choice.unknown):.200}; ask `describe`"
            errors.append(Error(text=text, code="unknown-name").event())
        if refused:
            models = ", ".join(self._catalogue.packs[number].name for number in refused)
            text = f"need fewer models at once, got no place for {models:.200}; try again later"
            errors.append(Error(text=text, code="busy").event())
        return errors

    def _begin(self, timestamp: Any) -> None:
        """A new stream; timestamp: its time in ms on the client's clock."""
        self._start_ms = timestamp if isinstance(timestamp, int) else 0
        self._running = True
        self._detected = False
        self._decoder.reset()
        for hearing in self._hearings.values():
            hearing.reset()

    async def _hear(self, samples: Samples) -> AsyncIterator[Event]:
        if self._wanted is None:
            self._wanted = self._catalogue.choose(None).keywords
        for at in range(0, len(samples), PIECE_SAMPLES):
            if at:
                await asyncio.sleep(0)
            piece = samples[at : at + PIECE_SAMPLES]
            for number, keywords in self._wanted.items():
                if number not in self._hearings:
                    pack = self._catalogue.packs[number]
                    self._hearings[number] = self._make_hearing(pack, keywords)
                for event in self._hearings[number].hear(piece):
                    self._detected = True
                    self._on_event(event)
                    yield Detection(
                        name=self._catalogue.name(number, event.keyword),
                        timestamp=self._start_ms + round(event.time_s * 1000),
                    ).event()
