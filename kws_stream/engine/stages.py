"""All stages of a stream in NumPy, one after the other: the form that runs everywhere."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.detector import Detector, WakeEvent, softmax
from kws_stream.features import FrontEnd
from kws_stream.network import Network, Trace
from kws_stream.parameters import BoolArray
from kws_stream.power import Activity, PowerEstimate, estimate

Array = NDArray[np.float64]


class Frames(NamedTuple):
    """What the network heard and made of t frames: features (t, n), smoothed scores (t, K)."""

    features: Array
    smoothed: Array


NO_FRAMES = Frames(np.zeros((0, 0)), np.zeros((0, 0)))


@dataclass(eq=False, slots=True)  # not frozen: one is made every frame
class Observation:
    """All that happened in t frames: features (t, n), the trace, smoothed scores (t, K), events."""

    features: Array
    trace: Trace
    smoothed: Array
    events: list[WakeEvent]

    __repr__ = brief


class NumpyStages:
    """Front end, network, detector and power of one stream; see `CompiledStages` for the same."""

    kind = "numpy"

    def __init__(self, front_end: FrontEnd, network: Network, detector: Detector) -> None:
        self._front_end = front_end
        self._network = network
        self._detector = detector
        self._stream = network.stream()
        self._activity = Activity(network.parameters)
        self.reset()

    def twin(self) -> "NumpyStages":
        """Another stream that goes on from where this one is."""
        kept = (self._network, self._network.parameters)
        return copy.deepcopy(self, {id(each): each for each in kept})

    def reset(self, *, keep_power: bool = False) -> None:
        self._front_end.reset()
        self._stream.reset()
        self._detector.reset()
        if not keep_power:
            self._activity.reset()
        self._last_logits: Array | None = None
        self.frames = 0

    def process(self, codes: NDArray[np.int16]) -> list[WakeEvent]:
        """Events of the next 16-bit samples (n,)."""
        frames = self._front_end.process_codes(codes)
        return self._judge(frames)[1] if len(frames) else []

    def hear(self, codes: NDArray[np.int16]) -> tuple[Frames, list[WakeEvent]]:
        """As `process`, with features and smoothed scores of the frames that are complete."""
        frames = self._front_end.process_codes(codes)
        smoothed: list[list[float]] = []
        events = self._judge(frames, smoothed)[1] if len(frames) else []
        rows = np.array(smoothed).reshape(len(frames), self._network.parameters.n_classes)
        return Frames(frames, rows), events

    def observe(self, codes: NDArray[np.int16]) -> Observation | None:
        """As `process`, but all there is to see; None if no frame is complete."""
        frames = self._front_end.process_codes(codes)
        if not len(frames):
            return None
        smoothed: list[list[float]] = []
        trace, events = self._judge(frames, smoothed)
        return Observation(frames, trace, np.array(smoothed), events)

    def logits(
        self, codes: NDArray[np.int16], frame_s: float
    ) -> tuple[Array, PowerEstimate, list[WakeEvent]]:
        """As `process`, with the logits (t, K) of the frames and what the chip spends on them."""
        frames = self._front_end.process_codes(codes)
        trace, events = (
            self._judge(frames) if len(frames) else (self._network.stream().advance(frames), [])
        )
        return trace.logits, estimate(self._network, trace, frame_s=frame_s), events

    def _judge(
        self, frames: Array, smoothed: list[list[float]] | None = None
    ) -> tuple[Trace, list[WakeEvent]]:
        trace = self._stream.advance_unchecked(frames)
        self._activity.add(trace)
        self._last_logits = trace.logits[-1]
        self.frames += len(frames)
        return trace, self._detector.process(trace.logits, smoothed)

    @property
    def scores(self) -> list[float] | None:
        """Posteriors (K,) of the last frame, not smoothed; None before the first."""
        return None if self._last_logits is None else softmax(self._last_logits.tolist())

    @property
    def smoothed(self) -> list[float]:
        return self._detector.smoothed

    @property
    def thresholds(self) -> dict[str, float]:
        return self._detector.thresholds

    def set_thresholds(self, thresholds: Mapping[str, float]) -> None:
        self._detector.set_thresholds(thresholds)

    @property
    def bits(self) -> list[BoolArray]:
        return self._stream.bits

    def power(self, frame_s: float) -> PowerEstimate:
        return self._activity.estimate(self._network, frame_s=frame_s)

    def recent_power(self, frames: int, frame_s: float) -> PowerEstimate:
        return self._activity.recent(self._network, frames, frame_s=frame_s)
