"""A spotter and those who watch it: the loop body of every live command."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from kws_stream.audio import to_float32
from kws_stream.detector import WakeEvent
from kws_stream.live.ring import Samples
from kws_stream.pipeline import KeywordSpotter, Observation


class Watcher(Protocol):
    """Somebody who follows a stream; what it does must be quick, for the audio waits."""

    def hear(self, samples: Samples, seen: Sequence[Observation]) -> None:
        """The next samples (n,), a second at most, and what the spotter made of them.

        At the end of a stream come no samples, and an observation without frames that has the
        events of words that end with it.
        """
        ...

    def reset(self) -> None:
        """A new stream begins, at time 0."""
        ...

    def finish(self) -> None:
        """The stream is over; nothing more will come."""
        ...


def later(event: WakeEvent, seconds: float) -> WakeEvent:
    """The event on a clock that had gone on so long when the spotter's began."""
    if not seconds:
        return event
    time_s, start_s = round(event.time_s + seconds, 6), round(event.start_s + seconds, 6)
    known_s = None if event.confirmed_s is None else round(event.confirmed_s + seconds, 6)
    return replace(event, time_s=time_s, start_s=start_s, confirmed_s=known_s)


class Hearing:
    """Feeds a spotter and its watchers; the events are the spotter's, for any split.

    `from_s`: the seconds of its stream that went by before the spotter began to hear it; whoever
    shows times to people adds it, with `later`.
    """

    def __init__(
        self,
        spotter: KeywordSpotter,
        watchers: Sequence[Watcher] = (),
        keywords: Collection[str] | None = None,
    ) -> None:
        """keywords: events of others are dropped, for the watchers too; None keeps all."""
        self.spotter = spotter
        self.keywords = keywords
        self.from_s = 0.0
        self.watchers = watchers

    def reset(self) -> None:
        """A new stream begins."""
        self.spotter.reset()
        for watcher in self.watchers:
            watcher.reset()
        self.from_s = 0.0

    def close(self) -> None:
        """The stream is over."""
        for watcher in self.watchers:
            watcher.finish()

    def hear(self, pcm: ArrayLike) -> list[WakeEvent]:
        """Events that these samples complete; types, shapes and errors as of `process`."""
        if not self.watchers:
            return self._wanted(self.spotter.process(pcm))
        samples = to_float32(pcm)
        events = []
        second = self.spotter.rate_hz
        for at in range(0, len(samples), second):
            piece = samples[at : at + second]
            seen = self.spotter.observe(piece)
            for observation in seen:
                observation.events = self._wanted(observation.events)
                events += observation.events
            for watcher in self.watchers:
                watcher.hear(piece, seen)
        return events

    def end(self) -> list[WakeEvent]:
        """The sound has come to its end: the events of its last word, as of the spotter's `finish`.

        Watchers hear of them; `close` is still to be called.
        """
        events = self._wanted(self.spotter.finish())
        if events:
            seen = [self.spotter.nothing_seen(events)]
            for watcher in self.watchers:
                watcher.hear(np.zeros(0, np.float32), seen)
        return events

    def _wanted(self, events: list[WakeEvent]) -> list[WakeEvent]:
        if self.keywords is None:
            return events
        return [event for event in events if event.keyword in self.keywords]
