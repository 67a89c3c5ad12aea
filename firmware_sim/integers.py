"""A network in integers: the scale of every tensor, and a proof that no sum overflows.

Every tensor of a network on a grid is an integer times one power of two (docs/network.md). The
wires of the skip path share one unit, the finest that any layer into it has; each layer brings its
products to the unit of its output by a factor that is a power of two, so nothing is ever rounded.
Thresholds may be finer than the candidates that they are compared with: for an integer c,
c >= t is the same as c >= ceil(t).
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.parameters import Block, FloatArray, Layer, NetworkParameters

Integers = NDArray[np.int64]

INT32, INT64 = 2**31 - 1, 2**63 - 1
MAX_LOGIT_FRACTION = 40  # bits below the binary point that the detector in C has room for


def exponent_of(values: FloatArray) -> int | None:
    """The largest e with every value an integer times 2^e; None if all are zero."""
    mantissas, exponents = np.frexp(np.ravel(values))
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    lowest_bits = np.frexp((whole & -whole).astype(np.float64))[1]
    found = (exponents + lowest_bits)[whole != 0]
    return int(found.min()) - 54 if found.size else None


def codes_of(values: FloatArray, exponent: int, limit: int, what: str) -> Integers:
    """Each value in units of 2^exponent; ParameterError where one exceeds `limit`."""
    with np.errstate(over="ignore"):
        codes = np.ldexp(values, -exponent)
    assert (codes == np.rint(codes)).all()
    largest = float(np.abs(codes).max(initial=0))
    if largest > limit or largest >= 2.0**63:
        bits = math.frexp(largest)[1] if math.isfinite(largest) else 1024
        raise ParameterError(
            f"{what}: need integers of up to {limit.bit_length() + 1} bits on one grid, got "
            f"{bits + 1}; use weights and currents of fewer bits"
        )
    return codes.astype(np.int64)


def _largest_sums(weight: Integers, largest: list[int]) -> list[int]:
    """Of each output, the sum of |weight| times the largest input, exactly."""
    sizes, most = np.abs(weight), max(largest, default=0)
    if int(sizes.sum(axis=0).max(initial=0)) * most < 2**62:
        sums: list[int] = (np.array(largest, np.int64) @ sizes).tolist()
        return sums
    return [sum(w * x for w, x in zip(column, largest, strict=True)) for column in sizes.T.tolist()]


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """``(x @ weight) * gain + bias``; out in units of 2^exponent, never above `bounds` (n_out,)."""

    weight: Integers
    bias: Integers
    gain: int
    exponent: int
    bounds: list[int]

    __repr__ = brief

    def apply(self, x: Integers) -> Integers:
        """x (..., n_in) -> (..., n_out), one input at a time, in int64."""
        total = np.zeros((*x.shape[:-1], len(self.bias)), np.int64)
        for i, row in enumerate(self.weight):
            total += x[..., i : i + 1] * row
        return total * self.gain + self.bias


@dataclass(frozen=True, eq=False)
class IntegerBlock:
    """As `kws_stream.parameters.Block`, in integers; thresholds in the unit of the candidates."""

    candidate: IntegerLayer
    beta1: Integers
    beta2: Integers
    alpha: Integers
    post: IntegerLayer
    initial: NDArray[np.bool_]

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A network in integers. feature_exponent, and `classifier.exponent` of the logits, are units.

    largest_wire, largest_sum: what an input of a layer, and any sum, can reach.
    """

    pre: IntegerLayer
    blocks: tuple[IntegerBlock, ...]
    classifier: IntegerLayer
    feature_exponent: int
    largest_wire: int
    largest_sum: int

    __repr__ = brief

    @property
    def logit_fraction(self) -> int:
        """Logits are integers times 2^-logit_fraction."""
        return -self.classifier.exponent

    def features(self, values: FloatArray) -> Integers:
        """Features on the grid as integers."""
        return np.ldexp(values, -self.feature_exponent).astype(np.int64)

    def run(self, features: Integers) -> tuple[Integers, list[NDArray[np.bool_]]]:
        """Logits (S, T, K) and the bits of each block (S, T, d) of S streams (S, T, n).

        Sums run over the inputs in order; the cells go through time one frame after another.
        """
        x = self.pre.apply(features)
        all_bits = []
        for block in self.blocks:
            candidates = np.maximum(block.candidate.apply(np.maximum(x, 0)), 0)
            bits = np.empty(candidates.shape, bool)
            now = np.broadcast_to(block.initial, candidates[:, 0].shape)
            for t in range(candidates.shape[1]):
                now = candidates[:, t] >= np.where(now, block.beta1, block.beta2)
                bits[:, t] = now
            all_bits.append(bits)
            x = x + np.maximum(block.post.apply(bits * block.alpha), 0)
        return self.classifier.apply(x), all_bits


def _layer(
    layer: Layer, in_exponent: int, out_exponent: int | None, largest: list[int], what: str
) -> IntegerLayer:
    """largest: of each input. out_exponent: None for the finest of products and biases."""
    weight_exponent = exponent_of(layer.weight)
    if weight_exponent is None:  # all zero: any unit will do
        finest = _finest(exponent_of(layer.bias), None, in_exponent)
        weight_exponent = (finest if out_exponent is None else out_exponent) - in_exponent
    product = in_exponent + weight_exponent
    out = _finest(product, exponent_of(layer.bias)) if out_exponent is None else out_exponent
    weight = codes_of(layer.weight, weight_exponent, INT32, f"{what} weights")
    bias = codes_of(layer.bias, out, INT64, f"{what} biases")
    gain = 2 ** (product - out)
    sums = _largest_sums(weight, largest)
    bounds = [gain * s + abs(b) for s, b in zip(sums, bias.tolist(), strict=True)]
    if max(bounds) > INT64:
        raise ParameterError(
            f"{what}: need sums of 64 bits at most, got {max(bounds).bit_length() + 1}; "
            "use weights and currents of fewer bits"
        )
    return IntegerLayer(weight, bias, gain, out, bounds)


def _finest(*exponents: int | None) -> int:
    return min(exponent for exponent in exponents if exponent is not None)


def _alpha_exponent(block: Block) -> int:
    exponent = exponent_of(block.alpha)
    return 0 if exponent is None else exponent


def _skip_exponent(parameters: NetworkParameters, features: int) -> int:
    """The finest unit of all that is added up on the skip path."""
    exponents = [features]

    def add(layer: Layer, in_exponent: int) -> None:
        weight = exponent_of(layer.weight)
        if weight is not None:
            exponents.append(in_exponent + weight)
        bias = exponent_of(layer.bias)
        if bias is not None:
            exponents.append(bias)

    add(parameters.pre, features)
    for block in parameters.blocks:
        add(block.post, _alpha_exponent(block))
    return min(exponents)


def _threshold(values: FloatArray, exponent: int, bounds: list[int]) -> Integers:
    """ceil(value / 2^exponent), cut to what a candidate, 0..bound, can still tell apart."""
    codes = [math.ceil(Fraction(float(value)) / Fraction(2) ** exponent) for value in values]
    top = min(max(bounds) + 1, INT64)
    return np.array([min(max(code, 0), top) for code in codes], np.int64)


def _block(block: Block, skip: int, largest: list[int], what: str) -> IntegerBlock:
    candidate = _layer(block.candidate, skip, None, largest, f"{what} candidate")
    alpha_exponent = _alpha_exponent(block)
    alpha = codes_of(block.alpha, alpha_exponent, INT32, f"{what} alpha")
    return IntegerBlock(
        candidate=candidate,
        beta1=_threshold(block.beta1, candidate.exponent, candidate.bounds),
        beta2=_threshold(block.beta2, candidate.exponent, candidate.bounds),
        alpha=alpha,
        post=_layer(block.post, alpha_exponent, skip, alpha.tolist(), f"{what} post"),
        initial=block.initial_state,
    )


def integer_network(parameters: NetworkParameters) -> IntegerNetwork:
    """The network in integers that give its logits exactly, up to one power of two.

    Raises ParameterError for a network without a grid, and for one that needs weights of more than
    32 bits, sums of more than 64, or logits finer than 2^-40.
    """
    grid = parameters.input_grid
    if grid is None:
        raise ParameterError(
            "network: need one with an input_grid for integers, got none; give from_arrays a grid"
        )
    features = math.frexp(grid.step)[1] - 1
    steps = int(Fraction(grid.magnitude) / Fraction(grid.step))
    skip = _skip_exponent(parameters, features)
    pre = _layer(parameters.pre, features, skip, [steps] * parameters.n_features, "pre")
    largest = list(pre.bounds)
    wires, sums = [steps, *largest], [pre.gain, *largest]
    blocks = []
    for index, block in enumerate(parameters.blocks):
        what = f"block {index}"
        integer = _block(block, skip, largest, what)
        blocks.append(integer)
        largest = [x + post for x, post in zip(largest, integer.post.bounds, strict=True)]
        wires += [*largest, *integer.alpha.tolist()]
        sums += [*integer.candidate.bounds, *integer.post.bounds]
        sums += [*integer.beta1.tolist(), *integer.beta2.tolist()]
        sums += [integer.candidate.gain, integer.post.gain]
    classifier = _classifier(parameters.classifier, skip, largest)
    sums += [classifier.gain, *classifier.bounds]
    for what, values in (("skip path", wires), ("network", sums)):
        if max(values) > INT64:
            raise ParameterError(
                f"{what}: need integers of 64 bits at most, got {max(values).bit_length() + 1}; "
                "use weights and currents of fewer bits"
            )
    return IntegerNetwork(pre, tuple(blocks), classifier, features, max(wires), max(sums))


def _classifier(layer: Layer, skip: int, largest: list[int]) -> IntegerLayer:
    """Logits in units of 2^-fraction, 0 <= fraction <= 40, as the detector in C counts them."""
    weight = exponent_of(layer.weight)
    product = None if weight is None else skip + weight
    out = _finest(product, exponent_of(layer.bias), 0)
    if out < -MAX_LOGIT_FRACTION:
        raise ParameterError(
            f"classifier: need logits of {MAX_LOGIT_FRACTION} bits after the binary point at "
            f"most, got {-out}; use weights and currents of fewer bits"
        )
    return _layer(layer, skip, out, largest, "classifier")
