"""The feedforward stages of a network as ONNX graphs, one a stage (see kws_stream/layers.py).

Stage 0 has the input "x" (T, n_features); the others have "x" (T, m) and "states" (T, d). The
outputs are "skip" (T, m) and "out", (T, d) candidates or, in the last stage, (T, K) logits. T is
free. A graph holds MatMul, Add and Relu alone, in the float type of the exactness proof, so ONNX
Runtime may fuse and reorder them without changing a bit.
"""

from numpy.typing import DTypeLike

from kws_stream.onnx_writer import GraphWriter
from kws_stream.parameters import Layer, NetworkParameters


def _affine(graph: GraphWriter, x: str, layer: Layer, name: str, output: str) -> None:
    graph.affine(x, layer.weight, layer.bias, name, output)


def stage_graphs(parameters: NetworkParameters, dtype: DTypeLike) -> list[bytes]:
    """One serialised ONNX model a stage, for `Network(parameters, graphs)`.

    dtype: float32 or float64, the `exactness.dtype` of the network. The same parameters give the
    same bytes. Raises MissingExtraError without the onnx package.
    """
    blocks = parameters.blocks
    graphs = []
    for index in range(len(blocks) + 1):
        graph = GraphWriter(dtype, "frames")
        if index == 0:
            graph.input("x", parameters.n_features)
            _affine(graph, "x", parameters.pre, "pre", "skip")
        else:
            block = blocks[index - 1]
            graph.input("x", parameters.width)
            graph.input("states", block.cells)
            _affine(graph, "states", block.post, "post", "post")
            graph.node("Relu", ["post"], "post_relu")
            graph.node("Add", ["x", "post_relu"], "skip")
        graph.output("skip", parameters.width)
        if index < len(blocks):
            graph.output("out", blocks[index].cells)
            graph.node("Relu", ["skip"], "skip_relu")
            _affine(graph, "skip_relu", blocks[index].candidate, "candidate", "candidate")
            graph.node("Relu", ["candidate"], "out")
        else:
            graph.output("out", parameters.n_classes)
            _affine(graph, "skip", parameters.classifier, "classifier", "out")
        graphs.append(graph.model(f"stage_{index}"))
    return graphs
