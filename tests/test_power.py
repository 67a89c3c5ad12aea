"""Branch currents to nanowatts: the formulas, and sums that no split can change."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import power
from kws_stream.errors import InputError, ParameterError
from kws_stream.network import Network, Trace
from tests.reference import power as oracle


def random_network(seed, width=4, cells=(4, 4), classes=2, features=6, scale=1.0):
    """Real-valued parameters with every sign, some of them zero."""
    rng = np.random.default_rng(seed)

    def layer(n_in, n_out):
        weight = scale * rng.normal(size=(n_in, n_out))
        weight[rng.random(weight.shape) < 0.2] = 0
        return weight, scale * rng.normal(size=n_out)

    blocks = [
        {
            "candidate": layer(width, d),
            "beta1": rng.uniform(0.1, 1, d),
            "delta": rng.uniform(0, 0.5, d),
            "alpha": rng.uniform(0, 1, d),
            "post": layer(d, width),
            "initial_state": rng.integers(0, 2, d),
        }
        for d in cells
    ]
    return Network.from_arrays(layer(features, width), blocks, layer(width, classes))


def random_features(net, frames, seed=1):
    return np.random.default_rng(seed).normal(size=(frames, net.parameters.n_features))


def sliced(trace, start, stop):
    lists = (trace.inputs, trace.candidates, trace.states, trace.bits)
    return Trace(trace.logits[start:stop], *([a[start:stop] for a in arrays] for arrays in lists))


@pytest.fixture
def hand_made():
    """One cell, two frames: every branch current is worked out in the test below."""
    return Network.from_arrays(
        pre=([[1.0, -1.0]], [0.0, 0.5]),
        blocks=[
            {
                "candidate": ([[2.0], [-1.0]], [0.25]),
                "beta1": [0.5],
                "delta": [1.0],
                "alpha": [0.5],
                "post": ([[1.0, -4.0]], [0.5, -0.25]),
            }
        ],
        classifier=([[1.0, -1.0], [2.0, 0.0]], [-0.5, 1.0]),
    )


def test_a_network_worked_out_by_hand(hand_made):
    # f = 1, -1: x = (1, -0.5), (-1, 1.5); c = 2.25, 0; z = 1, 0; h = 0.5, 0
    # skip path after the block: (2, -0.5), (-0.5, 1.5)
    estimate = power.estimate(hand_made, hand_made.run([[1.0], [-1.0]]))
    assert estimate.branches == {
        "bias": 0.5 + 1.5 + 1.0,
        "candidate": 1.125,
        "state": 0.25,
        "positive": 2 * 0.5 + 0.25,
        "negative": 1 * 0.75,
        "post": (1 + 4) * 0.25 + 0.5 + 0.25,
        "constant": 1.72 / 8,
        "classifier_positive": 1 * 1 + 2 * 0.75 + 1 * 0.25 + 1,
        "classifier_negative": 1 * 1 + 1 * 0.25 + 2 * 0.25 + 0.5,
    }
    assert estimate.cells_nw == pytest.approx(7.6212, rel=1e-12)
    assert estimate.feedforward_nw == pytest.approx(22.4325, rel=1e-12)
    assert estimate.core_nw == pytest.approx(30.0537, rel=1e-12)
    assert estimate.classifier_nw == pytest.approx(31.6845, rel=1e-12)
    assert estimate.frames == 2
    assert estimate.seconds == 0.02
    assert estimate.energy_per_second_nj == estimate.core_nw
    assert estimate.energy_per_decision_pj == pytest.approx(300.537, rel=1e-12)


@pytest.mark.parametrize("cells", [(4, 4), (1,), (3, 7, 2), ()])
@pytest.mark.parametrize("frames", [1, 2, 127, 300])
def test_estimate_agrees_with_the_scalar_oracle(cells, frames):
    net = random_network(seed=frames, width=5, cells=cells, classes=3)
    features = random_features(net, frames)
    estimate = power.estimate(net, net.run(features))
    cells_nw, feedforward_nw, classifier_nw = oracle.power(net.parameters, features)
    assert estimate.cells_nw == pytest.approx(cells_nw, rel=1e-11)
    assert estimate.feedforward_nw == pytest.approx(feedforward_nw, rel=1e-11)
    if cells:
        assert estimate.classifier_nw == pytest.approx(classifier_nw, rel=1e-11)


def test_core_is_cells_and_feedforward_and_blocks_and_cells_add_up():
    net = random_network(0, cells=(4, 6))
    estimate = power.estimate(net, net.run(random_features(net, 200)))
    assert estimate.core_nw == estimate.cells_nw + estimate.feedforward_nw
    assert estimate.cells_nw == sum(block.cells_nw for block in estimate.blocks)
    assert estimate.feedforward_nw == sum(block.feedforward_nw for block in estimate.blocks)
    assert [values.shape for values in estimate.per_cell_nw] == [(4,), (6,)]
    for values, block in zip(estimate.per_cell_nw, estimate.blocks, strict=True):
        assert values.sum() == pytest.approx(block.cells_nw, rel=1e-12)


def test_twice_the_same_block_of_silent_cells_burns_twice():
    """Without activity only biases and the constant are left: both go with the number of cells."""
    one, two = random_network(3, cells=(8,)), None
    fields = one.parameters.blocks[0]
    block = {name: getattr(fields, name) for name in ("beta1", "delta", "alpha")}
    block["candidate"] = (np.zeros((4, 8)), np.zeros(8))
    block["post"] = (np.zeros((8, 4)), np.zeros(4))
    layers = (np.zeros((6, 4)), np.zeros(4)), (np.zeros((4, 2)), np.zeros(2))
    one, two = (Network.from_arrays(layers[0], [block] * n, layers[1]) for n in (1, 2))
    powers = [power.estimate(net, net.run(random_features(net, 10))) for net in (one, two)]
    assert powers[0].feedforward_nw == 1.8 * 1.72
    assert powers[1].feedforward_nw == 2 * powers[0].feedforward_nw
    assert powers[1].cells_nw == 2 * powers[0].cells_nw
    biases = fields.alpha + fields.beta2 + fields.delta
    assert powers[0].cells_nw == pytest.approx(1.8 * 1.033 * biases.sum(), rel=1e-12)


def test_a_threshold_below_zero_draws_no_negative_bias_current():
    net = random_network(0, cells=(1,))
    block = net.parameters.blocks[0]
    fields = {
        "candidate": (block.candidate.weight, block.candidate.bias),
        "beta1": -3.0,
        "delta": 0.5,
        "alpha": 0.25,
        "post": (block.post.weight, block.post.bias),
    }
    low = Network.from_arrays(
        (net.parameters.pre.weight, net.parameters.pre.bias),
        [fields],
        (net.parameters.classifier.weight, net.parameters.classifier.bias),
    )
    assert power.estimate(low, low.run(random_features(low, 5))).branches["bias"] == 0.75


def test_every_current_goes_with_the_unit_current():
    net = random_network(1)
    trace = net.run(random_features(net, 50))
    at_1, at_4 = power.estimate(net, trace), power.estimate(net, trace, unit_na=4.0)
    assert not at_1.extrapolated
    assert at_4.extrapolated
    assert at_4.cells_nw == 4 * at_1.cells_nw
    assert at_4.feedforward_nw == 4 * at_1.feedforward_nw
    assert at_4.classifier_nw == 4 * at_1.classifier_nw
    assert at_4.branches == {name: 4 * value for name, value in at_1.branches.items()}
    assert at_4.at_unit(1.0) == at_1


def test_an_estimate_is_at_1_na_in_frames_of_10_ms_unless_told() -> None:
    estimate = power.PowerEstimate((), 1.0, 2.0, 50)
    assert (estimate.unit_na, estimate.frame_s, estimate.seconds) == (1.0, 0.01, 0.5)
    assert not estimate.extrapolated
    assert estimate.classifier_nw == pytest.approx(1.8 * (3.29 + 2 * 2.34), rel=1e-12)


def test_an_empty_trace_gives_the_power_at_rest():
    net = random_network(2)
    rest = power.estimate(net, net.run(random_features(net, 0)))
    assert rest.frames == rest.seconds == 0
    assert rest.branches["candidate"] == rest.branches["state"] == 0
    blocks = net.parameters.blocks
    positive = sum(np.maximum(block.candidate.bias, 0).sum() for block in blocks)
    assert rest.branches["positive"] == pytest.approx(positive, rel=1e-12)
    assert power.Activity(net.parameters).recent(net) == rest


@pytest.mark.parametrize("bad", [0, -1.0, np.nan, np.inf, "much", None])
def test_a_unit_current_or_frame_that_is_not_above_zero_is_refused(bad):
    net = random_network(0)
    trace = net.run(random_features(net, 2))
    with pytest.raises(ParameterError, match="unit_na"):
        power.estimate(net, trace, unit_na=bad)
    with pytest.raises(ParameterError, match="frame_s"):
        power.estimate(net, trace, frame_s=bad)


@pytest.mark.parametrize("other", [{"cells": (4,)}, {"cells": (4, 5)}, {"width": 3}])
def test_the_trace_of_another_network_is_refused(other):
    net, other = random_network(0), random_network(0, **other)
    with pytest.raises(InputError, match="this network"):
        power.estimate(net, other.run(random_features(other, 3)))


def test_activity_is_asked_with_its_own_network():
    activity = power.Activity(random_network(0).parameters)
    with pytest.raises(ParameterError, match="another"):
        activity.estimate(random_network(1))


@pytest.mark.filterwarnings("error")
def test_currents_that_overflow_are_refused():
    net = random_network(0, scale=1e200, cells=(2,))
    frames = np.full((3, 4), 1e200)
    trace = Trace(np.zeros((3, 2)), [frames], [frames[:, :2]], [frames[:, :2]], [frames[:, :2] > 0])
    with pytest.raises(InputError, match="overflow"):
        power.estimate(net, trace)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    frames=st.integers(0, 420),
    cuts=st.lists(st.integers(0, 420), max_size=12),
    width=st.sampled_from([1, 4, 17]),
)
def test_any_split_of_a_run_gives_the_same_estimate(frames, cuts, width):
    net = random_network(frames, width=width, cells=(width, 3))
    whole = net.run(random_features(net, frames))
    activity = power.Activity(net.parameters)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), frames], strict=True):
        activity.add(sliced(whole, start, min(stop, frames)))
        activity.estimate(net)  # asking changes nothing
    assert activity.frames == frames
    assert activity.estimate(net) == power.estimate(net, whole)
    last = sliced(whole, max(frames - 100, 0), frames)
    assert activity.recent(net, 100) == power.estimate(net, last)


def test_frame_by_frame_equals_the_whole_run_and_reset_equals_new():
    net = random_network(7)
    features = random_features(net, 300)
    activity = power.Activity(net.parameters)
    for _ in range(2):
        stream = net.stream()
        for frame in features:
            activity.add(stream.advance(frame[None]))
        assert activity.estimate(net) == power.estimate(net, net.run(features))
        activity.reset()
        assert activity.estimate(net) == power.Activity(net.parameters).estimate(net)


@pytest.mark.parametrize("frames", [0, 129])
def test_recent_covers_one_group_of_frames_at_most(frames):
    net = random_network(0)
    with pytest.raises(ParameterError, match="1 to 128"):
        power.Activity(net.parameters).recent(net, frames)


@pytest.mark.parametrize("block", [1, 130])
def test_memory_stays_bounded_over_a_long_run(block):
    net = random_network(0)
    trace = net.run(random_features(net, block))
    activity = power.Activity(net.parameters)

    def feed():
        for _ in range(2000):
            activity.add(sliced(trace, 0, block))

    feed()
    tracemalloc.start()
    feed()
    before = tracemalloc.get_traced_memory()[0]
    feed()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 300_000  # 2,000 kept frames of this network would be 380 kB in arrays alone


def test_power_imports_numpy_alone():
    code = "import sys, kws_stream.power; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    rooms = {name.split(".")[0] for name in loaded.stdout.split()}
    assert "numpy" in rooms
    assert not rooms & {"rich", "scipy", "onnxruntime", "sounddevice", "librosa", "click"}
    assert "kws_stream.network" not in loaded.stdout.split()
