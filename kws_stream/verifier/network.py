"""A small convolutional network in integers: the last 1.5 s of the chip's features in, scores out.

Every layer is a convolution over time, without padding, that takes `stride` frames at a step:

    a_t[j] = bias[j] + sum over tap u and input i of weight[u, i, j] · x_{stride · t + u}[i]
    y_t[j] = min(max(((a_t[j] + half[j]) >> shift[j]), 0), 255),   half = (1 << shift) >> 1

or, where it is depthwise, weight[u, j] and x[j] alone (depthwise separable convolutions over time:
Zhang et al., arXiv:1711.07128; Choi et al., arXiv:1904.03814). The inputs are 8-bit features, the
weights 8-bit numbers with a sign, the shift a right shift that rounds down. The last layer spans
all frames that are left and gives one score a keyword, in units of 2^-16:

    score[k] = min(max((1 << 15) + ((a[k] + half[k]) >> shift[k]), 0), 1 << 16)

No a_t[j] leaves 32 bits, whatever the features: the sum of |bias|, half and 255 · |weight| is
checked when a network is made. So the order of the sums is of no moment, and the same in C
(firmware_sim/c/kws_verifier.c) gives the same scores.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.verifier.arrays import archive_arrays, archive_bytes

TOP = 255  # of features and of what layers give each other
SCORE_BITS = 16
SCORE_SPAN_BITS = 4  # a score rises by 2^-4 a unit of the log odds
MOST_MULTIPLICATIONS = 3_000_000  # of a decision
MOST_LAYERS = 32
MOST_FRAMES = 1000
MOST_SHIFT = 30
MOST_KEYWORDS = 256  # which score is a class's is a byte in C
_PARTS = ("weight", "bias", "shift", "stride")
_WHAT = "verifier network"

Codes = NDArray[np.uint8]


def _need(ok: bool, need: str, got: object) -> None:
    if not ok:
        raise ParameterError(f"{_WHAT}: need {need}, got {got!s:.100}")


@dataclass(frozen=True, eq=False)
class Convolution:
    """weight: int8 (taps, n_in, n_out), or (taps, n) of a depthwise one; bias int32 (n_out,), shift
    uint8 (n_out,). Raises ParameterError for other arrays and where a sum could leave 32 bits.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: NDArray[np.uint8]
    stride: int

    __repr__ = brief

    def __post_init__(self) -> None:
        weight, bias, shift = self.weight, self.bias, self.shift
        fine = weight.dtype == np.int8 and weight.ndim in (2, 3)
        fine = fine and all(0 < size <= MOST_FRAMES for size in weight.shape)
        need = f"int8 weights of 2 or 3 axes of 1 to {MOST_FRAMES}"
        _need(fine, need, f"{weight.dtype} of {weight.shape}")
        for name, array, dtype in (("bias", bias, np.int32), ("shift", shift, np.uint8)):
            fine = array.dtype == dtype and array.shape == weight.shape[-1:]
            need = f"{np.dtype(dtype)} {name} of shape {weight.shape[-1:]}"
            _need(fine, need, f"{array.dtype} of {array.shape}")
        _need(int(shift.max()) <= MOST_SHIFT, f"shifts of {MOST_SHIFT} at most", shift.max())
        _need(1 <= self.stride <= MOST_FRAMES, f"a stride of 1 to {MOST_FRAMES}", self.stride)
        _need(
            int(self.largest.max()) < 2**31,
            "sums of 32 bits",
            f"up to {int(self.largest.max())}; use smaller weights or fewer inputs",
        )

    @property
    def depthwise(self) -> bool:
        return self.weight.ndim == 2

    @property
    def taps(self) -> int:
        return len(self.weight)

    @property
    def n_in(self) -> int:
        return int(self.weight.shape[1])

    @property
    def n_out(self) -> int:
        return int(self.weight.shape[-1])

    @property
    def half(self) -> NDArray[np.int64]:
        """What is added before a shift, so that it rounds to nearest."""
        half: NDArray[np.int64] = (np.int64(1) << self.shift.astype(np.int64)) >> 1
        return half

    @property
    def largest(self) -> NDArray[np.int64]:
        """What the magnitude of any sum, also of a part of it, is at most, (n_out,)."""
        axes = tuple(range(self.weight.ndim - 1))
        sizes = np.abs(self.weight.astype(np.int64)).sum(axis=axes)
        largest: NDArray[np.int64] = TOP * sizes + np.abs(self.bias.astype(np.int64)) + self.half
        return largest

    def frames(self, before: int) -> int:
        """Frames that it makes of so many; 0 or less where there are too few."""
        return (before - self.taps) // self.stride + 1

    def sums(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """(a + half) >> shift, (t, n_out), of frames (n, n_in); exact in float64."""
        count = self.frames(len(x))
        total = np.zeros((count, self.n_out))
        for tap, weight in enumerate(self._weights):
            part = x[tap : tap + (count - 1) * self.stride + 1 : self.stride]
            total += part * weight if self.depthwise else part @ weight
        sums = total.astype(np.int64) + (self.bias + self.half)
        shifted: NDArray[np.int64] = np.right_shift(sums, self.shift.astype(np.int64))
        return shifted

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        return self.weight.astype(np.float64)


@dataclass(frozen=True, eq=False)
class VerifierNetwork:
    """Layers, the frames of a window, and the looks: how many frames after a trigger it is judged.

    Raises ParameterError for layers that do not fit each other, and for a decision of more than
    3 million multiplications.
    """

    layers: tuple[Convolution, ...]
    frames: int
    looks: tuple[int, ...]

    __repr__ = brief

    def __post_init__(self) -> None:
        _need(0 < len(self.layers) <= MOST_LAYERS, f"1 to {MOST_LAYERS} layers", len(self.layers))
        _need(0 < self.frames <= MOST_FRAMES, f"1 to {MOST_FRAMES} frames", self.frames)
        looks = self.looks
        rising = all(a < b for a, b in pairwise(looks))
        _need(bool(looks) and looks[0] >= 0 and rising, "looks in rising order from 0 on", looks)
        before, width = self.frames, self.channels
        for layer in self.layers:
            _need(layer.n_in == width, f"a layer of {width} inputs", layer.n_in)
            before, width = layer.frames(before), layer.n_out
            _need(before >= 1, "layers of as many taps as there are frames", layer.taps)
        last = self.layers[-1]
        _need(before == 1 and not last.depthwise, "one frame of scores in the end", before)
        need = f"scores of {MOST_KEYWORDS} keywords at most"
        _need(self.scores_of <= MOST_KEYWORDS, need, self.scores_of)
        _need(
            self.multiplications <= MOST_MULTIPLICATIONS,
            f"at most {MOST_MULTIPLICATIONS} multiplications a decision",
            self.multiplications,
        )

    @property
    def channels(self) -> int:
        return self.layers[0].n_in

    @property
    def scores_of(self) -> int:
        """How many keywords it scores."""
        return self.layers[-1].n_out

    @property
    def multiplications(self) -> int:
        """Of a decision at most: every look."""
        before, total = self.frames, 0
        for layer in self.layers:
            before = layer.frames(before)
            total += before * layer.weight.size
        return len(self.looks) * total

    def scores(self, window: Codes) -> list[int]:
        """One score a keyword, in units of 2^-16, of a window (frames, channels)."""
        x = window.astype(np.float64)
        for layer in self.layers[:-1]:
            x = np.clip(layer.sums(x), 0, TOP).astype(np.float64)
        top = 1 << SCORE_BITS
        last = self.layers[-1].sums(x)[0] + (top >> 1)
        scores: list[int] = np.clip(last, 0, top).tolist()
        return scores


def network_bytes(network: VerifierNetwork) -> bytes:
    """The .npz file of a network; the same network gives the same bytes."""
    arrays: dict[str, NDArray[np.generic]] = {
        "frames": np.array(network.frames, np.int64),
        "looks": np.array(network.looks, np.int64),
    }
    for index, layer in enumerate(network.layers):
        arrays |= {f"layer{index}.{part}": np.asarray(getattr(layer, part)) for part in _PARTS}
    return archive_bytes(arrays)


def parse_network(data: bytes) -> VerifierNetwork:
    """The network in the bytes of a .npz file; nothing in it is evaluated.

    Raises ParameterError for anything but the arrays of one network.
    """
    arrays = archive_arrays(data, _WHAT)
    count = sum(name.endswith(".weight") for name in arrays)
    wanted = {"frames", "looks"}
    wanted |= {f"layer{index}.{part}" for index in range(count) for part in _PARTS}
    _need(set(arrays) == wanted, f"the arrays of {count} layers", sorted(arrays))

    def whole(name: str, axes: int) -> NDArray[np.int64]:
        array = arrays[name]
        fine = array.dtype == np.int64 and array.ndim == axes and array.size <= MOST_LAYERS
        _need(fine, f"{name} as int64 of {axes} axes", f"{array.dtype} of {array.shape}")
        return array

    layers = [
        Convolution(
            arrays[f"layer{index}.weight"],
            arrays[f"layer{index}.bias"],
            arrays[f"layer{index}.shift"],
            int(whole(f"layer{index}.stride", 0)),
        )
        for index in range(count)
    ]
    looks = tuple(whole("looks", 1).tolist())
    return VerifierNetwork(tuple(layers), int(whole("frames", 0)), looks)
