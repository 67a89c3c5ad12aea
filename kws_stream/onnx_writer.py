"""Writing ONNX models: nodes and constants in order, checked, the same bytes each time."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kws_stream.errors import MissingExtraError

OPSET = 17
IR_VERSION = 8  # what ONNX Runtime 1.17, the oldest one allowed, reads with room to spare


def _import_onnx() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "exporting ONNX graphs needs the onnx package, which is not installed; "
            "pip install 'kws-stream[onnx]'"
        ) from error
    module: ModuleType = onnx
    return module


class GraphWriter:
    """One graph: its nodes in the order in which they run, constants, inputs and outputs.

    Rows of all inputs and outputs are any number of `rows`, such as "frames". Raises
    MissingExtraError without the onnx package.
    """

    def __init__(self, dtype: DTypeLike, rows: str) -> None:
        """dtype: of all numbers, float32 or float64."""
        self._onnx = _import_onnx()
        self._dtype = np.dtype(dtype)
        self._rows = rows
        self._nodes: list[object] = []
        self._constants: list[object] = []
        self._inputs: list[object] = []
        self._outputs: list[object] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        """A node of one output, which gives it its name."""
        made = self._onnx.helper.make_node(kind, inputs, [output], name=output, **attributes)
        self._nodes.append(made)
        return output

    def constant(self, name: str, values: ArrayLike, dtype: DTypeLike | None = None) -> str:
        """An array, of the type of all numbers unless told."""
        array = np.ascontiguousarray(values, self._dtype if dtype is None else dtype)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def affine(self, x: str, weight: ArrayLike, bias: ArrayLike, name: str, output: str) -> str:
        """``x @ weight + bias``; the arrays hold no -0.0."""
        product = self.node(
            "MatMul", [x, self.constant(f"{name}_weight", weight)], f"{name}_product"
        )
        return self.node("Add", [product, self.constant(f"{name}_bias", bias)], output)

    def input(self, name: str, width: int, *, bits: bool = False) -> str:
        """An input (rows, width), of the type of all numbers or of bits."""
        self._inputs.append(self._end(name, width, bits))
        return name

    def output(self, name: str, width: int, *, bits: bool = False) -> None:
        self._outputs.append(self._end(name, width, bits))

    def _end(self, name: str, width: int, bits: bool) -> object:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(bool) if bits else self._dtype)
        return self._onnx.helper.make_tensor_value_info(name, kind, [self._rows, width])

    def model(self, name: str, metadata: Mapping[str, str] | None = None) -> bytes:
        """The serialised model, once onnx's own checker has passed it."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, initializer=self._constants
        )
        made: Any = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="kws-stream",
        )
        if metadata:
            helper.set_model_props(made, dict(metadata))
        self._onnx.checker.check_model(made, full_check=True)
        return bytes(made.SerializeToString(deterministic=True))
