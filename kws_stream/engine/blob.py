"""A model as one blob of numbers, as the engine in C reads it (c/kws_engine.c, `lay_out`), and a
verifier as another (c/kws_cascade.c).

Sections of numbers in the byte order of the machine, each filled up with zeros to 64 bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_sim.export_verifier import constants
from firmware_sim.integers import INT32, IntegerLayer, IntegerNetwork
from firmware_sim.model import VerifierDesign
from kws_stream.errors import ParameterError
from kws_stream.features.fixed_point import BLOCK, FixedBank, FixedConditioning

MAGIC = 0x3353574B
HEAD = 32
VERIFIER_MAGIC = 0x3156574B
VERIFIER_HEAD = 16
MOST_WINDOW = 2**15 - 1  # frames, of the detector's counters
ALIGNMENT = 64  # of blobs and of the memory that the engine works in
ROW = 32  # rows of weights are as long as a multiple of this

Blob = NDArray[np.uint8]

_BAND = np.dtype(
    [
        ("taps", np.int16, BLOCK),
        ("odd", np.int16, BLOCK),
        ("even", np.int16, BLOCK),
        ("turn", np.int16, 2 * BLOCK),
        ("into", np.int16, (2, BLOCK)),
        ("pole", np.int32, 2),
        ("first", np.int16, 2),
        ("tap_shift", np.uint8),
        ("into_shift", np.uint8),
    ],
    align=True,
)


class DetectorFrames(NamedTuple):
    """The detector's settings in frames; thresholds are set in a running engine."""

    classes: int
    window: int
    warmup: int
    refractory: int


def band_table(bank: FixedBank) -> NDArray[np.void]:
    """The struct kws_band of every channel."""
    table = np.zeros(bank.channels, _BAND)
    taps = bank.taps
    table["taps"] = taps
    pairs = np.arange(BLOCK) ^ 1
    table["odd"] = taps[:, pairs]
    table["even"][:, 0] = taps[:, 0]
    table["even"][:, 2:] = taps[:, 1 + pairs[: BLOCK - 2]]
    turn = np.moveaxis(bank.turn, 0, 2)
    table["turn"] = np.concatenate([turn[:, ::2], turn[:, 1::2]], axis=1).reshape(len(taps), -1)
    table["into"] = np.moveaxis(bank.into, 0, 1)
    table["pole"] = bank.pole.T << 9
    table["first"] = np.stack([bank.before, taps[:, 0]], axis=1)
    table["tap_shift"] = bank.tap_shift
    table["into_shift"] = bank.into_shift
    return table


def room(size: int) -> Blob:
    """Zeros from an aligned address on."""
    whole = np.zeros(size + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + size]


def aligned(numbers: bytes | Blob) -> Blob:
    """A copy that nobody changes."""
    copy = room(len(numbers))
    copy[:] = np.frombuffer(numbers, np.uint8)
    copy.flags.writeable = False
    return copy


class _Writer:
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def add(self, values: object, dtype: object) -> None:
        data = np.ascontiguousarray(values, dtype=dtype).tobytes()  # type: ignore[call-overload]
        self.parts.append(data + bytes(-len(data) % 64))

    def blob(self) -> bytes:
        """All of it, with its size as the second number."""
        blob = bytearray(b"".join(self.parts))
        blob[8:16] = np.int64(len(blob)).tobytes()
        return bytes(blob)


def _limbs(layer: IntegerLayer, largest: int) -> int:
    """15-bit parts of an input with which all sums over 8-bit weights fit 32 bits; 0 if none."""
    if np.abs(layer.weight).max(initial=0) > 127:
        return 0
    weights = int(np.abs(layer.weight).sum(axis=0).max(initial=0))
    if weights * largest <= INT32:
        return 1
    if weights * 2**15 <= INT32 and weights * (largest >> 15) + weights <= INT32:
        return 2
    return 0


def _rows(to: _Writer, layer: IntegerLayer, largest: int) -> None:
    n_in, n_out = layer.weight.shape
    stride, limbs = -(-n_out // ROW) * ROW, _limbs(layer, largest)
    to.add([n_in, n_out, stride, layer.gain.bit_length() - 1, limbs, 0, 0, 0], np.int64)
    weight = np.zeros((n_in, stride), np.int8 if limbs else np.int32)
    weight[:, :n_out] = layer.weight
    to.add(weight, weight.dtype)
    to.add(layer.bias, np.int64)


def check_room(network: IntegerNetwork, window: int) -> None:
    """Raises ParameterError for a model that the engine has no room for; window: frames.

    Sums of candidates over a run, for power, are kept in 64 bits: a run at the bound of 2^34 may
    last 62 days of 10 ms frames.
    """
    candidates = max((max(block.candidate.bounds) for block in network.blocks), default=0)
    if network.largest_wire > INT32 or candidates >= 2**34 or network.largest_sum >= 2**62:
        raise ParameterError(
            "engine: need wires of 32 bits, candidates of 34 and sums of 62, got "
            f"{network.largest_wire.bit_length() + 1}, {candidates.bit_length()} and "
            f"{network.largest_sum.bit_length()}; use weights and currents of fewer bits"
        )
    if window > MOST_WINDOW or max(network.classifier.bounds) * 2 * window >= 2**62:
        raise ParameterError(
            f"detector window: need sums of 62 bits over at most {MOST_WINDOW} frames, got "
            f"{window} frames of logits up to {max(network.classifier.bounds)}; use a shorter "
            "window_s"
        )


def model_blob(
    bank: FixedBank,
    conditioning: FixedConditioning,
    network: IntegerNetwork,
    detector: DetectorFrames,
) -> bytes:
    """The blob of a model that passes `check_room`."""
    n_features, width = network.pre.weight.shape
    cells = [len(block.alpha) for block in network.blocks]
    classes = detector.classes
    widest = -(-max(n_features, width, classes, *cells, 1) // ROW) * ROW
    head = [
        *(MAGIC, 0, n_features, width, len(cells), sum(cells), classes, bank.channels),
        *(len(conditioning.slow_gains), bank.frame_samples, widest, network.logit_fraction),
        *(int(bank.half_wave), bank.lowpass_gain, conditioning.agc_gain),
        *(conditioning.start_root, conditioning.root_offset, conditioning.step_shift),
        *(conditioning.feature_max, conditioning.floor, conditioning.offset),
        *(detector.window, detector.warmup, detector.refractory),
        *(0, 0, _BAND.itemsize),
    ]
    to = _Writer()
    to.add(head + [0] * (HEAD - len(head)), np.int64)
    to.add(band_table(bank), _BAND)
    to.add(bank.weights, np.uint32)
    to.add(conditioning.slow_gains, np.int32)
    largest = network.largest_wire
    _rows(to, network.pre, conditioning.feature_max)
    for block in network.blocks:
        _rows(to, block.candidate, largest)
        _rows(to, block.post, int(block.alpha.max(initial=0)))
        to.add(block.beta1, np.int64)
        to.add(block.beta2, np.int64)
        to.add(block.alpha, np.int32)
        to.add(block.initial, np.uint8)
    _rows(to, network.classifier, largest)
    return to.blob()


def verifier_blob(verifier: VerifierDesign, classes: Sequence[str], n_features: int) -> bytes:
    """The blob of a verifier of a model with these classes and features a frame."""
    sizes = constants(verifier)
    names = ("LAYERS", "FRAMES", "KEYWORDS", "LOOKS", "WAIT", "WIDEST", "ROOM", "THRESHOLD")
    layers, frames, *others = [sizes[f"VERIFIER_{name}"] for name in names]
    channels = verifier.layers[0].weight.shape[1]
    head = [VERIFIER_MAGIC, 0, layers, frames, channels, *others, n_features, len(classes)]
    to = _Writer()
    to.add(head + [0] * (VERIFIER_HEAD - len(head)), np.int64)
    to.add(verifier.looks, np.uint16)
    keywords = verifier.keywords
    to.add([keywords.index(name) if name in keywords else 0 for name in classes], np.uint8)
    for layer in verifier.layers:
        shape = layer.weight.shape
        to.add([shape[0], layer.stride, shape[1], shape[-1], len(shape) == 2], np.int64)
        to.add(layer.weight, np.int8)
        to.add(layer.bias, np.int32)
        to.add(layer.shift, np.uint8)
    return to.blob()
