"""Packs from strangers: what they hold can neither hang a reader nor fill its memory."""

import contextlib
import io
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from kws_stream import packs
from kws_stream.errors import PackError, ParameterError
from kws_stream.graphs import check_graph
from kws_stream.layers import OnnxLayers
from kws_stream.packs.arrays import network_bytes, parse_network
from kws_stream.packs.loading import list_packs, models_dir
from kws_stream.parameters import NetworkParameters
from kws_stream.verifier.arrays import archive_arrays, archive_bytes
from tests.pack_factory import random_network

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
from kws_stream.packs.stage_graphs import stage_graphs  # noqa: E402

NETWORK = random_network(5)
FIRST = [NETWORK.parameters.pre, NETWORK.parameters.blocks[0].candidate]
SHAPES = [array.shape for layer in FIRST for array in (layer.weight, layer.bias)]


def swollen(data: bytes, size: int) -> bytes:
    """A network's archive whose first array unpacks to `size` bytes more than it says."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for number, member in enumerate(old.infolist()):
            content = old.read(member)
            if number:
                new.writestr(member.filename, content)
                continue
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = packer.compress(content + bytes(size)) + packer.flush()
            with new.open(zipfile.ZipInfo(member.filename), "w") as file:
                file.write(packed)
            info = new.infolist()[-1]
            info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, len(content)
            info.CRC = zlib.crc32(content)
    return out.getvalue()


def test_an_array_that_unpacks_to_more_than_it_says_takes_no_memory() -> None:
    grid = NETWORK.parameters.input_grid
    data = swollen(network_bytes(NETWORK.parameters), 2**28)
    tracemalloc.start()
    with contextlib.suppress(ParameterError):
        parse_network(data, {"step": grid.step, "low": grid.low, "high": grid.high})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_an_array_of_a_verifier_that_unpacks_to_more_than_it_says_takes_no_memory() -> None:
    data = swollen(archive_bytes({"weight": np.ones(4)}), 2**28)
    tracemalloc.start()
    with contextlib.suppress(ParameterError):
        archive_arrays(data, "head")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_million_cells_are_refused_before_anything_is_proven() -> None:
    cells = 2**16 + 1
    thin = NetworkParameters.from_arrays(
        ([[1.0]], [0.0]),
        [
            {
                "candidate": (np.ones((1, cells)), np.zeros(cells)),
                "beta1": np.ones(cells),
                "delta": np.ones(cells),
                "alpha": np.ones(cells),
                "post": (np.ones((cells, 1)), [0.0]),
            }
        ],
        ([[1.0]], [0.0]),
        (1.0, 0.0, 1.0),
    )
    with pytest.raises(ParameterError, match="axes of 65536 at most"):
        parse_network(network_bytes(thin), {"step": 1.0, "low": 0.0, "high": 1.0})


@pytest.mark.parametrize("name", list_packs())
def test_every_shipped_graph_is_taken(name: str) -> None:
    network = packs.load(name).network
    graphs = [path.read_bytes() for path in sorted((models_dir() / name).glob("stage*.onnx"))]
    OnnxLayers(graphs, network.parameters, network.exactness.dtype)


def model_of(nodes: list[object], arrays: dict[str, np.ndarray], **more: object) -> bytes:
    helper = onnx.helper
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, ["frames", 5])],
        [helper.make_tensor_value_info(name, kind, ["frames", 8]) for name in ("skip", "out")],
        initializer=[onnx.numpy_helper.from_array(a, name) for name, a in arrays.items()],
        **more,
    )
    return helper.make_model(graph, ir_version=8).SerializeToString()


def node(kind: str, *names: str, **attributes: object) -> object:
    return onnx.helper.make_node(kind, list(names[:-1]), [names[-1]], **attributes)


def endless() -> bytes:
    body = onnx.helper.make_graph(
        [node("Identity", "c_in", "c_out")],
        "body",
        [
            onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            onnx.helper.make_tensor_value_info("c_in", onnx.TensorProto.BOOL, []),
        ],
        [onnx.helper.make_tensor_value_info("c_out", onnx.TensorProto.BOOL, [])],
    )
    loop = onnx.helper.make_node("Loop", ["", "c"], [], body=body)
    return model_of([loop, node("Relu", "x", "skip")], {})


def strange() -> dict[str, bytes]:
    shape = np.array([2**30], np.int64)
    weight, huge = np.ones((5, 8), np.float32), np.ones((2**20, 1), np.float32)
    relu = node("Relu", "x", "skip")
    outside = onnx.numpy_helper.from_array(weight, "w")
    onnx.external_data_helper.set_external_data(outside, "/etc/passwd")
    outside.ClearField("raw_data")
    model = onnx.ModelProto.FromString(model_of([relu], {}))
    model.graph.initializer.append(outside)
    foreign = onnx.ModelProto.FromString(model_of([relu], {}))
    foreign.graph.node[0].domain = "com.microsoft"
    functions = onnx.ModelProto.FromString(model_of([relu], {}))
    functions.functions.add().name = "Relu"
    twice = model_of([relu], {})
    return {
        "a loop": endless(),
        "a constant": model_of([node("ConstantOfShape", "s", "skip")], {"s": shape}),
        "a large array": model_of([node("Add", "x", "w", "skip")], {"w": huge}),
        "an attribute": model_of([node("Relu", "x", "skip", alpha=1.0)], {}),
        "integers": model_of([node("Add", "x", "w", "skip")], {"w": np.ones((5, 8), np.int64)}),
        "many nodes": model_of([node("Relu", "x", f"y{i}") for i in range(17)], {}),
        "data elsewhere": model.SerializeToString(),
        "other operators": foreign.SerializeToString(),
        "functions": functions.SerializeToString(),
        "two graphs": twice + twice,
        "cut": twice[:-3],
        "nothing": b"",
        "groups": b"\x0b\x0c" + twice,
        "a long number": b"\x08" + b"\xff" * 11,
    }


@pytest.mark.parametrize("name", strange())
def test_graphs_that_are_more_than_ours_are_refused_before_they_run(name: str) -> None:
    with pytest.raises(ParameterError):
        check_graph(strange()[name], SHAPES)
    graphs = stage_graphs(NETWORK.parameters, NETWORK.exactness.dtype)
    with pytest.raises(PackError, match="export the graphs again"):
        OnnxLayers([strange()[name], *graphs[1:]], NETWORK.parameters, NETWORK.exactness.dtype)


def test_any_changed_byte_is_a_sentence_or_a_graph(tmp_path: Path) -> None:
    graphs = stage_graphs(NETWORK.parameters, NETWORK.exactness.dtype)
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(graphs[0])
        data[rng.integers(len(data))] = rng.integers(256)
        try:
            layers = OnnxLayers(
                [bytes(data), *graphs[1:]], NETWORK.parameters, NETWORK.exactness.dtype
            )
            layers.stage(0, np.zeros((4, NETWORK.parameters.n_features)), None)
        except PackError:
            continue
