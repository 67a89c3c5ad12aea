"""How much a stream sounds like the phrase, at every step of its grid, computed when asked."""

import copy
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.engine.stages import NO_FRAMES, Frames
from kws_stream.errors import InputError
from kws_stream.verifier.embedding import CONTEXT, FRAMES, STEP, WINDOW, SpeechEmbedding
from kws_stream.verifier.head import STEPS, Head, probability

Floats = NDArray[np.float32]
Pcm = NDArray[np.int16]
WAIT = SAMPLE_RATE_HZ // 2  # samples after a trigger in which it is judged

PEAK = WAIT + STEP  # samples before the end of a step in which the network's highest score counts
LEAST_SCORE = 1e-4  # of the network, and its distance from 1: its log odds stay within 9.2

REACH = STEPS + -(-WINDOW // FRAMES) - 1  # steps that a score looks back on: 25, or 2 s


def steps_of(trigger: WakeEvent) -> range:
    """The steps at which a trigger is judged: those from it to 0.5 s after it."""
    sample = round(trigger.time_s * SAMPLE_RATE_HZ)
    return range(-(-sample // STEP), (sample + WAIT) // STEP + 1)


@dataclass(frozen=True)
class Opinion:
    """What the network's own score of a keyword counts in that of a step.

    weight: of its log odds beside the head's. classes: names of its scores. frame_samples: of a
    frame.
    """

    weight: float
    classes: tuple[str, ...]
    frame_samples: int

    __repr__ = brief


class SoundTrack:
    """The last seconds of a stream and the scores at its steps.

    Step k ends with sample 1280 k of the stream, before which there was silence. What a score is
    depends on the stream and k alone, never on how the stream was split or what was asked before:
    spectra, embeddings and head are each computed in calls of one shape.
    """

    def __init__(
        self,
        embedding: SpeechEmbedding,
        head: Head,
        seconds: float,
        opinion: Opinion | None = None,
    ) -> None:
        """seconds: how long ago the end of a step may be when its score is asked for."""
        self._embedding, self._head, self._opinion = embedding, head, opinion
        self._steps = round(seconds * SAMPLE_RATE_HZ / STEP) + REACH + 1
        self.reset()

    def reset(self) -> None:
        """A new stream begins."""
        self._pcm = np.zeros(0, np.int16)
        self._first = 0  # number of the sample with which _pcm begins
        self._spectra: dict[int, Floats] = {}
        self._embeddings: dict[int, Floats] = {}
        self._logits: dict[int, float] = {}  # of the head
        self._network = np.zeros((0, 0))  # its smoothed scores, frame by frame
        self._frames = 0  # number of the frame with which _network ends

    def twin(self) -> "SoundTrack":
        """Another stream that goes on from where this one is; what is computed stays so."""
        other = copy.copy(self)
        other._spectra, other._embeddings = self._spectra.copy(), self._embeddings.copy()
        other._logits = self._logits.copy()
        return other

    @property
    def step(self) -> int:
        """The last step that is complete."""
        return (self._first + len(self._pcm)) // STEP

    def step_at(self, samples: int) -> int:
        """The last step that these first samples of the stream complete."""
        return samples // STEP

    def time_s(self, step: int) -> float:
        """When a step ends."""
        return round(step * STEP / SAMPLE_RATE_HZ, 6)

    def steps_of(self, trigger: WakeEvent) -> range:
        """The steps at which a trigger is judged."""
        return steps_of(trigger)

    def add(self, pcm: Pcm, frames: Frames = NO_FRAMES) -> None:
        """The next samples, int16 (n,), of which it makes spectra of its own; and of the frames
        that they complete the scores, where the network's count."""
        self._pcm = np.concatenate([self._pcm, pcm])
        if self._opinion is not None and len(frames.smoothed):
            before = [self._network] if self._frames else []
            self._network = np.concatenate([*before, frames.smoothed])
            self._frames += len(frames.smoothed)
            kept = (self._steps * STEP + PEAK) // self._opinion.frame_samples + 1
            if len(self._network) > 2 * kept:  # not every time: what stays is moved
                self._network = self._network[-kept:].copy()
        oldest = self.step - self._steps
        surplus = oldest * STEP - CONTEXT - self._first
        if surplus > self._steps * STEP:  # not every time: what stays is moved
            self._pcm = self._pcm[surplus:].copy()
            self._first += surplus
            for known in (self._spectra, self._embeddings, self._logits):
                for step in [step for step in known if step < oldest]:
                    del known[step]

    def score(self, step: int, keyword: str = "") -> float:
        """The score of a keyword at the end of a step, 0 to 1.

        The head's, which knows one phrase alone; or the logistic of its log odds and of those of
        the network's highest score of the keyword in the `PEAK` samples before, times their weight.
        """
        if step not in self._logits:
            heard = np.stack([self._embedded(k) for k in range(step - STEPS + 1, step + 1)])
            self._logits[step] = self._head.logit(heard)
        return probability(self._logits[step] + self._of_network(step, keyword))

    def _of_network(self, step: int, keyword: str) -> float:
        if self._opinion is None:
            return 0.0
        size = self._opinion.frame_samples
        last, first = step * STEP // size, (step * STEP - PEAK) // size  # frames, from 1; after it
        behind = len(self._network) - self._frames
        if last > self._frames or (first > 0 and first + behind < 0):
            raise InputError(
                f"verifier: need a step whose frames were heard lately, got {step} of {self.step}"
            )
        column = self._opinion.classes.index(keyword)
        heard = self._network[max(0, first) + behind : last + behind, column]
        peak = min(max(LEAST_SCORE, float(heard.max(initial=0))), 1 - LEAST_SCORE)
        return self._opinion.weight * math.log(peak / (1 - peak))

    def _embedded(self, step: int) -> Floats:
        if step <= 0:
            return self._embedding.silent
        if step not in self._embeddings:
            count = -(-WINDOW // FRAMES)
            spectra = [self._spectrum(k) for k in range(step - count + 1, step + 1)]
            self._embeddings[step] = self._embedding.embed(np.concatenate(spectra)[-WINDOW:])
        return self._embeddings[step]

    def _spectrum(self, step: int) -> Floats:
        if step <= 0:
            return self._embedding.silence
        if step not in self._spectra:
            end = step * STEP - self._first
            start = end - STEP - CONTEXT
            if end > len(self._pcm) or (start < 0 and self._first):
                raise InputError(
                    f"verifier: need a step that was heard lately, got {step} of {self.step}"
                )
            samples = self._pcm[max(0, start) : end]
            self._spectra[step] = self._embedding.mel(np.pad(samples, (max(0, -start), 0)))
        return self._spectra[step]
