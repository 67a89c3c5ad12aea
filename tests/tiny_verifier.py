"""A verifier with graphs of a few operations: what it says depends on all that the real one hears.

The spectra are sums of samples; an embedding is a product of 76 of them with random weights.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kws_stream import packs
from kws_stream.verifier import Graphs, Head, head_bytes
from kws_stream.verifier.embedding import EMBEDDING, MEL, PACKAGE
from tests.pack_factory import build_pack

FLOAT = TensorProto.FLOAT


def _graph(
    nodes: list[Any], name: str, shape: list[Any], out: list[Any], arrays: dict[str, Any]
) -> bytes:
    stored = [numpy_helper.from_array(array, key) for key, array in arrays.items()]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, FLOAT, shape)],
        [helper.make_tensor_value_info("out", FLOAT, out)],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def tiny_graphs(seed: int = 0) -> Graphs:
    rng = np.random.default_rng(seed)
    bands = (rng.standard_normal((1760, 256)) / 2e4).astype(np.float32)
    mel = _graph(
        [
            helper.make_node("MatMul", ["input", "bands"], ["sums"]),
            helper.make_node("Reshape", ["sums", "shape"], ["out"]),
        ],
        "input",
        [1, 1760],
        [8, 1, 1, 32],
        {"bands": bands, "shape": np.array([8, 1, 1, 32], np.int64)},
    )
    weights = (rng.standard_normal((76 * 32, 96)) / 20).astype(np.float32)
    embedding = _graph(
        [
            helper.make_node("Reshape", ["input_1", "flat"], ["row"]),
            helper.make_node("MatMul", ["row", "weights"], ["product"]),
            helper.make_node("Tanh", ["product"], ["curved"]),
            helper.make_node("Reshape", ["curved", "shape"], ["out"]),
        ],
        "input_1",
        ["n", 76, 32, 1],
        ["n", 1, 1, 96],
        {
            "flat": np.array([-1, 76 * 32], np.int64),
            "weights": weights,
            "shape": np.array([-1, 1, 1, 96], np.int64),
        },
    )
    return Graphs(mel, embedding)


def tiny_head(seeds: int = 2, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / 2).astype(np.float32)

    h, c, d = 4, 3, 5
    return Head(
        mean=array(96),
        scale=np.ones(96, np.float32),
        first=array(seeds, 3, 96, h),
        first_bias=array(seeds, h),
        second=array(seeds, 3, h, h),
        second_bias=array(seeds, h),
        kept=array(seeds, h, c),
        kept_bias=array(seeds, c),
        hidden=array(seeds, 16, c, d) / 4,
        hidden_bias=array(seeds, d),
        last=array(seeds, d),
        last_bias=array(seeds),
    )


def cascade_pack(directory: Path, threshold: float = 0.5, **fields: Any) -> Path:
    """A pack that triggers often, with a verifier for `tiny_graphs`."""
    plain = packs.load(build_pack(directory.with_name(directory.name + "-plain"), graphs=False))
    graphs = tiny_graphs()
    verifier = {
        "kind": "host",
        "threshold": threshold,
        "needs": {"package": PACKAGE, "files": graphs.checksums},
    }
    assert set(graphs.checksums) == {MEL, EMBEDDING}
    detector = {**plain.detector, "threshold": 0.0, "rearm": 1.0, "refractory_s": 0.3}
    manifest = {**plain.manifest, "name": directory.name, "verifier": verifier | fields}
    manifest["detector"] = detector
    return packs.save(directory, manifest, plain.network.parameters, head=head_bytes(tiny_head()))
