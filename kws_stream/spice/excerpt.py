"""A piece of sound for a simulation: what a network makes of it, from its initial state."""

from dataclasses import dataclass

import numpy as np

from kws_stream.brief import brief
from kws_stream.errors import InputError
from kws_stream.network import Network, Trace
from kws_stream.pipeline import KeywordSpotter, Source, blocks_of


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A network, its trace over the piece, and where in the sound that begins."""

    net: Network
    trace: Trace
    frame_s: float
    start_s: float

    __repr__ = brief

    @property
    def seconds(self) -> float:
        return self.trace.frames * self.frame_s


def excerpt_of(
    spotter: KeywordSpotter, source: Source, seconds: float, start_s: float | None = None
) -> Excerpt:
    """So many seconds from start_s on; by default so that the first event lies in them.

    Raises InputError where the sound ends before.
    """
    seen = [
        observation
        for pcm in blocks_of(source, spotter.rate_hz)
        for observation in spotter.observe(pcm)
    ]
    frame_s, net = spotter.frame_s, spotter.pack.network
    events = [event for observation in seen for event in observation.events]
    if start_s is None:
        start_s = max(0.0, events[0].time_s - 0.9 * seconds) if events else 0.0
    first = round(start_s / frame_s)
    frames = max(1, round(seconds / frame_s))
    rows = [np.empty((0, net.parameters.n_features)), *(part.features for part in seen)]
    features = np.concatenate(rows)[first : first + frames]
    if not len(features):
        raise InputError(
            f"spice: need sound after {start_s:g} s, got {spotter.time_s:g} s; "
            "choose another --start"
        )
    return Excerpt(net, net.run(features), frame_s, round(first * frame_s, 6))
