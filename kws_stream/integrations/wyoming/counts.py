"""What a server has done since it began, for whoever watches over it."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from kws_stream.brief import brief

ALIVE_S = 10.0  # a loop that has not come round for so long hangs


@dataclass
class ServiceCounts:
    """Counted since the server began. Seconds are of sound at 16 kHz, of one model each.

    heard_s: sound that spotters heard, busy_s: time that it took them, both by model; their ratio
    is the real-time factor. unheard_s: sound of clients all of whose models had no place.
    triggers: of networks, before a verifier, of all keywords, by model. detections: sent to
    clients, by model and keyword.
    """

    clients_total: int = 0
    refused_total: int = 0
    ended_total: int = 0  # for messages that are none, or for silence
    reloads_total: int = 0
    unheard_s: float = 0.0
    heard_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    busy_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    triggers: Counter[str] = field(default_factory=Counter)
    detections: Counter[tuple[str, str]] = field(default_factory=Counter)
    came_round: float = field(default_factory=time.monotonic)

    __repr__ = brief

    @property
    def alive(self) -> bool:
        """Whether the server's loop came round within the last ten seconds."""
        return time.monotonic() - self.came_round < ALIVE_S
