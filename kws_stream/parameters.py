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

from kws_stream.errors import ParameterError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def _as_float_array(value: ArrayLike, name: str, shape: tuple[int | None, ...]) -> FloatArray:
    """Copy of `value` as a read-only float64 array of `shape` (None: any size from one up)."""
    try:
        array = np.array(value, dtype=np.float64) + 0.0  # so that no -0.0 is left
    except (TypeError, ValueError) as error:
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
    array = np.asarray(value)
    if array.ndim == 0:
        array = np.full(cells, value)
    return _as_float_array(array, name, (cells,))


def _initial_bits(value: ArrayLike | None, name: str, cells: int) -> BoolArray:
    bits = np.zeros(cells, bool) if value is None else np.array(value)
    if bits.shape != (cells,) or not np.isin(bits, (0, 1)).all():
        raise ParameterError(f"{name}: need {cells} bits (0 or 1), got {value!r:.80}")
    bits = bits.astype(bool)
    bits.setflags(write=False)
    return bits


@dataclass(frozen=True, eq=False)
class Layer:
    """One feedforward layer: ``x @ weight + bias``; weight (n_in, n_out), bias (n_out,)."""

    weight: FloatArray
    bias: FloatArray

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
        return self.weight.shape[0]

    @property
    def n_out(self) -> int:
        return self.weight.shape[1]


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
        for field, why in (("delta", "a cell without hysteresis has delta == 0"),
                           ("alpha", "a state is a current and cannot be negative")):
            bad = np.flatnonzero(cells[field] < 0)
            if bad.size:
                raise ParameterError(
                    f"{name} cell {bad[0]}: need {field} >= 0, got {cells[field][bad[0]]}; {why}"
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
        try:
            finite = bool(np.isfinite(values).all())
        except TypeError:
            finite = False
        if not finite:
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
            step, low, high = value
        except (TypeError, ValueError) as error:
            raise ParameterError(f"input_grid: need (step, low, high), got {value!r:.80}") from error
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

    @classmethod
    def from_arrays(
        cls,
        pre: Any,
        blocks: Sequence[Mapping[str, Any]],
        classifier: Any,
        input_grid: Any = None,
    ) -> "NetworkParameters":
        pre_layer = Layer.from_arrays(pre, "pre")
        width = pre_layer.n_out
        return cls(
            pre=pre_layer,
            blocks=tuple(
                Block.from_arrays(fields, f"block {i}", width) for i, fields in enumerate(blocks)
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
    def parameter_count(self) -> int:
        layers = [self.pre, self.classifier]
        layers += [layer for b in self.blocks for layer in (b.candidate, b.post)]
        return sum(layer.weight.size + layer.bias.size for layer in layers) + 3 * self.cells


@dataclass(frozen=True)
class Exactness:
    """Whether no sum of a network can round: `dtype` is the float type that the proof holds in."""

    exact: bool
    dtype: str
    reason: str


class _NotExact(Exception):
    pass


def _unit_exponent(*arrays: FloatArray) -> int | None:
    """Largest e such that every entry is an integer times 2^e; None if all are zero."""
    values = np.concatenate([a.ravel() for a in arrays])
    values = values[values != 0]
    if not values.size:
        return None
    mantissas, exponents = np.frexp(values)
    integers = np.abs(np.ldexp(mantissas, 53)).astype(np.int64)
    trailing_zeros = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    return int((exponents - 53 + trailing_zeros).min())


@dataclass(frozen=True)
class _Signal:
    """Values that are integers times 2^unit (None: all zero), bounded per wire by `bounds`."""

    unit: int | None
    bounds: list[Fraction]


@dataclass(frozen=True)
class _FloatFormat:
    dtype: str
    mantissa_bits: int
    min_exponent: int  # of the smallest normal number
    max_exponent: int

    def check(self, what: str, unit: int | None, bound: Fraction) -> None:
        """Refuse values up to `bound` in steps of 2^unit that this format may have to round."""
        if unit is None:
            return
        if unit < self.min_exponent:
            raise _NotExact(f"{what}: the unit 2^{unit} is below the normal {self.dtype} numbers")
        if bound >= Fraction(2) ** (self.mantissa_bits + unit):
            bits = int(bound / Fraction(2) ** unit).bit_length()
            raise _NotExact(f"{what} needs {bits} bits, {self.dtype} has {self.mantissa_bits}")
        if bound >= Fraction(2) ** self.max_exponent:
            raise _NotExact(f"{what}: values up to {float(bound):.3g} overflow {self.dtype}")

    def check_array(self, what: str, array: FloatArray) -> None:
        self.check(what, _unit_exponent(array), Fraction(float(np.abs(array).max())))

    def layer(self, what: str, layer: Layer, x: _Signal) -> _Signal:
        """Bound of ``x @ weight + bias``; contracts: bias plus the sum of |w|·max|x|."""
        self.check_array(f"{what} weights", layer.weight)
        self.check_array(f"{what} biases", layer.bias)
        weight_unit = _unit_exponent(layer.weight)
        units = [] if weight_unit is None or x.unit is None else [weight_unit + x.unit]
        bias_unit = _unit_exponent(layer.bias)
        units += [] if bias_unit is None else [bias_unit]
        unit = min(units, default=None)
        bounds = [
            Fraction(abs(float(bias)))
            + sum((Fraction(abs(float(w))) * b for w, b in zip(column, x.bounds, strict=True)),
                  Fraction(0))
            for column, bias in zip(layer.weight.T, layer.bias, strict=True)
        ]
        self.check(what, unit, max(bounds))
        return _Signal(unit, bounds)

    def prove(self, parameters: NetworkParameters) -> None:
        """Follow unit and bound of every signal through the network, or raise `_NotExact`."""
        grid = parameters.input_grid
        assert grid is not None
        step = int(np.frexp(grid.step)[1]) - 1
        inputs = _Signal(step, [Fraction(grid.magnitude)] * parameters.n_features)
        self.check("input", step, inputs.bounds[0])
        x = self.layer("pre", parameters.pre, inputs)
        for i, block in enumerate(parameters.blocks):
            self.layer(f"block {i} candidate", block.candidate, x)
            for name in ("beta1", "delta", "alpha", "beta2"):
                self.check_array(f"block {i} {name}", getattr(block, name))
            if any(
                Fraction(float(b1)) + Fraction(float(width)) != Fraction(float(b2))
                for b1, width, b2 in zip(block.beta1, block.delta, block.beta2, strict=True)
            ):
                raise _NotExact(f"block {i}: beta1 + delta rounds")
            state = _Signal(_unit_exponent(block.alpha), [Fraction(float(a)) for a in block.alpha])
            post = self.layer(f"block {i} post", block.post, state)
            units = [u for u in (x.unit, post.unit) if u is not None]
            x = _Signal(min(units, default=None),
                        [a + b for a, b in zip(x.bounds, post.bounds, strict=True)])
            self.check(f"block {i} skip sum", x.unit, max(x.bounds))
        self.layer("classifier", parameters.classifier, x)


_FLOAT32 = _FloatFormat("float32", 24, -126, 127)
_FLOAT64 = _FloatFormat("float64", 53, -1022, 1023)


def prove_exactness(parameters: NetworkParameters) -> Exactness:
    """Prove from weights and input range that no sum can round, in float32 if that is enough.

    Every tensor is an integer times one power of two, so a sum is exact in any order when its bound,
    in units of its finest product, fits the mantissa and that unit is a normal number.
    """
    if parameters.input_grid is None:
        return Exactness(False, "float64", "no input_grid was given, so sums may round")
    reasons = []
    for float_format in (_FLOAT32, _FLOAT64):
        try:
            float_format.prove(parameters)
        except _NotExact as reason:
            reasons.append(str(reason))
        else:
            fits = f"every sum fits the {float_format.mantissa_bits} bits of {float_format.dtype}"
            return Exactness(True, float_format.dtype, "; ".join([fits, *reasons]))
    return Exactness(False, "float64", reasons[-1] + ", so sums may round")
