"""One page: its audio, its spotter, and the messages that draw it."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kws_stream.audio import to_float32
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.errors import InputError
from kws_stream.features import FeatureSettings, centres_of
from kws_stream.live import Hearing, Monitor, Watcher
from kws_stream.live.decoder import ChunkDecoder, Pcm
from kws_stream.live.ring import Samples
from kws_stream.pipeline import KeywordSpotter, Observation
from kws_stream.power import PowerEstimate

_AHEAD_S = 5.0  # of audio that a browser may send at once; more than real time is refused
_PIECE_SAMPLES = SAMPLE_RATE_HZ // 10
_DECIMALS = 4


class PageSession:
    """Hears one stream for one page and tells what is to be drawn."""

    def __init__(self, spotter: KeywordSpotter, watchers: Sequence[Watcher] = ()) -> None:
        self.spotter = spotter
        self._monitor = Monitor(spotter)
        self._follower = _Follower()
        self._hearing = Hearing(spotter, [self._monitor, self._follower, *watchers])
        self._decoder = ChunkDecoder()
        self._began: float | None = None
        self._received = 0  # samples from the browser
        self.on_event: Callable[[WakeEvent], None] = lambda event: None
        self.lost: Callable[[], int] = lambda: 0  # how often the source lost sound

    def hello(self) -> dict[str, Any]:
        """What does not change."""
        return {"type": "hello", **model_facts(self.spotter)}

    async def hear(self, samples: Pcm) -> None:
        """Audio of this stream at 16 kHz."""
        for at in range(0, len(samples), _PIECE_SAMPLES):
            piece = samples[at : at + _PIECE_SAMPLES]
            began = time.perf_counter()
            for event in self._hearing.hear(piece):
                self.on_event(event)
            self._monitor.spent(len(piece) / SAMPLE_RATE_HZ, time.perf_counter() - began)
            await asyncio.sleep(0)

    async def hear_browser(self, data: bytes, rate: Any) -> None:
        """16-bit mono PCM from the browser. Raises InputError for bad or too much audio."""
        for samples in self._decoder.pieces(data, rate, 2, 1):
            now = time.monotonic()
            self._began = self._began or now
            self._received += len(samples)
            if self._received / SAMPLE_RATE_HZ > now - self._began + _AHEAD_S:
                raise InputError(
                    "need audio in real time, got it faster; send it as it is recorded"
                )
            await self.hear(samples)

    def restart(self) -> None:
        """A new stream begins."""
        self._hearing.reset()
        self._decoder.reset()
        self._began, self._received = None, 0

    def obey(self, text: str) -> None:
        """A message of the page: thresholds, or the cell to follow; raises InputError."""
        try:
            message = json.loads(text)
            if not isinstance(message, dict):
                raise TypeError("no object")
            if "threshold" in message:
                value = float(message["threshold"])
                keywords = [message["keyword"]] if "keyword" in message else self.spotter.thresholds
                self.spotter.set_thresholds(dict.fromkeys(keywords, value))
            elif "follow" in message:
                block, cell = message["follow"]
                self._follower.follow(int(block), int(cell))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise InputError(f"need a message that the page sends, got {text[:80]!r}") from error

    def moment(self) -> dict[str, Any]:
        """What is to be drawn now."""
        moment = self._monitor.moment()
        heat, followed = self._follower.take(self._monitor)
        return {
            "type": "moment",
            "time_s": moment.time_s,
            "peak": round(moment.peak, 5),
            "rms": round(moment.rms, 5),
            "floor": round(moment.floor, 6),
            "clipped": moment.clipped,
            "lost": self.lost(),
            "factor": round(moment.factor, 1),
            "scores": _rounded(np.array([score.score for score in moment.scores])),
            "thresholds": [score.threshold for score in moment.scores],
            "candidates": [_rounded(block.candidates) for block in moment.blocks],
            "bits": ["".join("01"[int(z)] for z in block.bits) for block in moment.blocks],
            "heat": heat,
            "followed": followed,
            "now": _power(moment.now),
            "average": _power(moment.average),
            "events": [event.as_dict() for event in moment.events[-50:]],
        }

    def close(self) -> None:
        self._hearing.close()


def model_facts(spotter: KeywordSpotter) -> dict[str, Any]:
    """What a page has to know of a model to draw its axes and its cells."""
    settings = FeatureSettings.from_dict(spotter.pack.features)
    blocks = spotter.pack.network.parameters.blocks
    return {
        "model": spotter.pack.name,
        "classes": list(spotter.classes),
        "thresholds": spotter.thresholds,
        "beta1": [_rounded(block.beta1) for block in blocks],
        "beta2": [_rounded(block.beta2) for block in blocks],
        "channels": settings.channels,
        "centres_hz": [round(float(hz), 1) for hz in centres_of(settings)],
        "frame_s": spotter.frame_s,
    }


class _Follower:
    """A watcher that keeps every frame between two moments: the filterbank, and one cell."""

    def __init__(self) -> None:
        self._place = (0, 0)
        self._cell: list[list[float]] = []
        self.reset()

    def follow(self, block: int, cell: int) -> None:
        self._place = (block, cell)
        self._cell = []

    def reset(self) -> None:
        self._features: list[np.ndarray[Any, Any]] = []
        self._cell = []

    def finish(self) -> None:
        self.reset()

    def hear(self, samples: Samples, seen: Sequence[Observation]) -> None:
        block, cell = self._place
        for piece in seen:
            self._features.append(piece.features)
            trace = piece.trace
            if 0 <= block < len(trace.bits) and 0 <= cell < trace.bits[block].shape[1]:
                pairs = zip(
                    trace.candidates[block][:, cell], trace.bits[block][:, cell], strict=True
                )
                self._cell += [[round(float(c), _DECIMALS), int(z)] for c, z in pairs]

    def take(self, monitor: Monitor) -> tuple[list[list[int]], list[list[float]]]:
        """Rows of 0..255 for each new frame, and (candidate, bit) of the followed cell."""
        frames = np.concatenate(self._features) if self._features else np.zeros((0, 1))
        shares = frames[-200:, : monitor.channels] / monitor.high
        followed = self._cell[-200:]
        self.reset()
        return np.rint(255 * np.clip(shares, 0, 1)).astype(int).tolist(), followed


def _rounded(values: Any) -> list[float]:
    return [round(float(value), _DECIMALS) for value in values]


def _power(power: PowerEstimate) -> dict[str, float]:
    return {
        "core": power.core_nw,
        "cells": power.cells_nw,
        "feedforward": power.feedforward_nw,
        "classifier": power.classifier_nw,
    }


def demo_blocks(pcm: Any) -> list[Samples]:
    """A recording in blocks of 20 ms."""
    samples = to_float32(pcm)
    return [samples[at : at + 320] for at in range(0, len(samples), 320)]
