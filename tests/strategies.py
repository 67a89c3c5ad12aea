"""Hypothesis strategies: networks whose thresholds are hit exactly, inputs, block splits."""

import itertools
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.reference import network as oracle

SIZES = st.integers(1, 4)


@dataclass
class Case:
    """Arguments of `Network.from_arrays`, and features (T, n_in) for it."""

    arrays: dict[str, Any]
    features: np.ndarray
    number: type  # of the oracle

    def oracle(self) -> oracle.OracleTrace:
        arrays = {name: value for name, value in self.arrays.items() if name != "input_grid"}
        return oracle.run(self.features, **arrays, number=self.number)


def matrix(numbers: st.SearchStrategy[float], rows: int, columns: int) -> st.SearchStrategy[Any]:
    row = st.lists(numbers, min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows).map(
        lambda rows_: np.array(rows_, np.float64).reshape(rows, columns)
    )


def vector(numbers: st.SearchStrategy[float], size: int) -> st.SearchStrategy[Any]:
    return st.lists(numbers, min_size=size, max_size=size).map(lambda v: np.array(v, np.float64))


@st.composite
def splits(draw: st.DrawFn, frames: int) -> list[slice]:
    """Consecutive blocks of any lengths, zero included, that cover `frames` frames."""
    if draw(st.booleans()):
        cuts = list(range(1, frames))
    else:
        cuts = sorted(draw(st.lists(st.integers(0, frames), max_size=6)))
    ends = [0, *cuts, frames]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


@st.composite
def _thresholds(draw: st.DrawFn, candidates: list[Any], below: st.SearchStrategy[float]) -> Any:
    """(beta1, delta) of one cell: mostly values that its candidates take, so ties happen."""
    attained = sorted({float(c) for c in candidates}) or [0.0]
    choices = st.sampled_from(attained)
    beta1 = draw(st.one_of(choices, choices, below))
    upper = draw(st.one_of(choices, st.just(beta1)))
    delta = abs(upper - beta1) if np.isfinite(upper - beta1) else 0.0
    return beta1, delta


@st.composite
def _case(
    draw: st.DrawFn,
    weights: st.SearchStrategy[float],
    biases: list[st.SearchStrategy[float]],
    alphas: st.SearchStrategy[float],
    below: st.SearchStrategy[float],
    inputs: st.SearchStrategy[float],
    number: type,
    max_blocks: int = 2,
    max_frames: int = 12,
) -> Case:
    """biases: of layers fed by inputs or states, and of layers fed by another layer."""
    n, m, k = draw(SIZES), draw(SIZES), draw(SIZES)
    frames = draw(st.integers(0, max_frames))
    features = draw(matrix(inputs, frames, n))
    first, second = biases

    def layer(rows: int, columns: int, bias: st.SearchStrategy[float]) -> tuple[Any, Any]:
        return draw(matrix(weights, rows, columns)), draw(vector(bias, columns))

    arrays: dict[str, Any] = {"pre": layer(n, m, first), "blocks": []}
    arrays["classifier"] = layer(m, k, second)
    case = Case(arrays, features, number)
    for index in range(draw(st.integers(0, max_blocks))):
        d = draw(SIZES)
        block = {
            "candidate": layer(m, d, second),
            "beta1": np.zeros(d),
            "delta": np.zeros(d),
            "alpha": draw(vector(alphas, d)),
            "post": layer(d, m, first),
            "initial_state": draw(st.lists(st.booleans(), min_size=d, max_size=d)),
        }
        arrays["blocks"].append(block)
        per_cell = zip(*case.oracle().candidates[index], strict=True)
        seen = [list(c) for c in per_cell] or [[] for _ in range(d)]
        chosen = [draw(_thresholds(values, below)) for values in seen]
        block["beta1"] = np.array([beta1 for beta1, _ in chosen])
        block["delta"] = np.array([delta for _, delta in chosen])
    return case


def float_cases() -> st.SearchStrategy[Case]:
    """Any finite numbers that cannot overflow on the way, subnormal ones and -0.0 included."""
    small = st.floats(-4, 4, width=16)
    wide = st.floats(-1e60, 1e60)
    numbers = st.one_of(small, small, wide)
    alphas = st.one_of(st.just(0.0), st.floats(0, 4, width=16), st.floats(0, 1e60))
    return _case(numbers, [numbers, numbers], alphas, numbers, numbers, float)


@st.composite
def grid_cases(draw: st.DrawFn, feature_bits: int = 6, weight_bits: int = 4) -> Case:
    """Signed integers of so many bits, in units that are powers of two, and an `input_grid`."""
    input_exponent = draw(st.integers(-8, 8))
    weight_exponent = draw(st.integers(-6, 2))

    def multiples(bits: int, exponent: int) -> st.SearchStrategy[float]:
        limit = 2 ** (bits - 1)
        return st.integers(-limit, limit - 1).map(lambda i: i * 2.0**exponent)

    first = input_exponent + weight_exponent
    case = draw(
        _case(
            weights=multiples(weight_bits, weight_exponent),
            biases=[multiples(8, first), multiples(10, first + weight_exponent)],
            alphas=st.integers(0, 7).map(lambda i: i * 2.0**input_exponent),
            below=multiples(6, first),
            inputs=multiples(feature_bits, input_exponent),
            number=Fraction,
        )
    )
    step = 2.0**input_exponent
    limit = 2 ** (feature_bits - 1)
    case.arrays["input_grid"] = (step, -limit * step, (limit - 1) * step)
    return case
