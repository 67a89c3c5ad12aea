"""The feedforward stages of a network as ONNX graphs, one a stage (see kws_stream/layers.py).

Stage 0 has the input "x" (T, n_features); the others have "x" (T, m) and "states" (T, d). The
outputs are "skip" (T, m) and "out", (T, d) candidates or, in the last stage, (T, K) logits. T is
free. A graph holds MatMul, Add and Relu alone, in the float type of the exactness proof, so ONNX
Runtime may fuse and reorder them without changing a bit.
"""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from kws_stream.errors import MissingExtraError
from kws_stream.parameters import Layer, NetworkParameters

OPSET = 17
IR_VERSION = 8  # what ONNX Runtime 1.17, the oldest one allowed, reads with room to spare


def _import_onnx() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "exporting ONNX graphs needs the onnx package, which is not installed; "
            "pip install 'kws-stream[train]'"
        ) from error
    module: ModuleType = onnx
    return module


class _Graph:
    """The nodes of one stage, in the order in which they run."""

    def __init__(self, onnx: ModuleType, dtype: np.dtype[Any]) -> None:
        self._onnx = onnx
        self._dtype = dtype
        self._nodes: list[object] = []
        self._constants: list[object] = []

    def node(self, kind: str, inputs: list[str], output: str) -> str:
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], name=output))
        return output

    def affine(self, x: str, layer: Layer, name: str, output: str) -> str:
        """``x @ weight + bias``; the arrays of a Layer hold no -0.0."""
        for suffix, array in (("weight", layer.weight), ("bias", layer.bias)):
            self._constants.append(
                self._onnx.numpy_helper.from_array(
                    np.ascontiguousarray(array, self._dtype), f"{name}_{suffix}"
                )
            )
        product = self.node("MatMul", [x, f"{name}_weight"], f"{name}_product")
        return self.node("Add", [product, f"{name}_bias"], output)

    def model(self, name: str, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """Serialised model; inputs and outputs map a name to its width."""
        helper = self._onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(self._dtype)

        def ends(widths: dict[str, int]) -> list[object]:
            return [
                helper.make_tensor_value_info(end, kind, ["frames", width])
                for end, width in widths.items()
            ]

        graph = helper.make_graph(
            self._nodes, name, ends(inputs), ends(outputs), initializer=self._constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="kws-stream",
        )
        self._onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def stage_graphs(parameters: NetworkParameters, dtype: DTypeLike) -> list[bytes]:
    """One serialised ONNX model a stage, for `Network(parameters, graphs)`.

    dtype: float32 or float64, the `exactness.dtype` of the network. The same parameters give the
    same bytes. Raises MissingExtraError without the onnx package.
    """
    onnx = _import_onnx()
    blocks = parameters.blocks
    graphs = []
    for index in range(len(blocks) + 1):
        graph = _Graph(onnx, np.dtype(dtype))
        if index == 0:
            inputs = {"x": parameters.n_features}
            graph.affine("x", parameters.pre, "pre", "skip")
        else:
            block = blocks[index - 1]
            inputs = {"x": parameters.width, "states": block.cells}
            graph.affine("states", block.post, "post", "post")
            graph.node("Relu", ["post"], "post_relu")
            graph.node("Add", ["x", "post_relu"], "skip")
        if index < len(blocks):
            out = blocks[index].cells
            graph.node("Relu", ["skip"], "skip_relu")
            graph.affine("skip_relu", blocks[index].candidate, "candidate", "candidate")
            graph.node("Relu", ["candidate"], "out")
        else:
            out = parameters.n_classes
            graph.affine("skip", parameters.classifier, "classifier", "out")
        graphs.append(graph.model(f"stage_{index}", inputs, {"skip": parameters.width, "out": out}))
    return graphs
