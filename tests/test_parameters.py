"""What a network may hold, what is refused and how, and the proof that no sum can round."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from kws_stream.errors import ParameterError
from kws_stream.network import Network
from kws_stream.parameters import InputGrid, NetworkParameters, prove_exactness


def arrays(**changes):
    """Arguments for three features, m = 2, one block of two cells, two classes."""
    block = {
        "candidate": (np.ones((2, 2)), np.zeros(2)),
        "beta1": [0.5, 0.5],
        "delta": [0.25, 0.0],
        "alpha": [1.0, 1.0],
        "post": (np.ones((2, 2)), np.zeros(2)),
    }
    whole = {"pre": (np.ones((3, 2)), np.zeros(2)), "classifier": (np.ones((2, 2)), np.zeros(2))}
    for name, value in changes.items():
        (whole if name in ("pre", "classifier", "input_grid", "blocks") else block)[name] = value
    return {"blocks": [block], **whole}


def test_sizes_are_read_from_the_arrays() -> None:
    parameters = NetworkParameters.from_arrays(**arrays())
    assert parameters.n_features == 3
    assert parameters.width == 2
    assert parameters.n_classes == 2
    assert parameters.cells == 2
    assert parameters.parameter_count == 8 + 6 + 6 + 6 + 6
    assert parameters.blocks[0].beta2.tolist() == [0.75, 0.5]
    assert parameters.blocks[0].initial_state.tolist() == [False, False]


def test_arrays_are_copied_and_cannot_be_written() -> None:
    weight = np.ones((3, 2))
    parameters = NetworkParameters.from_arrays(**arrays(pre=(weight, np.zeros(2))))
    weight[...] = 7
    assert (parameters.pre.weight == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        parameters.pre.weight[0, 0] = 2
    with pytest.raises(ValueError, match="read-only"):
        parameters.blocks[0].initial_state[0] = True


def test_beta1_may_have_any_sign_and_delta_and_alpha_may_be_zero() -> None:
    Network.from_arrays(**arrays(beta1=[-3.0, 0.0], delta=[0.0, 0.0], alpha=[0.0, 0.0]))


def test_initial_state_is_bits() -> None:
    for bits in ([1, 0], [True, False], np.array([1.0, 0.0])):
        parameters = NetworkParameters.from_arrays(**arrays(initial_state=bits))
        assert parameters.blocks[0].initial_state.tolist() == [True, False]


NAN2 = [np.nan, 1.0]


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"pre": (np.full((3, 2), np.nan), np.zeros(2))}, r"pre weight: .*finite.* nan at \(0, 0"),
        ({"pre": (np.ones((3, 2)), [0, np.inf])}, r"pre bias: .*finite.* inf at \(1,\)"),
        ({"classifier": (np.ones((2, 2)), [-np.inf, 0])}, "classifier bias: .*finite"),
        ({"candidate": ([NAN2, NAN2], [0, 0])}, r"blocks\[0\] candidate weight: .*finite"),
        ({"post": (np.ones((2, 2)), NAN2)}, r"blocks\[0\] post bias: .*finite"),
        ({"beta1": NAN2}, r"blocks\[0\] beta1: .*finite"),
        ({"delta": [np.inf, 1.0]}, r"blocks\[0\] delta: .*finite"),
        ({"alpha": NAN2}, r"blocks\[0\] alpha: .*finite"),
        ({"delta": [0.5, -0.25]}, r"blocks\[0\] delta\[1\]: need delta >= 0, got -0.25"),
        ({"alpha": [-1e-9, 0.0]}, r"blocks\[0\] alpha\[0\]: need alpha >= 0, got -1e-09"),
        (
            {"beta1": [1.7e308, 0], "delta": [1.7e308, 0]},
            r"blocks\[0\]: need a finite beta1 \+ delta",
        ),
        ({"pre": (np.ones(3), np.zeros(2))}, r"pre weight: need shape \(any, any\), got \(3,\)"),
        ({"pre": (np.ones((3, 2)), np.zeros(3))}, r"pre bias: need shape \(2\), got \(3,\)"),
        ({"pre": (np.ones((0, 2)), np.zeros(2))}, "pre weight: need shape"),
        ({"pre": (np.ones((3, 0)), np.zeros(0))}, "pre weight: need shape"),
        ({"pre": np.ones((3, 2, 2))}, r"pre: need a pair \(W, b\)"),
        ({"pre": None}, r"pre: need a pair \(W, b\)"),
        ({"candidate": (np.ones((3, 2)), np.zeros(2))}, r"candidate weight: need shape \(2, any"),
        ({"post": (np.ones((3, 2)), np.zeros(2))}, r"post weight: need shape \(2, 2\)"),
        ({"classifier": (np.ones((3, 2)), np.zeros(2))}, r"classifier weight: need shape \(2, an"),
        ({"beta1": [0.5]}, r"blocks\[0\] beta1: need shape \(2\), got \(1,\)"),
        ({"alpha": [[1.0, 1.0]]}, r"blocks\[0\] alpha: need shape \(2\)"),
        ({"alpha": ["a", "b"]}, r"blocks\[0\] alpha: need an array of numbers"),
        ({"alpha": ["1", "2"]}, r"blocks\[0\] alpha: need an array of numbers"),
        ({"alpha": [1j, 0]}, r"blocks\[0\] alpha: need an array of numbers"),
        ({"alpha": [[1.0], [1.0, 2.0]]}, r"blocks\[0\] alpha: need an array of numbers"),
        ({"alpha": [10**400, 0]}, r"blocks\[0\] alpha: need an array of numbers"),
        ({"alpha": None}, r"blocks\[0\] alpha: need"),
        ({"initial_state": [2, 0]}, r"initial_state: need 2 bits \(0 or 1\)"),
        ({"initial_state": [0.5, 0]}, "initial_state: need 2 bits"),
        ({"initial_state": NAN2}, "initial_state: need"),
        ({"initial_state": [1]}, r"initial_state: need shape \(2\)"),
        ({"initial_state": ["1", "0"]}, "initial_state: need"),
        ({"beta3": [1, 1]}, r"blocks\[0\]: need the fields .*unknown: \['beta3'\]"),
        ({"blocks": [{}]}, r"blocks\[0\]: need the fields .*missing: \['candidate', 'beta1'"),
        ({"blocks": [3]}, r"blocks\[0\]: need a dict of arrays, got int"),
        ({"blocks": None}, "blocks: need a list of dicts"),
        ({"blocks": {"candidate": 1}}, "blocks: need a list of dicts"),
    ],
)
def test_arrays_that_make_no_sense_are_refused_by_name(changes, needed: str) -> None:
    with pytest.raises(ParameterError, match=needed) as caught:
        Network.from_arrays(**arrays(**changes))
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("grid", "needed"),
    [
        ((0.3, -1, 1), "a step that is a power of two, got 0.3"),
        ((3, -1, 1), "a step that is a power of two"),
        ((0.0, -1, 1), "a step that is a power of two"),
        ((-0.5, -1, 1), "a step that is a power of two"),
        ((np.nan, -1, 1), "three finite numbers"),
        ((0.5, -np.inf, 1), "three finite numbers"),
        ((0.5, -1, np.nan), "three finite numbers"),
        ((0.5, 1, -1), "low <= high"),
        ((0.5, 1), r"need \(step, low, high\)"),
        (0.5, r"need \(step, low, high\)"),
        (("a", 0, 1), r"need \(step, low, high\)"),
        ((1j, 0, 1), r"need \(step, low, high\)"),
        ((1, 0, 10**400), "three finite numbers"),
    ],
)
def test_input_grids_that_make_no_sense_are_refused(grid, needed: str) -> None:
    with pytest.raises(ParameterError, match=f"input_grid: need.*{needed.removeprefix('need ')}"):
        Network.from_arrays(**arrays(input_grid=grid))


def test_an_input_grid_may_be_given_as_any_three_numbers() -> None:
    assert InputGrid.from_value([Fraction(1, 4), -1, np.float32(1)]) == InputGrid(0.25, -1.0, 1.0)


# The proof. A network without blocks has two layers; with an identity in front, the classifier's
# sum of |w| and |b| is the whole bound.


def summing(weights, bias: float, grid=(1.0, -1.0, 1.0)) -> Network:
    n = len(weights)
    column = np.array(weights, np.float64)[:, None]
    return Network.from_arrays((np.eye(n), np.zeros(n)), [], (column, [bias]), grid)


def verdict(network: Network) -> tuple[bool, str]:
    return network.exactness.exact, network.exactness.dtype


def quantised(rng, bits: int, exponent: int, *shape: int) -> np.ndarray:
    limit = 2 ** (bits - 1)
    return rng.integers(-limit, limit, shape, endpoint=True) * 2.0**exponent


def typical(feature_bits: int, weight_bits: int, n=48, m=64, d=64, k=12) -> Network:
    rng = np.random.default_rng(0)

    def layer(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
        return quantised(rng, weight_bits, -3, n_in, n_out), quantised(rng, 6, -3, n_out)

    blocks = [
        {
            "candidate": layer(m, d),
            "beta1": rng.integers(0, 64, d) / 8,
            "delta": rng.integers(0, 64, d) / 8,
            "alpha": rng.integers(0, 8, d) / 8,
            "post": layer(d, m),
        }
        for _ in range(2)
    ]
    limit = 2.0 ** (feature_bits - 1 - 3)
    return Network.from_arrays(layer(n, m), blocks, layer(m, k), (2.0**-3, -limit, limit))


def test_six_bit_features_and_four_bit_weights_fit_float32() -> None:
    assert verdict(typical(6, 4)) == (True, "float32")


def test_eight_bit_features_and_weights_need_float64_and_the_reason_counts_bits() -> None:
    network = typical(8, 8)
    assert verdict(network) == (True, "float64")
    assert "fits the 53 bits of float64" in network.exactness.reason
    assert "bits, float32 has 24" in network.exactness.reason


def test_without_a_grid_nothing_is_proven() -> None:
    exactness = prove_exactness(NetworkParameters.from_arrays(**arrays()))
    assert (exactness.exact, exactness.dtype) == (False, "float64")
    assert "no input_grid" in exactness.reason


@pytest.mark.parametrize("unit", [1.0, 2.0**-20, 2.0**30])
def test_the_bound_is_tight_to_one_unit_in_float32(unit: float) -> None:
    weights = np.array([2**23, 2**22, -(2**22) + 2]) * unit
    assert verdict(summing(weights, 1.0 * unit)) == (True, "float32")
    refused = summing(weights, 2.0 * unit)
    assert verdict(refused) == (True, "float32")  # all even: half as many units
    refused = summing([*weights, unit], 1.0 * unit)
    assert verdict(refused) == (True, "float64")
    assert "classifier needs 25 bits, float32 has 24" in refused.exactness.reason


def test_the_bound_is_tight_to_one_unit_in_float64() -> None:
    weights = [2.0**52, 2.0**52 - 2]
    assert verdict(summing(weights, 1.0)) == (True, "float64")
    refused = summing([*weights, 1.0], 1.0)
    assert verdict(refused) == (False, "float64")
    assert "classifier needs 54 bits, float64 has 53" in refused.exactness.reason
    assert "may round" in refused.exactness.reason


def test_a_network_just_inside_the_bound_sums_exactly_in_any_order() -> None:
    weights = np.array([2**22, -(2**22) + 1, 2**21 + 1, -(2**21), 2**22 - 3, 1], np.float64)
    bias = 2.0**24 - 1 - np.abs(weights).sum()
    assert verdict(summing(weights, bias)) == (True, "float32")
    for signs in ([1, 1, 1, 1, 1, 1], [1, -1, 1, -1, 1, 1], [-1, 1, -1, 1, -1, -1]):
        terms = [*(weights * signs), bias]
        exact = sum(map(Fraction, terms))
        for order in itertools.permutations(terms):
            total = np.float32(0)
            for term in order:
                total += np.float32(term)
            assert Fraction(float(total)) == exact


def test_beyond_the_bound_the_order_does_matter() -> None:
    weights = [2.0**24, 1.0, 1.0]
    assert verdict(summing(weights, 0.0)) == (True, "float64")
    one, two = np.float32(2.0**24), np.float32(1.0)
    assert (one + two) + two != one + (two + two)


def test_the_unit_is_that_of_the_finest_product_or_bias() -> None:
    # Inputs are multiples of 2^-4 up to 1, weights of 2^-10 up to 1: products of 2^-14, 15 bits.
    grid = (2.0**-4, -1.0, 1.0)
    fine = 1.0 - 2.0**-10
    assert verdict(summing([fine], 0.0, grid)) == (True, "float32")
    # the bias refines the unit to 2^-24: 1 - 2^-10 + 2^-24 takes 24 bits, one more weight 25
    assert verdict(summing([fine], 2.0**-24, grid)) == (True, "float32")
    assert verdict(summing([fine, fine], 2.0**-24, grid)) == (True, "float64")


def test_the_range_counts_in_whole_steps() -> None:
    weights = [2.0**23 - 1]
    assert verdict(summing(weights, 0.0, (1.0, -2.9, 0.0))) == (True, "float32")
    assert verdict(summing(weights, 0.0, (1.0, -3.0, 0.0))) == (True, "float64")


def test_every_tensor_takes_part_in_the_proof() -> None:
    wide = 1.0 + 2.0**-30
    grid = (1.0, -1.0, 1.0)
    plain = arrays(input_grid=grid)
    assert verdict(Network.from_arrays(**plain)) == (True, "float32")
    layers = {
        "pre": ((3, 2), "pre"),
        "classifier": ((2, 2), "classifier"),
        "candidate": ((2, 2), "block 1 candidate"),
        "post": ((2, 2), "block 1 post"),
    }
    for name, (shape, label) in layers.items():
        for pair in ((np.full(shape, wide), np.zeros(2)), (np.ones(shape), np.full(2, wide))):
            network = Network.from_arrays(**arrays(input_grid=grid, **{name: pair}))
            assert verdict(network) == (True, "float64"), name
            assert label in network.exactness.reason
    for name in ("beta1", "alpha"):
        network = Network.from_arrays(**arrays(input_grid=grid, **{name: [wide, 1.0]}))
        assert verdict(network) == (True, "float64"), name
        assert f"block 1 {name} needs 31 bits" in network.exactness.reason
    network = Network.from_arrays(**arrays(input_grid=grid, beta1=[0.0, 0.0], delta=[wide, 0.0]))
    assert "block 1 beta2 needs 31 bits" in network.exactness.reason


def test_the_skip_sum_takes_part_in_the_proof() -> None:
    # Each layer has few bits; x + relu(post) has 2^-13 beside 2^13.
    network = Network.from_arrays(
        ([[2.0**13]], [0.0]),
        [{"candidate": ([[0.0]], [0.0]), "beta1": [0.0], "delta": [0.0], "alpha": [1.0],
              "post": ([[2.0**-13]], [0.0])}],
        ([[0.0]], [0.0]),
        (1.0, -1.0, 1.0),
    )  # fmt: skip
    assert verdict(network) == (True, "float64")
    assert "block 1 skip sum needs 27 bits" in network.exactness.reason


def test_thresholds_only_have_to_be_numbers_of_the_format() -> None:
    # Comparing does not round, so thresholds of different cells need no common unit.
    network = Network.from_arrays(
        **arrays(input_grid=(1.0, -1.0, 1.0), beta1=[2.0**-20, -(2.0**20)], delta=[0.0, 2.0**21])
    )
    assert verdict(network) == (True, "float32")


def test_a_threshold_that_rounds_is_not_exact() -> None:
    network = Network.from_arrays(
        **arrays(input_grid=(1.0, -1.0, 1.0), beta1=[0.5, 0.1], delta=[0.0, 0.7])
    )
    assert Fraction(0.1) + Fraction(0.7) != Fraction(0.1 + 0.7)
    assert verdict(network) == (False, "float64")
    assert "block 1 cell 2: beta1 + delta rounds" in network.exactness.reason


def test_a_subnormal_unit_is_refused() -> None:
    float32 = summing([2.0**-100], 0.0, (2.0**-27, -(2.0**-27), 2.0**-27))
    assert verdict(float32) == (True, "float64")
    assert "2^-127 is below the normal float32 numbers" in float32.exactness.reason
    assert verdict(summing([2.0**-100], 0.0, (2.0**-26, 0.0, 2.0**-26))) == (True, "float32")
    float64 = summing([2.0**-1000], 0.0, (2.0**-23, 0.0, 2.0**-23))
    assert verdict(float64) == (False, "float64")
    assert "below the normal float64 numbers" in float64.exactness.reason
    assert verdict(summing([2.0**-1000], 0.0, (2.0**-22, 0.0, 2.0**-22))) == (True, "float64")
    assert verdict(summing([1.0], 0.0, (5e-324, 0.0, 5e-324))) == (False, "float64")


def test_sums_that_overflow_are_refused() -> None:
    assert verdict(summing([2.0**126, 2.0**126], 0.0)) == (True, "float32")
    float32 = summing([2.0**127, 2.0**127], 0.0)
    assert verdict(float32) == (True, "float64")
    assert "values up to 2^129 overflow float32" in float32.exactness.reason
    float64 = summing([2.0**1000], 0.0, (2.0**24, 0.0, 2.0**24))
    assert verdict(float64) == (False, "float64")
    assert "overflow float64" in float64.exactness.reason


def test_zero_tensors_have_no_unit() -> None:
    assert verdict(summing([0.0, 0.0], 0.0)) == (True, "float32")
    assert verdict(summing([0.0], 3.0, (1.0, 0.0, 0.0))) == (True, "float32")
