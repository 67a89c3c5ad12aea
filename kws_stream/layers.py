"""The feedforward layers between the cells: three ways to compute them, and when each is used.

A network of L blocks has L + 1 stages (equations of arXiv:2605.15216):

    stage 0        features -> x = W_0·f + b_0,              candidates of block 0
    stage l        x, h     -> x + relu(W_p·h + b_p),        candidates of block l
    stage L        x, h     -> x + relu(W_p·h + b_p),        logits = W_y·x + b_y

with candidates relu(W_c·relu(x) + b_c). A network without blocks has one stage.

`MatmulLayers` and `OnnxLayers` may add in any order, so they serve networks that are proven exact;
`OrderedLayers` serves all others and fixes the order.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kws_stream.errors import InputError, PackError, ParameterError
from kws_stream.graphs import NoGraphError, check_graph
from kws_stream.parameters import Layer, NetworkParameters

Array = NDArray[np.float64]

ZERO = np.array(0.0)  # for one frame, a number of Python's costs twice as much


class FeedforwardLayers(Protocol):
    """Stage `index` on a block of frames; (T, width) of the skip path and (T, d) or (T, K) out.

    All arrays are float64, whatever a layer computes in.
    """

    def stage(self, index: int, x: Array, states: Array | None) -> tuple[Array, Array]:
        """`x` is (T, n_features) and `states` None in stage 0; else (T, m) and (T, d)."""
        ...


class _NumpyLayers(ABC):
    """The stages in NumPy; `affine` is left to the subclass."""

    def __init__(self, parameters: NetworkParameters) -> None:
        self._pre = parameters.pre
        self._posts = [block.post for block in parameters.blocks]
        self._outputs = [block.candidate for block in parameters.blocks]
        self._outputs.append(parameters.classifier)

    @abstractmethod
    def affine(self, x: Array, layer: Layer) -> Array: ...

    def stage(self, index: int, x: Array, states: Array | None) -> tuple[Array, Array]:
        if states is None:
            x = self.affine(x, self._pre)
        else:
            post = self.affine(states, self._posts[index - 1])
            np.maximum(post, ZERO, out=post)
            x = np.add(x, post, out=post)
        if index == len(self._posts):
            return x, self.affine(x, self._outputs[index])
        candidates = self.affine(np.maximum(x, ZERO), self._outputs[index])
        return x, np.maximum(candidates, ZERO, out=candidates)


class MatmulLayers(_NumpyLayers):
    """Matrix products by NumPy's BLAS: exact for networks proven exact."""

    def affine(self, x: Array, layer: Layer) -> Array:
        out: Array = x.dot(layer.weight)  # for one frame, half the cost of the call x @ weight
        out += layer.bias
        return out


class OrderedLayers(_NumpyLayers):
    """float64 sums over the inputs in index order, bias last, each operation rounded by itself.

    The order is part of the result where sums round, so no split of a stream changes a bit.
    """

    def affine(self, x: Array, layer: Layer) -> Array:
        weight, bias = layer.weight, layer.bias
        total: Array = x[:, :1] * weight[0]
        for i in range(1, len(weight)):
            total += x[:, i : i + 1] * weight[i]
        total += bias
        return total

    def stage(self, index: int, x: Array, states: Array | None) -> tuple[Array, Array]:
        try:
            with np.errstate(over="raise", invalid="raise"):
                return super().stage(index, x, states)
        except FloatingPointError as error:
            raise InputError(
                "features: a sum overflowed float64; need smaller inputs or parameters"
            ) from error


def _signature(session: Any) -> list[tuple[str, str, Any]]:
    """(name, type, width) of each input and output of an ONNX Runtime session."""
    ends = [*session.get_inputs(), *session.get_outputs()]
    return [(end.name, end.type, end.shape[-1] if len(end.shape) == 2 else None) for end in ends]


def _signatures(
    parameters: NetworkParameters, dtype: DTypeLike
) -> list[list[tuple[str, str, Any]]]:
    """The `_signature` that the graph of each stage has to have."""
    kind = "tensor(float)" if np.dtype(dtype) == np.float32 else "tensor(double)"
    outs = [*(block.cells for block in parameters.blocks), parameters.n_classes]
    stages = []
    for index, out in enumerate(outs):
        if index == 0:
            ends = [("x", parameters.n_features)]
        else:
            ends = [("x", parameters.width), ("states", parameters.blocks[index - 1].cells)]
        ends += [("skip", parameters.width), ("out", out)]
        stages.append([(name, kind, width) for name, width in ends])
    return stages


def _shapes(parameters: NetworkParameters) -> list[list[tuple[int, ...]]]:
    """The shapes of the arrays that the graph of each stage may hold."""
    first = [[parameters.pre], *([block.post] for block in parameters.blocks)]
    second = [*(block.candidate for block in parameters.blocks), parameters.classifier]
    return [
        [array.shape for layer in (*layers, other) for array in (layer.weight, layer.bias)]
        for layers, other in zip(first, second, strict=True)
    ]


class OnnxLayers:
    """One ONNX Runtime session a stage, on one thread, in the type that the proof allows.

    graphs: the serialised ONNX model of each stage. Inputs are named "x" and, after stage 0,
    "states"; outputs are "skip" and "out" (docs/network.md).
    """

    def __init__(
        self, graphs: Sequence[bytes], parameters: NetworkParameters, dtype: DTypeLike
    ) -> None:
        import onnxruntime

        for index, (graph, shapes) in enumerate(zip(graphs, _shapes(parameters), strict=False)):
            try:
                check_graph(graph, shapes)
            except NoGraphError as error:
                raise PackError(
                    f"ONNX Runtime refuses a graph of this pack, for it is none: {error}; "
                    "export the graphs again"
                ) from error
            except ParameterError as error:
                raise PackError(
                    f"the ONNX graphs do not fit the network's arrays: in stage {index} {error}; "
                    "export the graphs again"
                ) from error
        self._dtype = np.dtype(dtype)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # it would print; what is wrong comes as an error
        try:
            self._sessions: list[Any] = [
                onnxruntime.InferenceSession(
                    graph,
                    sess_options=options,
                    providers=["CPUExecutionProvider"],
                    enable_fallback=0,  # it prints, and tries the same again
                )
                for graph in graphs
            ]
            found = [_signature(session) for session in self._sessions]
        except Exception as error:  # ONNX Runtime raises its own types from its C layer
            raise PackError(f"ONNX Runtime refuses a graph of this pack: {error}") from error
        wanted = _signatures(parameters, dtype)
        if found != wanted:
            raise PackError(
                f"the ONNX graphs do not fit the network's arrays: need {wanted}, got {found}; "
                "export the graphs again"
            )

    def stage(self, index: int, x: Array, states: Array | None) -> tuple[Array, Array]:
        feed = {"x": x} if states is None else {"x": x, "states": states}
        feed = {name: array.astype(self._dtype, copy=False) for name, array in feed.items()}
        try:
            skip, out = self._sessions[index].run(("skip", "out"), feed)
        except Exception as error:  # ONNX Runtime raises its own types from its C layer
            raise PackError(f"ONNX Runtime cannot run a graph of this pack: {error}") from error
        return skip.astype(np.float64, copy=False), out.astype(np.float64, copy=False)
