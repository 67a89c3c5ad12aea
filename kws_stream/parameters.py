"""The arrays of a network, checked once; no computing happens here.

Every signal is a current: 1.0 stands for one unit current, 1 nA in arXiv:2605.15216. Weights are
mirror ratios and have no unit. Matrices are (n_in, n_out), so a layer is ``x @ weight + bias``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kws_stream.arguments import real_number
from kws_stream.brief import brief
from kws_stream.errors import ParameterError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def _as_float_array(value: ArrayLike, name: str, shape: tuple[int | None, ...]) -> FloatArray:
    """Copy of `value` as a read-only float64 array of `shape` (None: any size from one up)."""
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "biufO":  # text would be parsed, complex numbers cut
            raise TypeError(f"not real numbers: {given.dtype}")
        array = given.astype(np.float64) + 0.0  # a copy, and no -0.0 is left
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"{name}: need an array of numbers, got {value!r:.80}") from error
    wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    if array.ndim != len(shape) or any(
        got == 0 or (want is not None and got != want)
        for got, want in zip(array.shape, shape, strict=True)
    ):
        raise ParameterError(f"{name}: need shape {wanted}, got {array.shape}")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ParameterError(
            f"{name}: need finite numbers, got {array[where]} at {where}; remove NaN and infinity"
        )
    array.setflags(write=False)
    return array


def _cell_values(value: ArrayLike, name: str, cells: int) -> FloatArray:
    """Per-cell values (d,); one number stands for all cells."""
    if np.isscalar(value) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = np.full(cells, value)
    return _as_float_array(value, name, (cells,))


def _initial_bits(value: ArrayLike | None, name: str, cells: int) -> BoolArray:
    values = np.zeros(cells) if value is None else _as_float_array(value, name, (cells,))
    if not np.isin(values, (0, 1)).all():
        raise ParameterError(f"{name}: need {cells} bits (0 or 1), got {value!r:.80}")
    bits = values.astype(bool)
    bits.setflags(write=False)
    return bits


@dataclass(frozen=True, eq=False)
class Layer:
    """One feedforward layer: ``x @ weight + bias``; weight (n_in, n_out), bias (n_out,)."""

    weight: FloatArray
    bias: FloatArray

    __repr__ = brief

    @classmethod
    def from_arrays(
        cls,
        pair: Any,
        name: str,
        n_in: int | None = None,
        n_out: int | None = None,
    ) -> "Layer":
        try:
            weight, bias = pair
        except (TypeError, ValueError) as error:
            raise ParameterError(f"{name}: need a pair (W, b), got {pair!r:.80}") from error
        weight = _as_float_array(weight, f"{name} weight", (n_in, n_out))
        return cls(weight, _as_float_array(bias, f"{name} bias", (weight.shape[1],)))

    @property
    def n_in(self) -> int:
        return int(self.weight.shape[0])

    @property
    def n_out(self) -> int:
        return int(self.weight.shape[1])


@dataclass(frozen=True, eq=False)
class Block:
    """One BMRU block of d cells between two layers of width m.

    candidate: m -> d; post: d -> m. beta1 (lower threshold, any sign), delta (hysteresis width,
    >= 0) and alpha (state current, >= 0) are (d,), in unit currents; initial_state is d bits.
    """

    candidate: Layer
    beta1: FloatArray
    delta: FloatArray
    alpha: FloatArray
    post: Layer
    initial_state: BoolArray

    __repr__ = brief

    FIELDS = ("candidate", "beta1", "delta", "alpha", "post", "initial_state")

    @classmethod
    def from_arrays(cls, fields: Mapping[str, Any], name: str, width: int) -> "Block":
        if not isinstance(fields, Mapping):
            raise ParameterError(f"{name}: need a dict of arrays, got {type(fields).__name__}")
        missing = [f for f in cls.FIELDS[:-1] if f not in fields]
        unknown = [str(f) for f in fields if f not in cls.FIELDS]
        if missing or unknown:
            raise ParameterError(
                f"{name}: need the fields {', '.join(cls.FIELDS)}; "
                f"missing: {missing or 'none'}, unknown: {unknown or 'none'}"
            )
        candidate = Layer.from_arrays(fields["candidate"], f"{name} candidate", n_in=width)
        d = candidate.n_out
        cells = {f: _cell_values(fields[f], f"{name} {f}", d) for f in ("beta1", "delta", "alpha")}
        for field, why in (
            ("delta", "a cell without hysteresis has delta == 0"),
            ("alpha", "a state is a current and cannot be negative"),
        ):
            bad = np.flatnonzero(cells[field] < 0)
            if bad.size:
                value = cells[field][bad[0]]
                raise ParameterError(
                    f"{name} {field}[{bad[0]}]: need {field} >= 0, got {value}; {why}"
                )
        with np.errstate(over="ignore"):
            if not np.isfinite(cells["beta1"] + cells["delta"]).all():
                raise ParameterError(f"{name}: need a finite beta1 + delta; make them smaller")
        return cls(
            candidate=candidate,
            post=Layer.from_arrays(fields["post"], f"{name} post", n_in=d, n_out=width),
            initial_state=_initial_bits(fields.get("initial_state"), f"{name} initial_state", d),
            **cells,
        )

    @property
    def beta2(self) -> FloatArray:
        """Upper threshold (d,): beta1 + delta, rounded once."""
        return self.beta1 + self.delta

    @property
    def cells(self) -> int:
        return self.candidate.n_out


@dataclass(frozen=True)
class InputGrid:
    """The values an input may take: integer multiples of `step` (a power of two) in low..high."""

    step: float
    low: float
    high: float

    def __post_init__(self) -> None:
        values = (self.step, self.low, self.high)
        if not np.isfinite(values).all():
            raise ParameterError(f"input_grid: need three finite numbers, got {values}")
        if not self.step > 0 or np.frexp(self.step)[0] != 0.5:
            raise ParameterError(
                f"input_grid: need a step that is a power of two, got {self.step}; try 2**-6"
            )
        if self.low > self.high:
            raise ParameterError(
                f"input_grid: need low <= high, got low={self.low}, high={self.high}"
            )

    @classmethod
    def from_value(cls, value: Any) -> "InputGrid":
        if isinstance(value, cls):
            return value
        try:
            step, low, high = map(real_number, value)
            if step is None or low is None or high is None:
                raise TypeError("no number")
        except (TypeError, ValueError) as error:
            raise ParameterError(
                f"input_grid: need (step, low, high), got {value!r:.80}"
            ) from error
        return cls(step, low, high)

    @property
    def magnitude(self) -> float:
        """Largest absolute value an input can take."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True, eq=False)
class NetworkParameters:
    """All arrays of a network: pre-projection, blocks, classifier, and the grid of its inputs."""

    pre: Layer
    blocks: tuple[Block, ...]
    classifier: Layer
    input_grid: InputGrid | None = None

    __repr__ = brief

    @classmethod
    def from_arrays(
        cls,
        pre: Any,
        blocks: Sequence[Mapping[str, Any]],
        classifier: Any,
        input_grid: Any = None,
    ) -> "NetworkParameters":
        pre_layer = Layer.from_arrays(pre, "pre")
        if isinstance(blocks, Mapping) or not isinstance(blocks, Sequence):
            raise ParameterError(f"blocks: need a list of dicts, got {type(blocks).__name__}")
        width = pre_layer.n_out
        return cls(
            pre=pre_layer,
            blocks=tuple(
                Block.from_arrays(fields, f"blocks[{i}]", width) for i, fields in enumerate(blocks)
            ),
            classifier=Layer.from_arrays(classifier, "classifier", n_in=width),
            input_grid=None if input_grid is None else InputGrid.from_value(input_grid),
        )

    @property
    def n_features(self) -> int:
        return self.pre.n_in

    @property
    def width(self) -> int:
        """m: the width of the skip path."""
        return self.pre.n_out

    @property
    def n_classes(self) -> int:
        return self.classifier.n_out

    @property
    def cells(self) -> int:
        return sum(block.cells for block in self.blocks)

    @property
    def cells_in_words(self) -> str:
        """Cells block by block, as "8 + 7 cells"."""
        return f"{' + '.join(str(block.cells) for block in self.blocks) or 'no'} cells"

    @property
    def layers(self) -> list[Layer]:
        """All feedforward layers, in the order of the signal."""
        pairs = (layer for block in self.blocks for layer in (block.candidate, block.post))
        return [self.pre, *pairs, self.classifier]

    @property
    def parameter_count(self) -> int:
        sizes = (layer.weight.size + layer.bias.size for layer in self.layers)
        return sum(sizes) + 3 * self.cells

    @property
    def multiply_accumulates(self) -> int:
        """Products of a weight and a signal in one frame; the front end has its own."""
        return sum(layer.weight.size for layer in self.layers)


@dataclass(frozen=True)
class Exactness:
    """Whether no sum of a network can round: `dtype` is the float type that the proof holds in."""

    exact: bool
    dtype: str
    reason: str


@dataclass(frozen=True)
class _Need:
    """What some values ask of a float format: multiples of 2^unit, in `bits` bits, below 2^top."""

    what: str
    unit: int
    bits: int
    top: int

    def refusal(self, dtype: str) -> str | None:
        """Why `dtype` might have to round these values; None if it never does."""
        limits = np.finfo(dtype)
        mantissa_bits = limits.nmant + 1
        if self.bits > mantissa_bits:
            return f"{self.what} needs {self.bits} bits, {dtype} has {mantissa_bits}"
        if self.unit < limits.minexp:
            return f"{self.what}: the unit 2^{self.unit} is below the normal {dtype} numbers"
        if self.top > limits.maxexp:
            return f"{self.what}: values up to 2^{self.top} overflow {dtype}"
        return None


def _odd_parts(values: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each |value| as (odd integer, e), meaning integer times 2^e; values must not be 0."""
    mantissas, exponents = np.frexp(np.abs(values))
    integers = np.ldexp(mantissas, 53).astype(np.int64)
    trailing_zeros = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    return integers >> trailing_zeros, exponents.astype(np.int64) - 53 + trailing_zeros


class _Multiples:
    """Magnitudes as integers (Python's, which have no limit) times 2^unit; None: all are zero."""

    def __init__(self, unit: int | None, integers: NDArray[np.object_]) -> None:
        self.unit = unit
        self.integers = integers

    @classmethod
    def of(cls, array: FloatArray) -> "_Multiples":
        integers = np.zeros(array.shape, object)
        used = array != 0
        if not used.any():
            return cls(None, integers)
        odd, exponents = _odd_parts(array[used])
        unit = int(exponents.min())
        integers[used] = odd.astype(object) << (exponents - unit).astype(object)
        return cls(unit, integers)

    def times(self, weight: "_Multiples") -> "_Multiples":
        """Bound of ``x @ weight``: the sum of |w|·max|x|, in units of the finest product."""
        if self.unit is None or weight.unit is None:
            return _Multiples(None, np.zeros(weight.integers.shape[1], object))
        return _Multiples(self.unit + weight.unit, self.integers @ weight.integers)

    def plus(self, other: "_Multiples") -> "_Multiples":
        """Bound of a sum, in the finer of both units."""
        if self.unit is None or other.unit is None:
            return self if other.unit is None else other
        unit = min(self.unit, other.unit)
        return _Multiples(
            unit,
            (self.integers << (self.unit - unit)) + (other.integers << (other.unit - unit)),
        )

    def need(self, what: str) -> list[_Need]:
        if self.unit is None:
            return []
        bits = int(self.integers.max()).bit_length()
        return [_Need(what, self.unit, bits, self.unit + bits)]


def _needs(parameters: NetworkParameters, grid: InputGrid) -> list[_Need]:
    """What every number and every sum of the network asks of a float format."""
    needs: list[_Need] = []

    def stored(what: str, array: FloatArray) -> None:
        """Single numbers: each has to be representable by itself."""
        used = array[array != 0]
        if used.size:
            odd, exponents = _odd_parts(used)
            bits = np.frexp(odd.astype(np.float64))[1]
            needs.append(
                _Need(what, int(exponents.min()), int(bits.max()), int((exponents + bits).max()))
            )

    def layer(what: str, layer: Layer, x: _Multiples) -> _Multiples:
        stored(f"{what} weights", layer.weight)
        stored(f"{what} biases", layer.bias)
        bound = x.times(_Multiples.of(layer.weight)).plus(_Multiples.of(layer.bias))
        needs.extend(bound.need(what))
        return bound

    largest = int(Fraction(grid.magnitude) / Fraction(grid.step))  # whole steps in the range
    step_exponent = int(np.frexp(grid.step)[1]) - 1
    inputs = _Multiples(step_exponent, np.full(parameters.n_features, largest, object))
    needs.extend(inputs.need("input"))
    x = layer("pre", parameters.pre, inputs)
    for i, block in enumerate(parameters.blocks, 1):
        layer(f"block {i} candidate", block.candidate, x)
        for name in ("beta1", "beta2", "alpha"):
            stored(f"block {i} {name}", getattr(block, name))
        x = x.plus(layer(f"block {i} post", block.post, _Multiples.of(block.alpha)))
        needs.extend(x.need(f"block {i} skip sum"))
    layer("classifier", parameters.classifier, x)
    return needs


def _rounded_threshold(parameters: NetworkParameters) -> str | None:
    """The first cell whose beta2 is not exactly beta1 + delta."""
    for i, block in enumerate(parameters.blocks, 1):
        for cell, values in enumerate(zip(block.beta1, block.delta, block.beta2, strict=True), 1):
            beta1, delta, beta2 = (Fraction(float(value)) for value in values)
            if beta1 + delta != beta2:
                return f"block {i} cell {cell}: beta1 + delta rounds"
    return None


def prove_exactness(parameters: NetworkParameters) -> Exactness:
    """Prove from weights and input range that no sum can round, in float32 if that is enough.

    Every tensor is an integer times one power of two, so a sum is exact in any order when its
    bound, in units of its finest product, fits the mantissa and that unit is a normal number
    (docs/network.md). Bounds are Python integers: the proof itself cannot round.
    """
    if parameters.input_grid is None:
        return Exactness(False, "float64", "no input_grid was given, so sums may round")
    rounded = _rounded_threshold(parameters)
    if rounded is not None:
        return Exactness(False, "float64", rounded)
    needs = _needs(parameters, parameters.input_grid)
    reasons: list[str] = []
    for dtype in ("float32", "float64"):
        refusal = next(filter(None, (need.refusal(dtype) for need in needs)), None)
        if refusal is None:
            bits = np.finfo(dtype).nmant + 1
            fits = f"every sum fits the {bits} bits of {dtype}"
            return Exactness(True, dtype, "; ".join([fits, *reasons]))
        reasons.append(refusal)
    return Exactness(False, "float64", reasons[-1] + ", so sums may round")
