"""The network as one streaming ONNX graph: a frame and the state in, logits and the state out.

    features  (streams, n_features)  -> logits      (streams, K)
    state_l   (streams, d_l), bool   -> new_state_l (streams, d_l), bool       for each block l

One call is one frame of any number of independent streams. The numbers are of the float type in
which the network was proved exact, so every runtime gives the same bits. The metadata hold the
initial states, the classes and the input grid as JSON.
"""

import json
from types import ModuleType
from typing import Any

import numpy as np

from kws_stream.errors import MissingExtraError, ParameterError
from kws_stream.parameters import Layer, prove_exactness

from .model import FirmwareModel

OPSET = 17
IR_VERSION = 8


def _import_onnx() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "exporting an ONNX graph needs the onnx package, which is not installed; "
            "pip install 'kws-stream[onnx]'"
        ) from error
    module: ModuleType = onnx
    return module


class _Graph:
    def __init__(self, onnx: ModuleType, dtype: np.dtype[Any]) -> None:
        self._onnx = onnx
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any) -> str:
        array = np.ascontiguousarray(values, self.dtype)
        self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str) -> str:
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [output], name=output))
        return output

    def affine(self, x: str, layer: Layer, name: str) -> str:
        product = self.node(
            "MatMul", [x, self.constant(f"{name}_weight", layer.weight)], f"{name}_product"
        )
        out = "logits" if name == "classifier" else name
        return self.node("Add", [product, self.constant(f"{name}_bias", layer.bias)], out)


def streaming_graph(model: FirmwareModel) -> bytes:
    """The serialised ONNX model; the same model gives the same bytes.

    Raises MissingExtraError without the onnx package, ParameterError for a network that may round.
    """
    onnx = _import_onnx()
    parameters = model.parameters
    exactness = prove_exactness(parameters)
    if not exactness.exact:
        raise ParameterError(f"network: need an exact one, got {exactness.reason}")
    graph = _Graph(onnx, np.dtype(exactness.dtype))
    kind = onnx.helper.np_dtype_to_tensor_dtype(graph.dtype)

    def end(name: str, width: int, type_: int = kind) -> Any:
        return onnx.helper.make_tensor_value_info(name, type_, ["streams", width])

    inputs, outputs = [end("features", parameters.n_features)], []
    x = graph.affine("features", parameters.pre, "pre")
    for index, block in enumerate(parameters.blocks):
        name, state, new = f"block{index}", f"state_{index}", f"new_state_{index}"
        inputs.append(end(state, block.cells, onnx.TensorProto.BOOL))
        outputs.append(end(new, block.cells, onnx.TensorProto.BOOL))
        rectified = graph.node("Relu", [x], f"{name}_input")
        candidate = graph.affine(rectified, block.candidate, f"{name}_sum")
        candidate = graph.node("Relu", [candidate], f"{name}_candidate")
        beta1 = graph.constant(f"{name}_beta1", block.beta1)
        beta2 = graph.constant(f"{name}_beta2", block.beta2)
        threshold = graph.node("Where", [state, beta1, beta2], f"{name}_threshold")
        graph.node("GreaterOrEqual", [candidate, threshold], new)
        alpha = graph.constant(f"{name}_alpha", block.alpha)
        zero = graph.constant(f"{name}_zero", np.zeros(block.cells))
        current = graph.node("Where", [new, alpha, zero], f"{name}_current")
        post = graph.affine(current, block.post, f"{name}_post")
        post = graph.node("Relu", [post], f"{name}_output")
        x = graph.node("Add", [x, post], f"{name}_skip")
    graph.affine(x, parameters.classifier, "classifier")
    outputs.insert(0, end("logits", parameters.n_classes))
    return _serialise(onnx, graph, model, inputs, outputs)


def _serialise(
    onnx: ModuleType, graph: _Graph, model: FirmwareModel, inputs: list[Any], outputs: list[Any]
) -> bytes:
    made = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes, "kws_stream", inputs, outputs, initializer=graph.constants
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="kws-stream",
    )
    grid = model.parameters.input_grid
    assert grid is not None  # or it would not be exact
    facts = {
        "model": f"{model.name} {model.version}",
        "classes": list(model.classes),
        "input_grid": {"step": grid.step, "low": grid.low, "high": grid.high},
        "initial_state": [[int(z) for z in b.initial_state] for b in model.parameters.blocks],
        "frame_ms": model.detector.frame_ms,
    }
    onnx.helper.set_model_props(made, {name: json.dumps(fact) for name, fact in facts.items()})
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString(deterministic=True))


def run_streaming(
    graph: bytes, features: np.ndarray[Any, Any], initial: list[np.ndarray[Any, Any]]
) -> tuple[np.ndarray[Any, Any], list[np.ndarray[Any, Any]]]:
    """ONNX Runtime over features (S, T, n), a frame a call: logits (S, T, K), bits (S, T, d)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph, sess_options=options, providers=["CPUExecutionProvider"]
    )
    kind = np.float32 if session.get_inputs()[0].type == "tensor(float)" else np.float64
    states = [np.broadcast_to(bits, (len(features), len(bits))).copy() for bits in initial]
    logits, history = [], []
    for t in range(features.shape[1]):
        feed = {"features": np.ascontiguousarray(features[:, t], kind)}
        feed |= {f"state_{index}": state for index, state in enumerate(states)}
        frame, *states = session.run(None, feed)
        logits.append(frame.astype(np.float64))
        history.append(states)
    bits = [np.stack([states[b] for states in history], 1) for b in range(len(initial))]
    return np.stack(logits, 1), bits
