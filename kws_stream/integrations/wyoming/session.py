"""One client of the server: its audio, its spotters, its detections."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
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
from kws_stream.integrations.wyoming.catalogue import Catalogue, ModelChoice
from kws_stream.integrations.wyoming.clock import StreamClock
from kws_stream.integrations.wyoming.counts import ServiceCounts
from kws_stream.live import Hearing, later
from kws_stream.live.decoder import ChunkDecoder, Pcm
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
        on_unknown: Callable[[Sequence[str]], None] = lambda names: None,
        counts: ServiceCounts | None = None,
    ) -> None:
        """make_hearing: called for each pack that the client wants to hear.

        on_event: told each event, with times since the stream began. free: places that the server
        has left. places: how many each pack takes, 1 by default. decoder: makes samples of the
        chunks; by default one that averages channels. on_unknown: told the names that the client
        asked for in vain. counts: where what is heard and detected is counted.
        """
        self._catalogue = catalogue
        self._make_hearing = make_hearing
        self._on_event = on_event
        self._free = free
        self._places = places or [1] * len(catalogue.packs)
        self._on_unknown = on_unknown
        self._decoder = decoder or ChunkDecoder()
        self._counts = counts or ServiceCounts()
        self._offered: tuple[Catalogue, Sequence[int]] | None = None
        self._names: Any = None  # that the client chose last
        self._clock = StreamClock()
        self._hearings: dict[int, Hearing] = {}
        self._choice: ModelChoice | None = None
        self._heard = 0  # samples of this stream, at 16 kHz
        self._running = False
        self._detected = False

    @property
    def extra(self) -> int:
        """Places that this client takes beyond its first."""
        chosen = self._choice.keywords if self._choice else ()
        return max(0, sum(self._places[number] for number in chosen) - 1)

    def offer(self, catalogue: Catalogue, places: Sequence[int]) -> None:
        """Take these packs from the next message on; what the client chose is chosen anew."""
        self._offered = catalogue, places

    def _take_what_is_offered(self) -> Iterator[Event]:
        if self._offered is None:
            return
        self._catalogue, self._places = self._offered
        self._offered = None
        self.close()
        if self._choice is not None:
            self._choice = None
            yield from self._choose(self._names)

    def finish(self) -> Iterator[Event]:
        """The last detections of a stream that the server ends."""
        if self._running:
            yield from self._hear_end()
        self._running = False

    def close(self) -> None:
        """The client is gone."""
        for hearing in self._hearings.values():
            hearing.close()
        self._hearings.clear()

    async def answer(self, message: Event) -> AsyncIterator[Event]:
        """The replies to a message, as they come; messages that are not ours have none.

        Raises InputError for audio in a format that is not supported, and for names, texts and
        timestamps that are none.
        """
        for reply in self._take_what_is_offered():
            yield reply
        kind, data = message.type, message.data
        if Describe.is_type(kind):
            yield self._catalogue.info().event()
        elif Ping.is_type(kind):
            text = data.get("text")
            if text is not None and not isinstance(text, str):
                raise InputError(f"text: need a text, got {text!r:.80}")
            yield Pong(text=text).event()
        elif Detect.is_type(kind):
            for reply in self._choose(data.get("names")):
                yield reply
        elif AudioStart.is_type(kind):
            self._begin(data.get("timestamp"))
        elif AudioChunk.is_type(kind):
            if not self._running:
                self._begin(None)
            self._clock.chunk(data.get("timestamp"), self._decoder.time_s)
            audio = message.payload or b""
            form = data.get("rate"), data.get("width"), data.get("channels")
            async for reply in self._hear(self._decoder.pieces(audio, *form)):
                yield reply
        elif AudioStop.is_type(kind):
            async for reply in self._hear([self._decoder.finish()]):
                yield reply
            for reply in self._hear_end() if self._running else ():
                yield reply
            if not self._detected:
                yield NotDetected().event()
            self._running = False

    def _choose(self, names: Any) -> Iterator[Event]:
        good = isinstance(names, list) and len(names) <= MOST_NAMES
        if names is not None and not (good and all(isinstance(name, str) for name in names)):
            raise InputError(f"names: need a list of names, got {names!r:.80}")
        self._names = names
        choice = self._catalogue.choose(names)
        room = 1 + self.extra + max(0, self._free())
        wanted, refused = {}, []
        for number, keywords in choice.keywords.items():
            room -= self._places[number]
            if room >= 0:
                wanted[number] = keywords
            else:
                refused.append(number)
        self._choice = replace(choice, keywords=wanted)
        for number, hearing in list(self._hearings.items()):
            if number in wanted:
                hearing.keywords = wanted[number]
            else:
                self._hearings.pop(number).close()
        if choice.unknown:
            self._on_unknown(choice.unknown)
            text = f"need names from the info, got {', '.join(choice.unknown):.200}; ask `describe`"
            yield Error(text=text, code="unknown-name").event()
        if refused:
            models = ", ".join(self._catalogue.packs[number].name for number in refused)
            text = f"need fewer models at once, got no place for {models:.200}; try again later"
            yield Error(text=text, code="busy").event()

    def _begin(self, timestamp: Any) -> None:
        """A new stream; timestamp: where it begins on the client's clock, in ms, or None."""
        self._clock.begin(timestamp)
        self._running = True
        self._detected = False
        self._decoder.reset()
        self._heard = 0
        for hearing in self._hearings.values():
            hearing.reset()

    async def _hear(self, sound: Iterable[Pcm]) -> AsyncIterator[Event]:
        if self._choice is None:
            for reply in self._choose(None):
                yield reply
        pieces = (
            samples[at : at + PIECE_SAMPLES]
            for samples in sound
            for at in range(0, len(samples), PIECE_SAMPLES)
        )
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0)
            for reply in self._hear_piece(piece):
                yield reply

    def _hear_end(self) -> Iterator[Event]:
        """The last word of a stream, which may end with it."""
        for number, hearing in self._hearings.items():
            yield from self._detections(number, hearing, hearing.end)

    def _hear_piece(self, piece: Pcm) -> Iterator[Event]:
        assert self._choice is not None
        if not self._choice.keywords:
            self._counts.unheard_s += len(piece) / SAMPLE_RATE_HZ
        for number, keywords in self._choice.keywords.items():
            if number not in self._hearings:
                hearing = self._make_hearing(self._catalogue.packs[number], keywords)
                hearing.from_s = self._heard / SAMPLE_RATE_HZ
                self._hearings[number] = hearing
            hearing = self._hearings[number]
            yield from self._detections(number, hearing, partial(hearing.hear, piece))
            name = self._catalogue.packs[number].name
            self._counts.heard_s[name] += len(piece) / SAMPLE_RATE_HZ
        self._heard += len(piece)

    def _detections(
        self, number: int, hearing: Hearing, hear: Callable[[], Iterable[WakeEvent]]
    ) -> Iterator[Event]:
        """What hearing gives, to the client, and counted."""
        name, began = self._catalogue.packs[number].name, time.perf_counter()
        before = hearing.spotter.triggers
        events = list(hear())
        self._counts.busy_s[name] += time.perf_counter() - began
        self._counts.triggers[name] += max(0, hearing.spotter.triggers - before)
        for event in events:
            self._detected = True
            self._counts.detections[name, event.keyword] += 1
            yield self._detection(number, later(event, hearing.from_s))

    def _detection(self, number: int, event: WakeEvent) -> Event:
        """To the client; event: on the clock of the stream."""
        assert self._choice is not None
        self._on_event(event)
        return Detection(
            name=self._choice.names[number, event.keyword],
            timestamp=self._clock.at(event.time_s),
        ).event()
