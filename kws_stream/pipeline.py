"""The one place where the stages are wired together: samples in, events out."""

import copy
import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kws_stream import features, packs
from kws_stream.arguments import instance_of, number_within
from kws_stream.audio import AudioSource, FileSource, MicrophoneSource, to_int16
from kws_stream.brief import shown
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import Detector, DetectorSettings, WakeEvent
from kws_stream.engine.compiled import CompiledStages, compiled_stages
from kws_stream.engine.stages import NO_FRAMES, Frames, NumpyStages, Observation
from kws_stream.errors import PackError, ParameterError
from kws_stream.events import EventStream, Listener
from kws_stream.network import Trace
from kws_stream.parameters import BoolArray
from kws_stream.power import PowerEstimate
from kws_stream.power.activity import GROUP_FRAMES
from kws_stream.verifier import HostVerifier, McuVerifier, load_verifier
from kws_stream.verifier.cascade import Cascade, wait_frames

__all__ = ["NO_FRAMES", "Frames", "KeywordSpotter", "Observation", "Source", "blocks_of"]

Array = NDArray[np.float64]

# Longer input is worked through in pieces of this many samples, so that an hour at once needs no
# more memory than a second; where the pieces end changes no bit.
PIECE_SAMPLES = 32_000

NO_SAMPLES = np.zeros(0, np.int16)

# The engine in C keeps the features of the last 128 frames. A verifier that hears them takes them
# where it has to judge, and at the latest when there are so many; a piece has half of them at most.
MOST_UNHEARD = 64

Source = AudioSource | str | Path | Iterable[ArrayLike] | None
"""What can be listened to: a source, the path of a file, blocks of pcm; None: the microphone."""


def blocks_of(source: Source, rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[ArrayLike]:
    """The blocks of pcm of a source, at that rate; it is closed at the end.

    Raises ParameterError for a source that gives another rate, and for what is no source.
    """
    if source is None:
        source = MicrophoneSource(to_hz=rate_hz)
    elif isinstance(source, str | Path):
        source = FileSource(source, to_hz=rate_hz)
    if isinstance(source, AudioSource):
        given_hz = getattr(source, "to_hz", SAMPLE_RATE_HZ)
        if given_hz != rate_hz:
            source.close()
            raise ParameterError(
                f"{source.name}: need samples at {rate_hz} Hz, as the model hears them, got a "
                f"source that gives {given_hz} Hz; make it with to_hz={rate_hz}"
            )
        with source:
            yield from source.blocks()
        return
    samples = isinstance(source, bytes | bytearray) or getattr(source, "ndim", 2) < 2
    if samples or not isinstance(source, Iterable):
        raise ParameterError(
            "source: need an audio source, the path of a file, blocks of pcm, or None for the "
            f"microphone, got {source!r:.80}; samples without a source go to `process`"
        )
    yield from source


def need_spotter(spotter: object) -> None:
    """Raises ParameterError for what is no spotter."""
    instance_of(spotter, KeywordSpotter, "spotter", "a KeywordSpotter")


def need_speech_rate(spotter: "KeywordSpotter", what: str) -> None:
    """Raises ParameterError for what is no spotter, and PackError for one that
    hears another rate than speech's; what: who needs it."""
    need_spotter(spotter)
    if spotter.rate_hz != SAMPLE_RATE_HZ:
        raise PackError(
            f"{what}: need a model that hears {SAMPLE_RATE_HZ} Hz, but {spotter.pack.name} hears "
            f"{spotter.rate_hz} Hz; use detect, which takes files and pipes of any rate"
        )


class KeywordSpotter:
    """A model pack listening to one mono stream at the pack's rate, 16 kHz for speech.

    model: name of a shipped pack, path of a pack, or a loaded `Pack`. threshold: one for all
    keywords, or {keyword: threshold}; default: the pack's. verify: whether the pack's verifier
    confirms or rejects what the network triggers on; default: where the pack has one. `classes`
    names the rows of `scores`; `rate_hz` is the sample rate that `process` needs; `triggers` counts
    what the network triggered on since the reset.

    Raises PackError for a pack that cannot be used, ParameterError for an unknown keyword, a
    threshold outside 0..1 and a verifier that the pack has not, MissingExtraError where what the
    verifier needs is not installed. `copy.copy` gives another stream that goes on from here.
    """

    def __init__(
        self,
        model: str | Path | packs.Pack = "commands-12",
        threshold: float | Mapping[str, float] | None = None,
        verify: bool | None = None,
    ) -> None:
        self.pack = model if isinstance(model, packs.Pack) else packs.load(model)
        self.classes = self.pack.classes
        try:
            self._front_end = features.build(self.pack.features)
            settings = DetectorSettings.from_dict(self.pack.detector)
            self.frame_s = self._front_end.frame_s
            self.rate_hz = self._front_end.settings.rate_hz
            self._frame_samples = self._front_end.settings.frame_samples
            self._detector = Detector(settings, self.classes, self.pack.keywords, self.frame_s)
        except ParameterError as error:
            raise PackError(f"{self.pack.name}: {error}; get an intact copy") from error
        network = self.pack.network
        if self._front_end.n_features != network.parameters.n_features:
            raise PackError(
                f"{self.pack.name}: the network needs {network.parameters.n_features} features, "
                f"its front end gives {self._front_end.n_features}; get an intact copy"
            )
        grid = network.parameters.input_grid
        if grid is None or (grid.step, grid.low, grid.high) != self._front_end.settings.input_grid:
            raise PackError(
                f"{self.pack.name}: the front end's grid is not the network's; get an intact copy"
            )
        if verify is not None and not isinstance(verify, bool | np.bool_):
            raise ParameterError(f"verify: need True, False or None, got {verify!r:.80}")
        if threshold is not None:
            if isinstance(threshold, Mapping):
                self._detector.set_thresholds(threshold)
            else:
                settings = replace(settings, threshold=threshold, thresholds={})
                self._detector = Detector(settings, self.classes, self.pack.keywords, self.frame_s)
        compiled = compiled_stages(self._front_end.settings, network, self._detector)
        self._stages: CompiledStages | NumpyStages = compiled or NumpyStages(
            self._front_end, network, self._detector
        )
        self.verifier = None if verify is not None and not verify else load_verifier(self.pack)
        if verify and self.verifier is None:
            raise ParameterError(
                f"verify: need a model with a verifier, and {self.pack.name} has none; leave it out"
            )
        if self.verifier is not None and self.rate_hz != SAMPLE_RATE_HZ:
            raise PackError(
                f"{self.pack.name}: need a model for {SAMPLE_RATE_HZ} Hz, as its verifier hears "
                f"speech, got one for {self.rate_hz} Hz; use it without its verifier"
            )
        self._cascade = None if self.verifier is None else self.verifier.cascade()
        self._taken = 0  # frames whose features the verifier has, or will never get
        self.triggers = 0

    def __repr__(self) -> str:
        kind = None if self.verifier is None else self.pack.manifest["verifier"]["kind"]
        shown_keywords = shown(" ".join(self.pack.keywords))
        return (
            f"KeywordSpotter({self.pack.name!r}, keywords={shown_keywords}, "
            f"thresholds={shown(self.thresholds)}, verifier={kind!r}, frames={self.frames})"
        )

    def __copy__(self) -> "KeywordSpotter":
        """Another stream that goes on from where this one is; the pack is shared."""
        network = self.pack.network
        shared = (self.pack, network, network.parameters, self.verifier)
        memo: dict[int, Any] = {id(each): each for each in shared}
        if self._cascade is not None:  # a deep copy would load the verifier's graphs again
            memo[id(self._cascade)] = self._cascade.twin()
        other = object.__new__(type(self))
        other.__dict__ |= copy.deepcopy(self.__dict__, memo)
        return other

    def reset(self, *, keep_power: bool = False) -> None:
        """Back to the start: equal to a new object in every bit.

        keep_power: but `power` and `decisions` go on, for one figure over several streams.
        """
        self._stages.reset(keep_power=keep_power)
        if self._cascade is not None:
            self._cascade.reset(keep_counts=keep_power)
        self._taken = 0
        self.triggers = 0

    @property
    def frames(self) -> int:
        """Whole frames heard since the start."""
        return self._stages.frames

    def process(self, pcm: ArrayLike) -> list[WakeEvent]:
        """Events that these samples complete; any length, also none, and any split of a stream.

        With a verifier an event comes up to 0.5 s after its `time_s`, and the call in which the
        network triggers takes some 30 ms more of a processor.

        pcm: (n,) int16, or float32 with full scale 1.0, which is rounded to 16 bits; `rate_hz` of
        them are a second. Raises
        InputError (a ValueError) for other types and shapes, NaN and infinity; the stream is then
        as it was before the call.
        """
        samples = to_int16(pcm)
        if len(samples) <= PIECE_SAMPLES:
            return self._process_piece(samples)
        events: list[WakeEvent] = []
        for at in range(0, len(samples), PIECE_SAMPLES):
            events += self._process_piece(samples[at : at + PIECE_SAMPLES])
        return events

    def _process_piece(self, samples: NDArray[np.int16]) -> list[WakeEvent]:
        if self._cascade is None:
            triggers = self._stages.process(samples)
            if triggers:
                self.triggers += len(triggers)
            return triggers
        if isinstance(self.verifier, HostVerifier) and self.verifier.opinion is None:
            return self._verified(samples, self._stages.process(samples))
        if isinstance(self.verifier, McuVerifier) and isinstance(self._stages, CompiledStages):
            return self._process_lazily(self._stages, self._cascade, samples)
        frames, triggers = self._stages.hear(samples)
        return self._verified(samples, triggers, frames)

    def _process_lazily(
        self, stages: CompiledStages, cascade: Cascade, samples: NDArray[np.int16]
    ) -> list[WakeEvent]:
        """Of a verifier that hears features: nearly always nothing is to be judged."""
        most = MOST_UNHEARD // 2 * self._frame_samples
        if len(samples) > most:
            pieces = (samples[at : at + most] for at in range(0, len(samples), most))
            return [
                event for piece in pieces for event in self._process_lazily(stages, cascade, piece)
            ]
        triggers = stages.process(samples)
        unheard = stages.frames - self._taken
        if triggers or cascade.waiting or unheard > MOST_UNHEARD:
            return self._verified(samples, triggers, self._recent(stages, unheard))
        return []

    @staticmethod
    def _recent(stages: CompiledStages, frames: int) -> Frames:
        return Frames(stages.recent_features(frames), NO_FRAMES.smoothed)

    def _catch_up(self) -> None:
        """The verifier takes the features that it has not taken yet; it has nothing to judge."""
        if self._cascade is None or not isinstance(self.verifier, McuVerifier):
            return
        if isinstance(self._stages, CompiledStages) and self.frames > self._taken:
            self._verified(NO_SAMPLES, [], self._recent(self._stages, self.frames - self._taken))

    def trace(self, pcm: ArrayLike) -> list[Trace]:
        """As `process`, but gives what every wire did, in consecutive pieces, and no events."""
        return [seen.trace for seen in self.observe(pcm)]

    def logits(self, pcm: ArrayLike) -> tuple[Array, PowerEstimate]:
        """As `process`, but gives the logits (t, K) and the power of these frames alone."""
        samples = to_int16(pcm)
        stages = self._stages
        if self._cascade is not None:  # another computes them, as the verifier hears this one
            stages = self._stages.twin()
            self.process(samples)
        logits, estimate, triggers = stages.logits(samples, self.frame_s)
        if self._cascade is None:
            self.triggers += len(triggers)
        return logits, estimate

    def observe(self, pcm: ArrayLike) -> list[Observation]:
        """As `process`, but gives all that can be seen on the way, in consecutive pieces."""
        samples = to_int16(pcm)
        self._catch_up()
        seen = []
        for at in range(0, len(samples), PIECE_SAMPLES):
            piece = samples[at : at + PIECE_SAMPLES]
            observation = self._stages.observe(piece)
            if observation is None:
                events = self._verified(piece, [])
            else:
                frames = Frames(observation.features, observation.smoothed)
                events = self._verified(piece, observation.events, frames)
                observation.events = events
                seen.append(observation)
        return seen

    def _verified(
        self, samples: NDArray[np.int16], triggers: list[WakeEvent], frames: Frames = NO_FRAMES
    ) -> list[WakeEvent]:
        """The events of these samples, of what the network triggered on in them."""
        self.triggers += len(triggers)
        if self._cascade is None:
            return triggers
        self._taken = self.frames
        heard = self._taken * self._frame_samples
        return self._cascade.process(samples, frames, triggers, heard)

    def nothing_seen(self, events: list[WakeEvent]) -> Observation:
        """An observation of no frames, with events that came of `finish`."""
        features, classes = self.pack.network.parameters.n_features, len(self.classes)
        trace = self.pack.network.run(np.zeros((0, features)))
        return Observation(np.zeros((0, features)), trace, np.zeros((0, classes)), events)

    def finish(self) -> list[WakeEvent]:
        """Events of words that end with the stream, which silence after it completes.

        For the end of a file or a pipe. The silence is as long as the detector's window, but 0.5 s
        at least and 2 s at most, after the rest of an unfinished frame; the `time_s` of an event
        may lie so far behind the end. With a verifier, what waits for more sound is judged too.

        A copy hears the silence: the stream, its time, scores and power stay as they were, so a
        second call gives the same events, and the stream may go on. Only `triggers`, `decisions`
        and `verifier_cpu_s` count what every call has done. Less than a frame has no events.
        """
        return self.observe_end().events

    def observe_end(self) -> Observation:
        """As `finish`, but gives all that can be seen in the silence."""
        if not self.frames:
            return self.nothing_seen([])
        stages = self._stages.twin()
        silence = np.zeros(self.finish_samples, np.int16)
        seen = stages.observe(silence)
        assert seen is not None, "the silence is longer than a frame"
        self.triggers += len(seen.events)
        if self._cascade is not None:
            self._catch_up()
            cascade = self._cascade.twin()
            heard = stages.frames * self._frame_samples
            frames = Frames(seen.features, seen.smoothed)
            events = cascade.process(silence, frames, seen.events, heard)
            wait, frames = self._wait(stages)
            heard = stages.frames * self._frame_samples
            seen.events = events + cascade.process(wait, frames, [], heard)
            self._cascade.decisions, self._cascade.cpu_s = cascade.decisions, cascade.cpu_s
        return seen

    def _wait(self, stages: CompiledStages | NumpyStages) -> tuple[NDArray[np.int16], Frames]:
        """The silence in which a verifier still judges, and its frames."""
        wait = np.zeros(wait_frames(self.frame_s) * self._frame_samples, np.int16)
        return wait, stages.hear(wait)[0]

    def silence_behind(self) -> tuple[NDArray[np.int16], Frames]:
        """All the silence that `finish` hears, for detector and verifier, and its frames."""
        stages = self._stages.twin()
        silence = np.zeros(self.finish_samples, np.int16)
        frames, _ = stages.hear(silence)
        wait, later = self._wait(stages)
        both = (np.concatenate(parts) for parts in zip(frames, later, strict=True))
        return np.concatenate([silence, wait]), Frames(*both)

    @property
    def finish_samples(self) -> int:
        """Samples of silence in which `finish` listens for a word that has just ended."""
        return self._frame_samples * self._detector.finish_frames

    def events(self, source: Source | AsyncIterable[ArrayLike] = None) -> EventStream[WakeEvent]:
        """Events of a source as they come, for `for` and for `async for`.

        source: an audio source, the path of a file, blocks of pcm, or None for the microphone;
        with `async for`, which reads and computes in a thread of its own, also an asynchronous
        iterable of blocks, which is computed in the event loop.

        Goes on from the current state; call `reset` first for a stream of its own. The end of the
        source is heard out, see `finish`.
        """
        if isinstance(source, AsyncIterable):
            return EventStream(None, self._heard_later(source))
        return EventStream(self._heard(source))

    def listen(self, callback: Callable[[WakeEvent], object], source: Source = None) -> Listener:
        """Call back with each event, from a thread of its own that this starts.

        source: as of `events`. The listener is a context manager; its `stop` and `wait` raise what
        ended the thread. Until then the spotter belongs to that thread.
        """
        if not callable(callback):
            raise ParameterError(f"callback: need a function of an event, got {callback!r:.80}")
        return Listener(self._heard(source), callback)

    def _heard(self, source: Source) -> Generator[list[WakeEvent], None, None]:
        for pcm in blocks_of(source, self.rate_hz):
            yield self.process(pcm)
        yield self.finish()

    async def _heard_later(
        self, source: AsyncIterable[ArrayLike]
    ) -> AsyncGenerator[list[WakeEvent], None]:
        async for pcm in source:
            yield self.process(pcm)
        yield self.finish()

    @property
    def decisions(self) -> int:
        """Triggers that the verifier judged."""
        return 0 if self._cascade is None else self._cascade.decisions

    @property
    def verifier_cpu_s(self) -> float:
        """Seconds of a processor that these decisions took."""
        return 0.0 if self._cascade is None else self._cascade.cpu_s

    @property
    def scores(self) -> Array:
        """Posteriors (K,) of the last frame, not smoothed; uniform before the first."""
        scores = self._stages.scores
        if scores is None:
            return np.full(len(self.classes), 1 / len(self.classes))
        return np.array(scores)

    @property
    def smoothed_scores(self) -> Array:
        """Scores (K,) that the detector compared last."""
        return np.array(self._stages.smoothed)

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of every keyword."""
        return self._stages.thresholds

    def set_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Other thresholds for some keywords, from the next frame on; errors as of the class."""
        self._stages.set_thresholds(thresholds)

    @property
    def bits(self) -> list[BoolArray]:
        """The state bits (d,) of every block after the last frame."""
        return self._stages.bits

    @property
    def time_s(self) -> float:
        """Seconds of audio heard since the start, up to the last whole frame."""
        return round(self.frames * self.frame_s, 6)

    def power(self) -> PowerEstimate:
        """What the chip would have spent on the run so far: as `kws_stream.power.estimate`."""
        return self._stages.power(self.frame_s)

    def recent_power(self, seconds: float = 1.0) -> PowerEstimate:
        """As `power`, for about the last seconds; what it remembers is 128 frames."""
        seconds = number_within(seconds, "seconds", 0, math.inf)
        frames = round(min(max(1.0, seconds / self.frame_s), GROUP_FRAMES))
        return self._stages.recent_power(frames, self.frame_s)
