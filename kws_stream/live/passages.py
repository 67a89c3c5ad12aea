"""The sentence around a wake word: the audio before and after each event."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kws_stream.arguments import number_within
from kws_stream.audio import AudioSource, to_float32
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.events import EventStream
from kws_stream.live.ring import AudioRing, sample_number
from kws_stream.pipeline import KeywordSpotter, blocks_of, need_speech_rate

LONGEST_S = 60.0
LONGEST_WORD_S = 2.0  # a start that is estimated earlier than this before its event is cut


@dataclass(frozen=True, eq=False)
class Passage:
    """The audio around an event: pcm (n,) float32 at 16 kHz, from start_s on the event's clock."""

    event: WakeEvent
    pcm: NDArray[np.float32]
    start_s: float

    __repr__ = brief


def first_sample(event: WakeEvent, before_s: float) -> int:
    """Where a passage begins: `before_s` before the estimated start of the word."""
    start_s = max(event.start_s, event.time_s - LONGEST_WORD_S)
    return max(0, sample_number(start_s - before_s))


def check_seconds(before_s: float, after_s: float) -> tuple[float, float]:
    """Both as numbers; raises ParameterError outside 0..60 s."""
    return (
        number_within(before_s, "before_s", 0, LONGEST_S, "seconds"),
        number_within(after_s, "after_s", 0, LONGEST_S, "seconds"),
    )


class Collector:
    """Waits for the end of each passage: events and audio in, whole passages out."""

    def __init__(self, before_s: float = 1.0, after_s: float = 3.0) -> None:
        """Seconds before the start of the word and after the event, each 0..60."""
        before_s, after_s = check_seconds(before_s, after_s)
        self._before_s = before_s
        self._after = sample_number(after_s)
        # a block may be a second long, and the word before it began in another
        self._ring = AudioRing(before_s + LONGEST_WORD_S + after_s + 1.5)
        self._open: list[WakeEvent] = []

    def reset(self) -> None:
        self._ring.reset()
        self._open = []

    def add(self, samples: NDArray[np.float32], events: list[WakeEvent]) -> list[Passage]:
        """Passages that these samples (n,) complete; events: what the spotter found in them."""
        self._ring.add(samples)
        self._open += events
        done = [event for event in self._open if self._end(event) <= self._ring.end]
        self._open = [event for event in self._open if self._end(event) > self._ring.end]
        return [self._passage(event) for event in done]

    def finish(self) -> list[Passage]:
        """The passages that the end of the stream cuts short."""
        done, self._open = self._open, []
        return [self._passage(event) for event in done]

    def _end(self, event: WakeEvent) -> int:
        return sample_number(event.time_s) + self._after

    def _passage(self, event: WakeEvent) -> Passage:
        start = first_sample(event, self._before_s)
        pcm = self._ring.between(start, self._end(event))
        return Passage(event, pcm, start / SAMPLE_RATE_HZ)


def passages(
    spotter: KeywordSpotter,
    source: AudioSource | str | Path | Iterable[ArrayLike] | None = None,
    before_s: float = 1.0,
    after_s: float = 3.0,
) -> EventStream[Passage]:
    """Each event of a source with the audio around it, once that has been heard.

    source: as of `KeywordSpotter.events`, but not asynchronous. before_s: seconds before the
    estimated start of the word; after_s: seconds after the event; 0 to 60 each. The start and the
    end of the source cut passages short. The spotter is reset first. For `for` and `async for`.
    Raises PackError for a model of another rate than 16 kHz.
    """
    need_speech_rate(spotter, "passages")
    collector = Collector(before_s, after_s)

    def batches() -> Generator[list[Passage], None, None]:
        spotter.reset()
        for pcm in blocks_of(source):
            samples = to_float32(pcm)
            for at in range(0, len(samples), SAMPLE_RATE_HZ):
                piece = samples[at : at + SAMPLE_RATE_HZ]
                yield collector.add(piece, spotter.process(piece))
        yield collector.add(np.zeros(0, np.float32), spotter.finish())
        yield collector.finish()

    return EventStream(batches())
