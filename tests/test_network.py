"""The network equals its oracle in every bit: ties, any split, any backend, any finite numbers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import network as network_module
from kws_stream.errors import InputError, PackError
from kws_stream.network import Network, Trace
from kws_stream.packs.stage_graphs import stage_graphs
from tests.strategies import Case, float_cases, grid_cases, splits

FIELDS = ("logits", "inputs", "candidates", "states", "bits")


def wires(trace: Trace) -> list[np.ndarray]:
    return [
        trace.logits,
        *trace.inputs,
        *trace.candidates,
        *trace.states,
        *trace.bits,
    ]


def raw(trace: Trace) -> list[bytes]:
    return [wire.tobytes() for wire in wires(trace)]


def joined(traces: list[Trace]) -> list[bytes]:
    parts = zip(*(wires(trace) for trace in traces), strict=True)
    return [np.concatenate(part).tobytes() for part in parts]


def assert_equals_oracle(trace: Trace, case: Case) -> None:
    expected = case.oracle()
    for name in FIELDS:
        got = getattr(trace, name)
        got = [wire.tolist() for wire in got] if name != "logits" else got.tolist()
        assert got == getattr(expected, name), name
    for wire in wires(trace):
        assert not np.signbit(wire[wire == 0]).any(), "-0.0 came out"


def assert_shapes(trace: Trace, network: Network, frames: int) -> None:
    parameters = network.parameters
    assert trace.frames == frames
    assert trace.logits.shape == (frames, parameters.n_classes)
    assert trace.logits.dtype == np.float64
    for index, block in enumerate(parameters.blocks):
        assert trace.inputs[index].shape == (frames, parameters.width)
        for wire in (trace.candidates[index], trace.states[index], trace.bits[index]):
            assert wire.shape == (frames, block.cells)
        assert trace.inputs[index].dtype == trace.states[index].dtype == np.float64
        assert trace.candidates[index].dtype == np.float64
        assert trace.bits[index].dtype == bool


@settings(derandomize=True, deadline=None, max_examples=80)
@given(float_cases(), st.data())
def test_any_finite_parameters_run_as_the_scalar_oracle_does(case: Case, data) -> None:
    network = Network.from_arrays(**case.arrays)
    assert not network.exactness.exact
    assert network.exactness.dtype == "float64"
    trace = network.run(case.features)
    assert_shapes(trace, network, len(case.features))
    assert_equals_oracle(trace, case)

    stream = network.stream()
    blocks = data.draw(splits(len(case.features)))
    assert joined([stream.advance(case.features[block]) for block in blocks]) == raw(trace)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(grid_cases(), st.data())
def test_on_a_float32_grid_oracle_numpy_onnx_and_all_splits_are_equal(case: Case, data) -> None:
    network = Network.from_arrays(**case.arrays)
    assert network.exactness.exact
    assert network.exactness.dtype == "float32"
    check_backends(network, case, data)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(grid_cases(feature_bits=16, weight_bits=12), st.data())
def test_on_a_wide_grid_oracle_numpy_onnx_and_all_splits_are_equal(case: Case, data) -> None:
    network = Network.from_arrays(**case.arrays)
    assert network.exactness.exact
    check_backends(network, case, data)


def check_backends(network: Network, case: Case, data) -> None:
    trace = network.run(case.features)
    assert_shapes(trace, network, len(case.features))
    assert_equals_oracle(trace, case)

    with_graphs = Network(
        network.parameters, stage_graphs(network.parameters, network.exactness.dtype)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_module, "ONNX_MIN_FRAMES", data.draw(st.sampled_from([0, 1, 3])))
        assert raw(with_graphs.run(case.features)) == raw(trace)
        for each in (network, with_graphs):
            stream = each.stream()
            blocks = data.draw(splits(len(case.features)))
            assert joined([stream.advance(case.features[block]) for block in blocks]) == raw(trace)


def small_network(input_grid=(0.25, -1.0, 1.0)) -> Network:
    """Two features, two blocks of two and three cells, two classes."""
    return Network.from_arrays(
        pre=([[1.0, -0.5], [0.5, 1.0]], [0.25, 0.0]),
        blocks=[
            {
                "candidate": ([[1.0, 0.5], [-0.5, 1.0]], [0.0, 0.25]),
                "beta1": [0.25, 0.5],
                "delta": [0.5, 0.0],
                "alpha": [1.0, 0.5],
                "post": ([[0.5, 1.0], [1.0, -1.0]], [0.0, 0.25]),
            },
            {
                "candidate": ([[1.0, 0.5, -1.0], [0.5, 1.0, 1.0]], [0.0, 0.0, 0.5]),
                "beta1": [0.5, 0.75, 0.25],
                "delta": [0.5, 0.25, 1.0],
                "alpha": [0.5, 1.0, 0.25],
                "post": ([[1.0, 0.0], [0.5, 0.5], [-1.0, 1.0]], [0.0, 0.0]),
                "initial_state": [0, 1, 1],
            },
        ],
        classifier=([[1.0, -1.0], [0.5, 0.5]], [0.0, 0.25]),
        input_grid=input_grid,
    )


def small_features(frames: int) -> np.ndarray:
    return np.random.default_rng(5).integers(-4, 5, (frames, 2)) * 0.25


def test_the_small_network_exercises_set_hold_and_reset() -> None:
    network = small_network()
    trace = network.run(small_features(200))
    bits = np.concatenate(trace.bits, axis=1)
    assert (bits.any(axis=0) & ~bits.all(axis=0)).all()
    for index, block in enumerate(network.parameters.blocks):
        c = trace.candidates[index]
        assert (c == block.beta1).any() or (c == block.beta2).any()  # ties


def test_stream_bits_follow_the_trace_and_reset_equals_a_fresh_stream() -> None:
    network = small_network()
    features = small_features(40)
    stream = network.stream()
    fresh = raw(network.stream().advance(features))
    start = [z.tolist() for z in stream.bits]
    assert start == [[False, False], [False, True, True]]
    trace = stream.advance(features[:17])
    assert [z.tolist() for z in stream.bits] == [z[-1].tolist() for z in trace.bits]
    stream.reset()
    assert [z.tolist() for z in stream.bits] == start
    assert raw(stream.advance(features)) == fresh


def test_process_gives_the_logits_of_run() -> None:
    network = small_network()
    features = small_features(9)
    logits = network.stream().process(features)
    assert logits.tobytes() == network.run(features).logits.tobytes()


def test_streams_of_one_network_do_not_share_state() -> None:
    network = small_network()
    features = small_features(30)
    first, second = network.stream(), network.stream()
    first.advance(features)
    assert raw(second.advance(features)) == raw(network.run(features))


@pytest.mark.parametrize("frames", [1, 7])
def test_writing_into_a_trace_or_bits_does_not_reach_the_stream(frames: int) -> None:
    network = small_network()
    features = small_features(frames + 20)
    expected = raw(network.run(features))
    stream = network.stream()
    head = stream.advance(features[:frames])
    kept = [wire.copy() for wire in wires(head)]
    for wire in wires(head):
        wire[...] = 1
    for z in stream.bits:
        z[...] = True
    tail = stream.advance(features[frames:])
    got = [np.concatenate(p).tobytes() for p in zip(kept, wires(tail), strict=True)]
    assert got == expected


def test_the_features_are_left_alone() -> None:
    features = small_features(12)
    before = features.tobytes()
    small_network().run(features)
    small_network(None).run(features)
    assert features.tobytes() == before


def test_no_frames_give_an_empty_trace_and_keep_the_state() -> None:
    for network in (small_network(), small_network(None)):
        assert_shapes(network.run(np.zeros((0, 2))), network, 0)
        stream = network.stream()
        stream.advance(small_features(10))
        before = [z.tolist() for z in stream.bits]
        assert stream.process(np.zeros((0, 2))).shape == (0, 2)
        assert [z.tolist() for z in stream.bits] == before


def test_a_network_without_blocks_is_two_layers() -> None:
    network = Network.from_arrays(([[2.0]], [1.0]), [], ([[3.0, -1.0]], [0.5, 0.0]))
    trace = network.run([[1.0], [-2.0]])
    assert trace.logits.tolist() == [[9.5, -3.0], [-8.5, 3.0]]
    assert trace.inputs == trace.candidates == trace.states == trace.bits == []


def test_negative_zeros_in_inputs_and_parameters_do_not_come_out() -> None:
    arrays = {
        "pre": ([[-0.0, 1.0]], [-0.0, -0.0]),
        "blocks": [
            {
                "candidate": ([[-0.0], [-1.0]], [-0.0]),
                "beta1": [-0.0],
                "delta": [-0.0],
                "alpha": [-0.0],
                "post": ([[-1.0, -0.0]], [-0.0, -0.0]),
            }
        ],
        "classifier": ([[-1.0], [-0.0]], [-0.0]),
    }
    for grid in (None, (1.0, -1.0, 1.0)):
        network = Network.from_arrays(**arrays, input_grid=grid)
        for features in (np.full((1, 1), -0.0), np.full((40, 1), -0.0)):
            trace = network.run(features)
            assert raw(trace) == raw(network.run(np.abs(features)))
            assert not any(np.signbit(wire).any() for wire in wires(trace))


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_layout_and_integer_types_do_not_matter(order: str) -> None:
    for network in (small_network((1.0, -1.0, 1.0)), small_network(None)):
        features = np.random.default_rng(1).integers(-1, 2, (50, 2))
        expected = raw(network.run(features.astype(np.float64)))
        assert raw(network.run(np.asarray(features, order=order))) == expected
        assert raw(network.run(features.astype(np.int8))) == expected
        assert raw(network.run(features.tolist())) == expected
        padded = np.zeros((100, 6))
        padded[::2, 1:5:3] = features
        assert raw(network.run(padded[::2, 1:5:3])) == expected


@pytest.mark.parametrize(
    ("features", "needed"),
    [
        ([[np.nan, 0.0]], "finite numbers, got nan at (0, 0)"),
        ([[0.0, 0.0], [0.0, np.inf]], "finite numbers, got inf at (1, 1)"),
        ([[0.0]], "shape (frames, 2), got (1, 1)"),
        ([0.0, 0.0], "shape (frames, 2), got (2,)"),
        (0.0, "shape (frames, 2), got ()"),
        ([[0.0, 0.0], [0.0]], "an array of numbers"),
        ([["a", "b"]], "an array of numbers"),
        ([["1", "2"]], "an array of numbers"),
        (np.array([[1j, 0.0]]), "an array of numbers"),
        ([[10**400, 0]], "an array of numbers"),
        (None, "shape (frames, 2), got ()"),
    ],
)
@pytest.mark.parametrize("grid", [None, (0.25, -1.0, 1.0)])
def test_features_that_are_no_frames_are_refused(features, needed: str, grid) -> None:
    network = small_network(grid)
    for call in (network.run, network.stream().process):
        with pytest.raises(InputError) as caught:
            call(features)
        assert isinstance(caught.value, ValueError)
        assert needed in str(caught.value)


@pytest.mark.parametrize("value", [0.1, 1.25, -1.25, 0.125, 1e-300, 5e-324, np.nextafter(0.25, 1)])
def test_values_off_the_grid_or_out_of_range_are_refused(value: float) -> None:
    network = small_network((0.25, -1.0, 1.0))
    with pytest.raises(InputError, match=r"multiples of 0.25 in -1.0..1.0, got .* at \(1, 0\)"):
        network.run([[0.0, 0.0], [value, 0.0]])
    for allowed in (-1.0, -0.75, 0.0, 1.0):
        network.run([[allowed, 0.0]])


@pytest.mark.filterwarnings("error")
def test_the_grid_check_holds_for_extreme_steps() -> None:
    coarse = small_network((2.0**500, -(2.0**501), 2.0**501))
    coarse.run([[2.0**500, -(2.0**501)]])
    with pytest.raises(InputError):
        coarse.run([[1e-300, 0.0]])  # a quotient would underflow to 0
    fine = small_network((2.0**-1000, -(2.0**100), 2.0**100))
    fine.run([[2.0**100, 2.0**-1000]])  # a quotient would overflow
    with pytest.raises(InputError):
        fine.run([[2.0**-1001, 0.0]])


@pytest.mark.parametrize(
    "arrays",
    [
        {"pre": ([[1e200]], [0.0]), "blocks": [], "classifier": ([[1.0]], [0.0])},
        {"pre": ([[1.0]], [0.0]), "blocks": [], "classifier": ([[1e200]], [0.0])},
        # every layer is finite; only the skip sum is not
        {
            "pre": ([[1.0]], [1.7e308]),
            "blocks": [
                {
                    "candidate": ([[0.0]], [1.0]),
                    "beta1": [0.0],
                    "delta": [0.0],
                    "alpha": [1.0],
                    "post": ([[1.7e308]], [0.0]),
                }
            ],
            "classifier": ([[0.0]], [0.0]),
        },
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_overflowing_sum_is_an_input_error_and_leaves_the_state(arrays) -> None:
    network = Network.from_arrays(**arrays)
    stream = network.stream()
    before = [z.tolist() for z in stream.bits]
    with pytest.raises(InputError, match="overflowed float64"):
        stream.process([[1e200]])
    assert [z.tolist() for z in stream.bits] == before


def test_a_refused_block_leaves_the_stream_where_it_was() -> None:
    network = small_network()
    features = small_features(30)
    stream = network.stream()
    head = stream.advance(features[:10])
    with pytest.raises(InputError):
        stream.advance([[np.nan, 0.0]])
    assert joined([head, stream.advance(features[10:])]) == raw(network.run(features))


def test_float_sums_run_over_the_inputs_in_index_order_with_the_bias_last() -> None:
    # 1e16 + 1 rounds to 1e16, so the order shows in the result.
    def logit(weights: list[float], bias: float) -> float:
        n = len(weights)
        pre = (np.eye(n), np.zeros(n))
        network = Network.from_arrays(pre, [], (np.array(weights)[:, None], [bias]))
        return float(network.run(np.ones((1, n))).logits[0, 0])

    assert logit([1e16, 1.0, -1e16], 0.0) == 0.0
    assert logit([1e16, -1e16, 1.0], 0.0) == 1.0
    assert logit([1.0, 1e16, -1e16], 0.0) == 0.0
    assert logit([1.0, -1e16], 1e16) == 0.0
    assert logit([1e16, -1e16], 1.0) == 1.0


def test_beta2_is_beta1_plus_delta_rounded_once() -> None:
    network = Network.from_arrays(
        ([[1.0]], [0.0]),
        [{"candidate": ([[1.0]], [0.0]), "beta1": [0.1], "delta": [0.2], "alpha": [1.0],
              "post": ([[0.0]], [0.0])}],
        ([[1.0]], [0.0]),
    )  # fmt: skip
    assert 0.1 + 0.2 > 0.3
    bits = network.run([[0.3], [0.1 + 0.2]]).bits[0]
    assert bits.tolist() == [[False], [True]]


def test_the_example_in_the_documentation_runs() -> None:
    text = (Path(__file__).parents[1] / "docs" / "network.md").read_text("utf-8")
    examples = text.split("```python\n")[1:]
    assert examples
    for example in examples:
        exec(example.split("```")[0], {})


def test_the_first_value_off_the_grid_is_named() -> None:
    network = small_network((0.25, -1.0, 1.0))
    with pytest.raises(InputError, match=r"got 0.1 at \(1, 1\)"):
        network.run([[0.0, 0.25], [0.0, 0.1], [0.3, 0.0]])
    with pytest.raises(InputError, match=r"got -0.3 at \(0, 1\)"):
        network.run([[0.0, -0.3]])


def test_bits_that_somebody_else_found_give_the_trace_of_run() -> None:
    network = small_network()
    rng = np.random.default_rng(0)
    features = rng.integers(-4, 5, (40, 2)) * 0.25
    trace = network.run(features)
    again = network.trace_of(features, trace.bits)
    assert raw(again) == raw(trace)
    assert trace.bits[0].any()
    silent = [np.zeros_like(bits) for bits in trace.bits]
    assert not np.any(network.trace_of(features, silent).states[0])


def test_graphs_run_long_blocks_of_exact_networks_alone() -> None:
    frames = np.zeros((network_module.ONNX_MIN_FRAMES, 2))
    exact, inexact = small_network(), small_network(None)
    assert (exact.exactness.exact, inexact.exactness.exact) == (True, False)
    broken = [b"no graph"] * 3
    with pytest.raises(PackError):
        Network(exact.parameters, broken).run(frames)
    Network(exact.parameters, broken).run(frames[:1])
    Network(inexact.parameters, broken).run(frames)
