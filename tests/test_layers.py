"""The feedforward layers: ONNX graphs and NumPy give the same bits; broken graphs are refused."""

import sys

import numpy as np
import onnx
import pytest

from kws_stream.errors import InputError, MissingExtraError, PackError
from kws_stream.layers import MatmulLayers, OnnxLayers, OrderedLayers
from kws_stream.network import ONNX_MIN_FRAMES, Network
from kws_stream.packs.stage_graphs import stage_graphs

N, M, D, K = 11, 8, (7, 5), 3
FRAMES = (1, 2, ONNX_MIN_FRAMES - 1, ONNX_MIN_FRAMES, ONNX_MIN_FRAMES + 1, 100)


def network(feature_bits: int = 6, weight_bits: int = 4, grid: bool = True) -> Network:
    rng = np.random.default_rng(3)
    high, limit = 2 ** (weight_bits - 1), 2 ** (feature_bits - 1)

    def layer(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
        weight = rng.integers(-high, high, (n_in, n_out))
        return weight / high, rng.integers(-4, 5, n_out) / high

    blocks = [
        {
            "candidate": layer(M, d),
            "beta1": rng.integers(0, high, d) / high,
            "delta": rng.integers(0, high, d) / high,
            "alpha": rng.integers(0, 8, d) / 8,
            "post": layer(d, M),
        }
        for d in D
    ]
    input_grid = (1 / limit, -1.0, 1.0) if grid else None
    return Network.from_arrays(layer(N, M), blocks, layer(M, K), input_grid)


SMALL, WIDE = network(), network(12, 10)


def features(frames: int, bits: int = 6) -> np.ndarray:
    limit = 2 ** (bits - 1)
    return np.random.default_rng(frames).integers(-limit, limit + 1, (frames, N)) / limit


def graphs_of(net: Network) -> list[bytes]:
    return stage_graphs(net.parameters, net.exactness.dtype)


def all_bytes(trace) -> list[bytes]:
    wires = [trace.logits, *trace.inputs, *trace.candidates, *trace.states, *trace.bits]
    return [wire.tobytes() for wire in wires]


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize(
    ("net", "dtype", "bits"), [(SMALL, "float32", 6), (WIDE, "float64", 12)], ids=["f32", "f64"]
)
def test_onnx_runtime_and_numpy_give_the_same_bits(net, dtype, bits, frames, monkeypatch) -> None:
    assert (net.exactness.exact, net.exactness.dtype) == (True, dtype)
    calls = []
    stage = OnnxLayers.stage

    def counted(self, index, x, states):
        calls.append(index)
        return stage(self, index, x, states)

    monkeypatch.setattr(OnnxLayers, "stage", counted)
    with_graphs = Network(net.parameters, graphs_of(net))
    x = features(frames, bits)
    expected = all_bytes(net.run(x))
    assert all_bytes(with_graphs.run(x)) == expected
    assert all_bytes(with_graphs.run(np.asfortranarray(x))) == expected
    assert calls == ([0, 1, 2] * 2 if frames >= ONNX_MIN_FRAMES else [])


@pytest.mark.parametrize(
    ("net", "dtype"), [(SMALL, "float32"), (WIDE, "float64")], ids=["f32", "f64"]
)
def test_each_stage_alone_is_equal_in_all_three_forms(net: Network, dtype: str) -> None:
    rng = np.random.default_rng(0)
    forms = [
        MatmulLayers(net.parameters),
        OnnxLayers(graphs_of(net), net.parameters, dtype),
        OrderedLayers(net.parameters),
    ]
    for frames in (1, 5, 64):
        x, states = features(frames), None
        for index in range(3):
            results = [form.stage(index, x, states) for form in forms]
            for skip, out in results[1:]:
                assert skip.dtype == out.dtype == np.float64
                assert skip.tobytes() == results[0][0].tobytes()
                assert out.tobytes() == results[0][1].tobytes()
            x = results[0][0]
            if index < 2:
                alpha = net.parameters.blocks[index].alpha
                states = alpha * (rng.random((frames, len(alpha))) < 0.5)


def test_a_network_without_blocks_is_one_graph() -> None:
    net = Network.from_arrays(([[0.5, 1.0]], [0.0, 1.0]), [], ([[1.0], [-1.0]], [2.0]), (1, -4, 4))
    graphs = graphs_of(net)
    assert len(graphs) == 1
    x = np.random.default_rng(0).integers(-4, 5, (100, 1))
    assert all_bytes(Network(net.parameters, graphs).run(x)) == all_bytes(net.run(x))


def test_the_same_parameters_give_the_same_bytes() -> None:
    assert graphs_of(network()) == graphs_of(SMALL)


def test_graphs_are_plain_and_for_old_runtimes() -> None:
    for dtype, kind in (("float32", onnx.TensorProto.FLOAT), ("float64", onnx.TensorProto.DOUBLE)):
        graphs = stage_graphs(SMALL.parameters, dtype)
        assert len(graphs) == len(D) + 1
        for index, graph in enumerate(graphs):
            model = onnx.load_from_string(graph)
            onnx.checker.check_model(model, full_check=True)
            assert model.ir_version == 8
            assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
            assert {node.op_type for node in model.graph.node} <= {"MatMul", "Add", "Relu"}
            names = [end.name for end in model.graph.input]
            assert names == (["x"] if index == 0 else ["x", "states"])
            assert [end.name for end in model.graph.output] == ["skip", "out"]
            for end in [*model.graph.input, *model.graph.output]:
                assert end.type.tensor_type.elem_type == kind
                assert end.type.tensor_type.shape.dim[0].dim_param == "frames"
            for tensor in model.graph.initializer:
                array = onnx.numpy_helper.to_array(tensor)
                assert not np.signbit(array[array == 0]).any()


def test_graphs_are_not_used_where_sums_may_round() -> None:
    inexact = network(grid=False)
    with_graphs = Network(inexact.parameters, stage_graphs(inexact.parameters, "float64"))
    x = np.random.default_rng(0).normal(size=(100, N))
    expected = all_bytes(inexact.run(x))
    assert all_bytes(with_graphs.run(x)) == expected
    assert OrderedLayers(inexact.parameters).stage(0, x, None)[0].tobytes() == expected[1]


@pytest.mark.parametrize(
    "graphs",
    [
        graphs_of(SMALL)[:2],
        [*graphs_of(SMALL), graphs_of(SMALL)[0]],
        graphs_of(SMALL)[::-1],
        stage_graphs(SMALL.parameters, "float64"),
        graphs_of(Network.from_arrays(([[1.0]], [0.0]), [], ([[1.0]], [0.0]), (1, -1, 1))),
    ],
    ids=["too few", "too many", "reversed", "other type", "other network"],
)
def test_graphs_that_do_not_fit_the_arrays_are_refused(graphs) -> None:
    with pytest.raises(PackError, match="the ONNX graphs do not fit the network's arrays"):
        Network(SMALL.parameters, graphs).run(features(ONNX_MIN_FRAMES))


@pytest.mark.parametrize("garbage", [b"", b"garbage", graphs_of(SMALL)[0][:200]])
def test_graphs_that_are_not_onnx_are_refused(garbage: bytes) -> None:
    with pytest.raises(PackError, match="ONNX"):
        Network(SMALL.parameters, [garbage, *graphs_of(SMALL)[1:]]).run(features(ONNX_MIN_FRAMES))


def test_a_stage_whose_sum_overflows_is_refused() -> None:
    net = Network.from_arrays(([[1e308], [1e308]], [0.0]), [], ([[1.0]], [0.0]))
    with pytest.raises(InputError, match="overflowed float64"):
        OrderedLayers(net.parameters).stage(0, np.ones((1, 2)), None)


def test_exporting_without_onnx_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"kws-stream\[onnx\]"):
        stage_graphs(SMALL.parameters, "float32")
