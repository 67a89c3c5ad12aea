"""The verifier that a microcontroller runs, as a pack describes it.

It hears the very features that the chip hears: the first `channels` of each frame, kept in a ring
of the last 1.5 s. So the microcontroller has no front end of its own and sleeps until a trigger.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firmware_sim.model import ConvolutionDesign, VerifierDesign
from kws_stream import engine
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.engine.blob import Blob
from kws_stream.engine.stages import Frames
from kws_stream.engine.verifier import blob_of, scores_in_c
from kws_stream.errors import InputError, PackError, ParameterError
from kws_stream.features import FeatureSettings
from kws_stream.packs import Pack
from kws_stream.verifier.cascade import KEPT_S, WAIT_S, Cascade
from kws_stream.verifier.network import (
    SCORE_BITS,
    SCORE_SPAN_BITS,
    TOP,
    Codes,
    VerifierNetwork,
    parse_network,
)

KIND = "mcu"


class FeatureTrack:
    """The last seconds of a stream's features, and the scores at its frames, computed when asked.

    Step k is the k-th frame, from 1; before the stream all features are 0.
    """

    def __init__(self, verifier: "McuVerifier", seconds: float) -> None:
        """seconds: how long ago the end of a step may be when its score is asked for."""
        self._verifier = verifier
        self._kept = verifier.network.frames + round(seconds / verifier.frame_s)
        self.reset()

    def reset(self) -> None:
        """A new stream begins."""
        network = self._verifier.network
        self._codes = np.zeros((network.frames, network.channels), np.uint8)
        self._ends = 0  # number of the frame with which _codes ends
        self._scores: dict[int, list[int]] = {}

    def twin(self) -> "FeatureTrack":
        """Another stream that goes on from where this one is."""
        other = FeatureTrack.__new__(FeatureTrack)
        other.__dict__ |= self.__dict__ | {"_scores": self._scores.copy()}
        return other

    @property
    def step(self) -> int:
        """The last frame that is complete."""
        return self._ends

    def step_at(self, samples: int) -> int:
        """The last step that these first samples of the stream complete."""
        return samples // self._verifier.frame_samples

    def time_s(self, step: int) -> float:
        """When a step ends."""
        return round(step * self._verifier.frame_s, 6)

    def steps_of(self, trigger: WakeEvent) -> list[int]:
        """The steps at which a trigger is judged."""
        frame = round(trigger.time_s / self._verifier.frame_s)
        return [frame + look for look in self._verifier.network.looks]

    def add(self, pcm: NDArray[np.int16], frames: Frames) -> None:
        """The next frames, of which it hears the features."""
        features = frames.features
        if not len(features):
            return
        channels = self._verifier.network.channels
        codes = (features[:, :channels] * self._verifier.codes_per_unit).astype(np.uint8)
        self._codes = np.concatenate([self._codes, codes])
        self._ends += len(codes)
        if len(self._codes) > 2 * self._kept:  # not every time: what stays is moved
            self._codes = self._codes[-self._kept :].copy()
            oldest = self._ends - self._kept
            for step in [step for step in self._scores if step < oldest]:
                del self._scores[step]

    def score(self, step: int, keyword: str) -> float:
        """The network's score of a keyword at the end of a frame, 0 to 1."""
        if step not in self._scores:
            network = self._verifier.network
            end = len(self._codes) + step - self._ends
            if step > self._ends or end < network.frames:
                raise InputError(
                    f"verifier: need a frame that was heard lately, got {step} of {self._ends}"
                )
            self._scores[step] = self._verifier.scores(self._codes[end - network.frames : end])
        row = self._verifier.keywords.index(keyword)
        return self._scores[step][row] / (1 << SCORE_BITS)


@dataclass(frozen=True, eq=False)
class McuVerifier:
    """What all streams of one pack share: the network, and the threshold of its scores.

    keywords: one for each score. frame_samples: of a frame. codes_per_unit: steps of the input grid
    in 1.0.
    """

    network: VerifierNetwork
    threshold: float
    keywords: tuple[str, ...]
    frame_samples: int
    codes_per_unit: float

    __repr__ = brief

    @property
    def frame_s(self) -> float:
        return self.frame_samples / SAMPLE_RATE_HZ

    @property
    def multiplications(self) -> int:
        """Of a decision at most: every look of a trigger."""
        return self.network.multiplications

    def scores(self, window: Codes) -> list[int]:
        """What `network.scores` gives, in C where the engine is.

        Raises InputError for another window than the network's, which C could not tell.
        """
        wanted = (self.network.frames, self.network.channels)
        if window.shape != wanted or window.dtype != np.uint8:
            raise InputError(
                f"verifier: need a window of {wanted[0]} frames of {wanted[1]} features of 8 bits, "
                f"got {window.dtype} of shape {window.shape}"
            )
        if engine.library is None:
            return self.network.scores(window)
        return scores_in_c(self._blob, len(self.keywords), window)

    @cached_property
    def _blob(self) -> Blob:
        return blob_of(self.design)

    def __getstate__(self) -> dict[str, object]:
        """Without the blob: a copy of it would lie where C must not read it."""
        return {name: value for name, value in self.__dict__.items() if name != "_blob"}

    def raised(self, score: float, units: float) -> float:
        """A score whose log odds are so many units higher, no more than 1."""
        return min(score + units / (1 << SCORE_SPAN_BITS), 1.0)

    @property
    def design(self) -> VerifierDesign:
        """As the digital side sees it."""
        layers = [
            ConvolutionDesign(each.weight, each.bias, each.shift, each.stride)
            for each in self.network.layers
        ]
        return VerifierDesign(
            tuple(layers), self.network.frames, self.network.looks, self.threshold, self.keywords
        )

    def track(self, seconds: float = KEPT_S) -> FeatureTrack:
        return FeatureTrack(self, seconds)

    def cascade(self) -> Cascade:
        return Cascade(self.track(), self.threshold)


def load_mcu(pack: Pack) -> McuVerifier:
    """The verifier of a pack that has one of this kind.

    Raises PackError for a broken one, and for one that does not fit the pack.
    """
    assert pack.verifier is not None
    if pack.verifier.network_weight:
        raise PackError(
            f"{pack.name}: need a verifier of the kind host where the network's score counts in "
            f"the verifier's, got one of the kind {KIND}; get an intact copy"
        )
    try:
        features = FeatureSettings.from_dict(pack.features)
        network = parse_network(pack.verifier.head)
        _check(network, features, pack.keywords)
    except ParameterError as error:
        raise PackError(f"{pack.name}: {error}; get an intact copy") from error
    return McuVerifier(
        network,
        pack.verifier.threshold,
        pack.keywords,
        round(features.frame_s * SAMPLE_RATE_HZ),
        1 / features.step,
    )


def _check(network: VerifierNetwork, features: FeatureSettings, keywords: tuple[str, ...]) -> None:
    wanted = (features.channels, len(keywords))
    if (network.channels, network.scores_of) != wanted:
        raise ParameterError(
            f"verifier network: need {wanted[0]} channels and {wanted[1]} keywords, as of the "
            f"model, got {network.channels} and {network.scores_of}"
        )
    if features.high > TOP * features.step:
        raise ParameterError(
            f"verifier network: need features of 8 bits, got up to {features.high / features.step}"
        )
    if network.looks[-1] * features.frame_s > WAIT_S + 1e-9:
        raise ParameterError(
            f"verifier network: need looks within {WAIT_S} s of a trigger, got "
            f"{network.looks[-1]} frames"
        )
