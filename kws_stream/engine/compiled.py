"""All stages of a stream in C, one call a block (c/kws_engine.h): the bits of `NumpyStages`."""

import copy
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from firmware_sim.integers import IntegerNetwork, integer_network
from kws_stream import engine
from kws_stream.detector import LOGIT_BITS, SCORE_BITS, Detector, WakeEvent, score_codes
from kws_stream.engine.blob import (
    ALIGNMENT,
    Blob,
    DetectorFrames,
    aligned,
    check_room,
    model_blob,
    room,
)
from kws_stream.engine.stages import Frames, Observation
from kws_stream.errors import ParameterError
from kws_stream.features import FeatureSettings, fixed_front_end
from kws_stream.network import Network
from kws_stream.parameters import BoolArray, NetworkParameters
from kws_stream.power import Activity, PowerEstimate, estimate

Array = NDArray[np.float64]

MOST_EVENTS = 16  # that one call gives; the next call goes on behind them

_networks: WeakKeyDictionary[NetworkParameters, IntegerNetwork | None] = WeakKeyDictionary()
# what streams of one model share: many clients of a server then fit a processor's cache
_blobs: WeakKeyDictionary[NetworkParameters, dict[tuple[FeatureSettings, DetectorFrames], Blob]]
_blobs = WeakKeyDictionary()


def _integers(network: Network) -> IntegerNetwork | None:
    """The network in integers, or None if it has no proof or none fit; made once a network."""
    parameters = network.parameters
    if parameters not in _networks:
        try:
            found = integer_network(parameters) if network.exactness.exact else None
        except ParameterError:
            found = None
        _networks[parameters] = found
    return _networks[parameters]


def compiled_stages(
    settings: FeatureSettings, network: Network, detector: Detector
) -> "CompiledStages | None":
    """The stages in C; None where there is no engine in C or it has no room for the model.

    A mel front end, a network without a proof and what `check_room` refuses run in NumPy.
    """
    if engine.library is None or settings.kind != "analog":
        return None
    integers = _integers(network)
    window, warmup, refractory = detector.frames_of_settings
    if integers is None:
        return None
    try:
        check_room(integers, window)
    except ParameterError:
        return None
    frames = DetectorFrames(network.parameters.n_classes, window, warmup, refractory)
    of_network = _blobs.setdefault(network.parameters, {})
    blob = of_network.get((settings, frames))
    if blob is None:
        made = model_blob(*fixed_front_end(settings), integers, frames)
        blob = of_network[settings, frames] = aligned(made)
    if not engine.library.lib.kws_engine_bytes(engine.library.ffi.from_buffer(blob), len(blob)):
        return None  # an extension of another version, left over from an earlier installation
    return CompiledStages(blob, settings, network, detector)


class CompiledStages:
    """Front end, network, detector and power of one stream, in a piece of memory of the engine's.

    detector: holds settings and thresholds, and makes events; it hears nothing.
    """

    kind = "c"

    def __init__(
        self, blob: Blob, settings: FeatureSettings, network: Network, detector: Detector
    ) -> None:
        self._settings = settings
        self._network = network
        self._detector = detector
        cells = [block.cells for block in network.parameters.blocks]
        self._cells: list[int] = [0, *accumulate(cells)]  # where each block's begin
        self._blob = blob
        self._begin(None)
        self.set_thresholds({})
        self.reset()

    def _begin(self, image: NDArray[np.uint8] | None) -> None:
        """Makes the engine, or goes on with the copy of another's memory."""
        if engine.library is None:
            raise ParameterError(
                "spotter: need the engine in C to go on with a copy from it, got the one in NumPy; "
                "use one kind in both processes (KWS_STREAM_ENGINE)"
            )
        ffi, lib = engine.library.ffi, engine.library.lib
        self._ffi, self._lib = ffi, lib
        blob = ffi.cast("void *", self._blob.ctypes.data)
        size = lib.kws_engine_bytes(blob, len(self._blob))
        if not size or (image is not None and len(image) != size):
            raise ParameterError(
                "spotter: need a copy from an engine of this version and system, got another's; "
                "make a new spotter"
            )
        self._memory = room(size)
        self._at = ffi.cast("void *", self._memory.ctypes.data)
        if image is None:
            lib.kws_engine_init(self._at, blob)
        else:
            self._memory[:] = image
            lib.kws_engine_adopt(self._at, blob)
        self._events = ffi.new("kws_engine_event[]", MOST_EVENTS)
        self._counts = ffi.new("size_t[2]")
        self._frames_out, self._events_out = self._counts, self._counts + 1
        self._process, self._hear = lib.kws_engine_process, lib.kws_engine_hear
        self._from_buffer, self._pcm = ffi.from_buffer, ffi.typeof("int16_t[]")

    def __getstate__(self) -> dict[str, Any]:
        """For a copy, also in another process: the engine's memory, without its addresses."""
        foreign = ("_ffi", "_lib", "_at", "_events", "_counts", "_frames_out", "_events_out")
        left_out = {*foreign, "_process", "_hear", "_from_buffer", "_pcm"}
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        if self._blob.ctypes.data % ALIGNMENT or self._blob.flags.writeable:
            self._blob = aligned(self._blob)  # from another process
        self._begin(self._memory)

    def twin(self) -> "CompiledStages":
        """Another stream that goes on from where this one is."""
        return copy.copy(self)

    def reset(self, *, keep_power: bool = False) -> None:
        self._lib.kws_engine_reset(self._at, keep_power)

    @property
    def frames(self) -> int:
        """Whole frames heard since the reset."""
        return int(self._lib.kws_engine_frames(self._at))

    def process(self, codes: NDArray[np.int16]) -> list[WakeEvent]:
        """Events of the next 16-bit samples (n,)."""
        left = len(codes)
        samples = self._samples(codes)
        found = self._hear(self._at, samples, left, self._events, MOST_EVENTS, self._counts)
        if not found:  # nearly always
            return []
        events, at = self._found(found), self._counts[0]
        while at < left:
            rest = (samples + at, left - at)
            found = self._hear(self._at, *rest, self._events, MOST_EVENTS, self._counts)
            events += self._found(found)
            at += self._counts[0]
        return events

    def _most_frames(self, codes: NDArray[np.int16]) -> int:
        """That these samples can complete."""
        return len(codes) // self._settings.frame_samples + 1

    def _samples(self, codes: NDArray[np.int16]) -> Any:
        if not codes.flags.c_contiguous:
            codes = np.ascontiguousarray(codes)
        return self._from_buffer(self._pcm, codes)  # and keeps it alive

    def _found(self, count: int) -> list[WakeEvent]:
        """The events that the last call has left."""
        return [
            self._detector.event(
                found.keyword, found.frame, found.low, found.score * 2.0**-SCORE_BITS, found.index
            )
            for found in (self._events[i] for i in range(count))
        ]

    def _listen(self, codes: NDArray[np.int16], rows: Any, most: int) -> list[WakeEvent]:
        """As `process`, and fills the rows."""
        left = len(codes)
        samples = self._samples(codes)
        events: list[WakeEvent] = []
        counts, at = self._counts, 0
        while at < left:
            at += self._process(
                *(self._at, samples + at, left - at, rows, most, self._frames_out),
                *(self._events, MOST_EVENTS, self._events_out),
            )
            events += self._found(counts[1])
            self._advance(rows, counts[0])
        return events

    def _advance(self, rows: Any, frames: int) -> None:
        """The rows behind those that a call has filled."""
        parameters = self._network.parameters
        sizes = {
            "features": parameters.n_features,
            "logits": parameters.n_classes,
            "scores": parameters.n_classes,
            "bits": self._cells[-1],
        }
        for name, size in sizes.items():
            if getattr(rows, name) != self._ffi.NULL:
                setattr(rows, name, getattr(rows, name) + frames * size)

    def hear(self, codes: NDArray[np.int16]) -> tuple[Frames, list[WakeEvent]]:
        """As `process`, with features and smoothed scores of the frames that are complete."""
        parameters = self._network.parameters
        heard = self.frames
        most = self._most_frames(codes)
        features = np.empty((most, parameters.n_features), np.int32)
        scores = np.empty((most, parameters.n_classes), np.uint32)
        rows = self._ffi.new("kws_engine_rows *")
        rows.features = self._ffi.cast("int32_t *", features.ctypes.data)
        rows.scores = self._ffi.cast("uint32_t *", scores.ctypes.data)
        events = self._listen(codes, rows, most)
        count = self.frames - heard
        return Frames(
            np.multiply(features[:count], self._settings.step, dtype=np.float64),
            np.multiply(scores[:count], 2.0**-SCORE_BITS, dtype=np.float64),
        ), events

    def observe(self, codes: NDArray[np.int16]) -> Observation | None:
        """As `process`, but all there is to see; None if no frame is complete.

        The wires come from the network in NumPy, on the engine's features: the same bits.
        """
        parameters = self._network.parameters
        heard = self.frames
        most = self._most_frames(codes)
        features = np.empty((most, parameters.n_features), np.int32)
        scores = np.empty((most, parameters.n_classes), np.uint32)
        rows = self._ffi.new("kws_engine_rows *")
        rows.features = self._ffi.cast("int32_t *", features.ctypes.data)
        rows.scores = self._ffi.cast("uint32_t *", scores.ctypes.data)
        bits = np.empty((most, self._cells[-1]), np.uint8)
        rows.bits = self._ffi.cast("uint8_t *", bits.ctypes.data)
        events = self._listen(codes, rows, most)
        count = self.frames - heard
        if not count:
            return None
        frames: Array = np.multiply(features[:count], self._settings.step, dtype=np.float64)
        trace = self._network.trace_of(frames, self._split(bits[:count]))
        smoothed: Array = np.multiply(scores[:count], 2.0**-SCORE_BITS, dtype=np.float64)
        return Observation(frames, trace, smoothed, events)

    @property
    def scores(self) -> list[float] | None:
        """Posteriors (K,) of the last frame, not smoothed; None before the first."""
        if not self.frames:
            return None
        logits = np.empty(self._network.parameters.n_classes, np.int64)
        self._lib.kws_engine_last(self._at, self._pointer(logits), self._ffi.NULL, self._ffi.NULL)
        exponent = self._integers().classifier.exponent + LOGIT_BITS
        codes = [c << exponent if exponent >= 0 else c >> -exponent for c in logits.tolist()]
        return [code * 2.0**-SCORE_BITS for code in score_codes(codes, 1)]

    @property
    def smoothed(self) -> list[float]:
        if not self.frames:
            return self._detector.smoothed
        scores = np.empty(self._network.parameters.n_classes, np.uint32)
        pointer = self._ffi.cast("uint32_t *", scores.ctypes.data)
        self._lib.kws_engine_last(self._at, self._ffi.NULL, pointer, self._ffi.NULL)
        smoothed: list[float] = (scores * 2.0**-SCORE_BITS).tolist()
        return smoothed

    @property
    def thresholds(self) -> dict[str, float]:
        return self._detector.thresholds

    def set_thresholds(self, thresholds: Mapping[str, float]) -> None:
        self._detector.set_thresholds(thresholds)
        for index, threshold, rearm in self._detector.level_codes:
            self._lib.kws_engine_threshold(self._at, index, threshold, rearm)

    @property
    def bits(self) -> list[BoolArray]:
        bits = np.empty(self._cells[-1], np.uint8)
        pointer = self._ffi.cast("uint8_t *", bits.ctypes.data)
        self._lib.kws_engine_last(self._at, self._ffi.NULL, self._ffi.NULL, pointer)
        return self._split(bits)

    def logits(
        self, codes: NDArray[np.int16], frame_s: float
    ) -> tuple[Array, PowerEstimate, list[WakeEvent]]:
        """As `process`, with the logits (t, K) of the frames and what the chip spends on them."""
        parameters = self._network.parameters
        before, heard = self._sums(), self.frames
        most = self._most_frames(codes)
        logits = np.empty((most, parameters.n_classes), np.int64)
        rows = self._ffi.new("kws_engine_rows *")
        rows.logits = self._pointer(logits)
        events = self._listen(codes, rows, most)
        sums = [after - earlier for after, earlier in zip(self._sums(), before, strict=True)]
        exponent = self._integers().classifier.exponent
        rows_out = np.ldexp(logits[: self.frames - heard].astype(np.float64), exponent)
        return rows_out, self._power(sums, self.frames - heard, frame_s), events

    def power(self, frame_s: float) -> PowerEstimate:
        return self._power(self._sums(), self._heard_for_power(), frame_s)

    def _sums(self) -> list[NDArray[np.int64]]:
        """The sums for power: inputs, candidates, frames on, the classifier's two rails."""
        blocks, width = self._network.parameters.blocks, self._network.parameters.width
        cells = self._cells[-1]
        sizes = (len(blocks) * width, cells, cells, width, width)
        sums = [np.zeros(n, np.int64) for n in sizes]
        self._lib.kws_engine_power(self._at, *map(self._pointer, sums))
        return sums

    def _heard_for_power(self) -> int:
        return int(self._lib.kws_engine_power(self._at, *[self._ffi.NULL] * 5))

    def _power(self, sums: list[NDArray[np.int64]], frames: int, frame_s: float) -> PowerEstimate:
        parameters, integers = self._network.parameters, self._integers()
        blocks = parameters.blocks
        activity = Activity(parameters)
        if not blocks:
            return activity.estimate_sums(np.zeros(0), frames, frame_s=frame_s)
        wire = integers.pre.exponent
        exponents = np.repeat(
            [b.candidate.exponent for b in integers.blocks], [b.cells for b in blocks]
        )
        alpha = np.concatenate([b.alpha for b in blocks])
        inputs, candidates, on, above, below = (values.astype(np.float64) for values in sums)
        currents = [
            *(np.ldexp(inputs, wire), np.ldexp(candidates, exponents), on * alpha),
            *(np.ldexp(above, wire), np.ldexp(below, wire)),
        ]
        return activity.estimate_sums(np.concatenate(currents), frames, frame_s=frame_s)

    def recent_power(self, frames: int, frame_s: float) -> PowerEstimate:
        features, bits = self._recent(frames)
        trace = self._network.trace_of(features, self._split(bits))
        return estimate(self._network, trace, frame_s=frame_s)

    def recent_features(self, frames: int) -> Array:
        """The features (frames, n) of the last of them, 128 at most."""
        return self._recent(frames)[0]

    def _recent(self, frames: int) -> tuple[Array, NDArray[np.uint8]]:
        """Features and bits of the last frames."""
        features = np.empty((128, self._network.parameters.n_features), np.int32)
        bits = np.empty((128, self._cells[-1]), np.uint8)
        count = self._lib.kws_engine_recent(
            self._at,
            self._ffi.cast("int32_t *", features.ctypes.data),
            self._ffi.cast("uint8_t *", bits.ctypes.data),
        )
        last = slice(max(0, count - frames), count)
        return np.multiply(features[last], self._settings.step, dtype=np.float64), bits[last]

    def _integers(self) -> IntegerNetwork:
        integers = _integers(self._network)
        assert integers is not None
        return integers

    def _pointer(self, values: NDArray[np.int64]) -> Any:
        return self._ffi.cast("int64_t *", values.ctypes.data)

    def _split(self, bits: NDArray[np.uint8]) -> list[BoolArray]:
        """Bits (..., cells) of all cells as one array a block."""
        return [bits[..., a:b].astype(bool) for a, b in pairwise(self._cells)]
