"""The network as one streaming ONNX graph: a frame and the state in, logits and the state out.

    features  (streams, n_features)  -> logits      (streams, K)
    state_l   (streams, d_l), bool   -> new_state_l (streams, d_l), bool       for each block l

One call is one frame of any number of independent streams. The numbers are of the float type in
which the network was proved exact, so every runtime that computes in that type gives the same bits.
The metadata hold the initial states, the classes and the input grid as JSON.

A runtime may compute more coarsely than the graph says: in bfloat16 or float16, or with weights
stored so. Two things keep that from passing quietly.

- Guard: every matrix product has one more row and column, whose result is known. It comes out right
  only where weights, activations and sums keep the 24 bits of float32; else all logits are NaN.
- Check: the metadata hold the frames and logits of `onnx_check` (`check`), to compare before use.
  They also find a runtime that computes in float32 where the graph says float64.
"""

import json
from typing import Any

import numpy as np

from firmware_sim.model import FirmwareModel
from kws_stream.errors import ParameterError
from kws_stream.export.onnx_check import check_frames
from kws_stream.onnx_writer import GraphWriter
from kws_stream.parameters import Layer, prove_exactness

# Odd numbers of 13 and 12 bits, whose product is 2^24 - 1: no coarser type than float32 holds it.
GUARD, GUARD_WEIGHT = 2**12 + 1, 2**12 - 1
_GUARD_STEP = 2  # what a block adds to the guard on the skip path: it stays odd


def _affine(graph: GraphWriter, x: str, layer: Layer, name: str, guard: tuple[int, int]) -> str:
    """x @ W + b with the guard as last column; guard: its value in x, and after."""
    before, after = guard
    weight = np.pad(layer.weight, ((0, 1), (0, 1)))
    weight[-1, -1] = GUARD_WEIGHT
    bias = np.append(layer.bias, after - before * GUARD_WEIGHT)
    return graph.affine(x, weight, bias, name, name)


def _columns(graph: GraphWriter, x: str, first: int, last: int, name: str) -> str:
    """x[:, first:last]"""
    ends = [
        graph.constant(f"{name}_{end}", [value], np.int64)
        for end, value in (("first", first), ("last", last), ("axis", 1))
    ]
    return graph.node("Slice", [x, *ends], name)


def streaming_graph(model: FirmwareModel) -> bytes:
    """The serialised ONNX model; the same model gives the same bytes.

    Raises MissingExtraError without the onnx package, ParameterError for a network that may round.
    """
    parameters = model.parameters
    exactness = prove_exactness(parameters)
    if not exactness.exact:
        raise ParameterError(f"network: need an exact one, got {exactness.reason}")
    graph = GraphWriter(exactness.dtype, "streams")
    graph.input("features", parameters.n_features)
    graph.output("logits", parameters.n_classes)
    guard = GUARD - _GUARD_STEP * len(parameters.blocks)  # so that it ends as GUARD
    # a column of GUARD beside the features, made from them, so that no runtime computes it ahead
    one = _columns(graph, "features", 0, 1, "any_feature")
    one = graph.node("Equal", [one, one], "guard_begins")  # but for NaN
    begin = [graph.constant(f"guard_{value}", [value]) for value in (GUARD, 0)]
    one = graph.node("Where", [one, *begin], "first_guard")
    x = graph.node("Concat", ["features", one], "guarded_features", axis=1)
    x = _affine(graph, x, parameters.pre, "pre", (GUARD, guard))
    for index, block in enumerate(parameters.blocks):
        name, state, new = f"block{index}", f"state_{index}", f"new_state_{index}"
        graph.input(state, block.cells, bits=True)
        graph.output(new, block.cells, bits=True)
        rectified = graph.node("Relu", [x], f"{name}_input")
        sums = _affine(graph, rectified, block.candidate, f"{name}_sum", (guard, GUARD))
        sums = graph.node("Relu", [sums], f"{name}_sums")
        candidate = _columns(graph, sums, 0, block.cells, f"{name}_candidate")
        beside = _columns(graph, sums, block.cells, block.cells + 1, f"{name}_guard")
        beta1 = graph.constant(f"{name}_beta1", block.beta1)
        beta2 = graph.constant(f"{name}_beta2", block.beta2)
        threshold = graph.node("Where", [state, beta1, beta2], f"{name}_threshold")
        graph.node("GreaterOrEqual", [candidate, threshold], new)
        alpha = graph.constant(f"{name}_alpha", block.alpha)
        zero = graph.constant(f"{name}_zero", np.zeros(block.cells))
        current = graph.node("Where", [new, alpha, zero], f"{name}_current")
        current = graph.node("Concat", [current, beside], f"{name}_currents", axis=1)
        post = _affine(graph, current, block.post, f"{name}_post", (GUARD, _GUARD_STEP))
        post = graph.node("Relu", [post], f"{name}_output")
        x = graph.node("Add", [x, post], f"{name}_skip")
        guard += _GUARD_STEP
    scores = _affine(graph, x, parameters.classifier, "classifier", (guard, 1))
    right = _columns(graph, scores, parameters.n_classes, parameters.n_classes + 1, "guard")
    right = graph.node("Equal", [right, graph.constant("one", [1.0])], "guard_holds")
    scores = _columns(graph, scores, 0, parameters.n_classes, "scores")
    graph.node("Where", [right, scores, graph.constant("refused", [np.nan])], "logits")
    return graph.model("kws_stream", _facts(model))


def _facts(model: FirmwareModel) -> dict[str, str]:
    """The metadata, each as JSON."""
    grid = model.parameters.input_grid
    assert grid is not None  # or it would not be exact
    features, logits = check_frames(model.parameters)
    facts = {
        "model": f"{model.name} {model.version}",
        "classes": list(model.classes),
        "input_grid": {"step": grid.step, "low": grid.low, "high": grid.high},
        "initial_state": [[int(z) for z in b.initial_state] for b in model.parameters.blocks],
        "frame_ms": model.detector.frame_ms,
        "check": {"features": features.tolist(), "logits": logits.tolist()},
    }
    return {name: json.dumps(fact) for name, fact in facts.items()}


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
