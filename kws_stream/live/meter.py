"""A spotter with a power meter: what was heard, and what the chip would have spent on it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kws_stream.audio import to_float32
from kws_stream.detector import WakeEvent
from kws_stream.features import FeatureSettings
from kws_stream.parameters import FloatArray
from kws_stream.pipeline import KeywordSpotter, Observation, need_spotter
from kws_stream.power import ByActivity, PowerReport, VerifierWork, report
from kws_stream.power.by_activity import QUIETEST_DBFS, frame_power
from kws_stream.verifier import McuVerifier


class PowerMeter:
    """Hears what the spotter hears, which must not be fed by anybody else meanwhile.

    Events are those of the spotter, and the figures are the same for any split of the stream.
    """

    def __init__(self, spotter: KeywordSpotter) -> None:
        need_spotter(spotter)
        self.spotter = spotter
        self._parameters = spotter.pack.network.parameters
        self._frame_samples = round(spotter.frame_s * spotter.rate_hz)
        self._by_activity = ByActivity(self._parameters, spotter.frame_s)
        self.reset()

    def reset(self, *, keep_power: bool = False) -> None:
        """The spotter back to the start; keep_power: but the figures go on over several streams."""
        self.spotter.reset(keep_power=keep_power)
        self._waiting = np.empty(0, np.float32)  # samples of a frame that is not complete
        if keep_power:
            self._by_activity.next_stream()
        else:
            self._by_activity.reset()

    def process(self, pcm: ArrayLike) -> list[WakeEvent]:
        """Events that these samples complete, as of `KeywordSpotter.process`."""
        samples = to_float32(pcm)
        seen = self.spotter.observe(samples)
        self.hear(samples, seen)
        return [event for observation in seen for event in observation.events]

    def hear(self, samples: NDArray[np.float32], seen: Sequence[Observation]) -> None:
        """As a `Watcher` of the spotter, in place of `process`."""
        self._waiting = np.concatenate([self._waiting, samples])
        for observation in seen:
            self._add(observation)

    def finish(self) -> None:
        """The figures stay."""

    def _add(self, seen: Observation) -> None:
        trace = seen.trace
        used = trace.frames * self._frame_samples
        levels = levels_dbfs(self._waiting[:used].reshape(-1, self._frame_samples))
        self._waiting = self._waiting[used:]
        power = frame_power(self._parameters, trace.inputs, trace.candidates, trace.states)
        if not self._parameters.blocks:
            power = np.zeros((trace.frames, 2))
        hits = [(self._frame(e.start_s), self._frame(e.time_s)) for e in seen.events]
        self._by_activity.add(power, levels, hits)

    @property
    def time_s(self) -> float:
        """Seconds of this stream heard, up to the last whole frame."""
        return self.spotter.time_s

    def _frame(self, time_s: float) -> int:
        return round(time_s / self.spotter.frame_s)

    def report(self) -> PowerReport:
        """The power report of all that was heard since the last reset without `keep_power`."""
        verifier = self.spotter.verifier
        return report(
            self.spotter.power(),
            FeatureSettings.from_dict(self.spotter.pack.features).channels,
            self.spotter.frame_s,
            rate_hz=self.spotter.rate_hz,
            parameters=self._parameters,
            activity=self._by_activity.power(),
            words=self._by_activity.words,
            verifier=None
            if verifier is None
            else VerifierWork(
                self.spotter.decisions,
                verifier.multiplications,
                isinstance(verifier, McuVerifier),
            ),
        )


def levels_dbfs(frames: NDArray[np.float32]) -> FloatArray:
    """Mean square of each row (t, samples) in dB, where 0 is that of a full-scale square wave."""
    squares = np.square(frames, dtype=np.float64)
    means = np.add.accumulate(squares, axis=1)[:, -1] / frames.shape[1]
    levels: FloatArray = 10 * np.log10(np.maximum(means, 10 ** (QUIETEST_DBFS / 10)))
    return levels
