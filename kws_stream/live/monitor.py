"""What a person watches while sound is heard: the numbers behind every screen and page."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio.microphone import CLIP_LEVEL
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.features import FeatureSettings
from kws_stream.live.ring import Samples
from kws_stream.parameters import BoolArray
from kws_stream.pipeline import KeywordSpotter, Observation, need_spotter
from kws_stream.power import PowerEstimate

Array = NDArray[np.float64]

HEAT_S = 3.0
_LEVEL_SAMPLES = SAMPLE_RATE_HZ // 20  # levels of 50 ms
_FLOOR_S = 10.0
_FLOOR_SHARE = 0.1  # the noise floor: the level that a tenth of the last seconds stays below
_EVENTS = 200


@dataclass(frozen=True)
class ClassScore:
    """Smoothed score of one class; threshold None for a class that is no keyword."""

    name: str
    score: float
    threshold: float | None


@dataclass(frozen=True, eq=False)
class Cells:
    """One block: candidates, both thresholds and bits, (d,) each, of the last frame."""

    candidates: Array
    beta1: Array
    beta2: Array
    bits: BoolArray

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Moment:
    """All that can be shown. peak, rms: since the moment before, full scale 1.0; floor: the noise
    floor. heat (frames, channels): the filterbank's last seconds, 0..1. now, average: power of the
    last second and since the start. factor: seconds of audio computed in a second.
    """

    model: str
    time_s: float
    peak: float
    rms: float
    floor: float
    clipped: int
    heat: Array
    frame_s: float
    scores: Sequence[ClassScore]
    blocks: Sequence[Cells]
    events: Sequence[WakeEvent]
    event_count: int
    now: PowerEstimate
    average: PowerEstimate
    factor: float

    __repr__ = brief


class Monitor:
    """A watcher that remembers what a screen shows; `moment` is a picture of it."""

    def __init__(self, spotter: KeywordSpotter) -> None:
        need_spotter(spotter)
        settings = FeatureSettings.from_dict(spotter.pack.features)
        self._spotter = spotter
        self.channels = settings.channels
        self.high = settings.high
        self._thresholds = [
            (block.beta1, block.beta2) for block in spotter.pack.network.parameters.blocks
        ]
        self._heat: deque[Array] = deque(maxlen=max(1, round(HEAT_S / spotter.frame_s)))
        self._busy: deque[tuple[float, float]] = deque(maxlen=100)  # (audio, work) in s
        self.reset()

    def reset(self) -> None:
        """A new stream begins."""
        self._levels: deque[float] = deque(maxlen=round(_FLOOR_S * SAMPLE_RATE_HZ / _LEVEL_SAMPLES))
        self._heat.clear()
        self._candidates = [np.zeros(len(beta1)) for beta1, _ in self._thresholds]
        self._events: deque[WakeEvent] = deque(maxlen=_EVENTS)
        self._event_count = 0
        self._clipped = 0
        self._gather()

    def _gather(self) -> None:
        """A new moment begins."""
        self._peak, self._energy, self._samples = 0.0, 0.0, 0

    def hear(self, samples: Samples, seen: Sequence[Observation]) -> None:
        if len(samples):
            loudness = np.abs(samples)
            self._peak = max(self._peak, float(loudness.max()))
            self._energy += float(samples @ samples)
            self._samples += len(samples)
            self._clipped += int(np.count_nonzero(loudness >= CLIP_LEVEL))
            for at in range(0, len(samples), _LEVEL_SAMPLES):
                part = samples[at : at + _LEVEL_SAMPLES]
                self._levels.append(float(part @ part / len(part)) ** 0.5)
        for piece in seen:
            self._heat.extend(piece.features[:, : self.channels] / self.high)
            if piece.trace.frames:
                self._candidates = [block[-1] for block in piece.trace.candidates]
            self._events.extend(piece.events)
            self._event_count += len(piece.events)

    def finish(self) -> None:
        """What was heard last stays."""

    def spent(self, audio_s: float, work_s: float) -> None:
        """Seconds of work that some audio took."""
        self._busy.append((audio_s, work_s))

    def moment(self) -> Moment:
        """What is to be shown now; peak and rms begin anew."""
        spotter = self._spotter
        thresholds = spotter.thresholds
        audio_s = sum(audio for audio, _ in self._busy)
        work_s = sum(work for _, work in self._busy)
        moment = Moment(
            model=spotter.pack.name,
            time_s=spotter.time_s,
            peak=self._peak,
            rms=(self._energy / max(1, self._samples)) ** 0.5,
            floor=float(np.quantile(self._levels, _FLOOR_SHARE)) if self._levels else 0.0,
            clipped=self._clipped,
            heat=np.array(self._heat).reshape(-1, self.channels),
            frame_s=spotter.frame_s,
            scores=[
                ClassScore(name, float(score), thresholds.get(name))
                for name, score in zip(spotter.classes, spotter.smoothed_scores, strict=True)
            ],
            blocks=[
                Cells(candidates, *betas, bits)
                for candidates, betas, bits in zip(
                    self._candidates, self._thresholds, spotter.bits, strict=True
                )
            ],
            events=tuple(self._events),
            event_count=self._event_count,
            now=spotter.recent_power(),
            average=spotter.power(),
            factor=audio_s / work_s if work_s else 0.0,
        )
        self._gather()
        return moment
