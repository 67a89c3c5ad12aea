"""What the ONNX graphs of a pack may hold, read in their bytes before any runtime sees them.

A graph may hold any operator: one that never ends, or makes gigabytes of one number. Ours hold
MatMul, Add and Relu over the arrays of their stage alone (see kws_stream/layers.py), so all else is
refused. Field numbers are those of onnx.proto, https://github.com/onnx/onnx, IR version 8.
"""

import math
from collections.abc import Iterator, Sequence

from kws_stream.errors import ParameterError

OPERATORS = ("MatMul", "Add", "Relu")
MOST_NODES = 16
_FLOATS = {1: 4, 11: 8}  # bytes of FLOAT and DOUBLE
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL = {1, 2, 3, 4, 5, 6, 7, 8, 14}  # without training_info and functions
_GRAPH = {1, 2, 5, 10, 11, 12, 13}  # without sparse_initializer
_NODE = {1, 2, 3, 4, 6, 7}  # without attribute, and with it without graphs in graphs
_TENSOR = {1, 2, 8, 9, 12}  # raw data alone, and none in other files

Shape = tuple[int, ...]


class NoGraphError(ParameterError):
    """Bytes that no runtime could read."""


def check_graph(data: bytes, shapes: Sequence[Shape]) -> None:
    """Raises ParameterError for a model that is more than `OPERATORS` over arrays of these shapes.

    What it computes with them is for others to check: it can neither hang nor fill the memory.
    """
    model = _message(memoryview(data), _MODEL, "model")
    if len(model.get(7, ())) != 1:
        raise ParameterError("need a model with one graph")
    for opset in model.get(8, ()):
        domain = _last(_message(_view(opset), {1, 2}, "opset"), 1)
        if domain not in (b"", b"ai.onnx"):
            raise ParameterError(f"need the operators of ONNX alone, got {domain!r:.60}")
    graph = _message(_view(model[7][0]), _GRAPH, "graph")
    nodes = graph.get(1, [])
    if len(nodes) > MOST_NODES:
        raise ParameterError(f"need {MOST_NODES} nodes at most, got {len(nodes)}")
    for node in nodes:
        _check_node(_message(_view(node), _NODE, "node"))
    for tensor in graph.get(5, []):
        _check_tensor(_message(_view(tensor), _TENSOR, "array"), shapes)


_Value = int | memoryview
_Fields = dict[int, list[_Value]]


def _check_node(node: _Fields) -> None:
    kinds = [bytes(_view(kind)) for kind in node.get(4, ())]
    if len(kinds) != 1 or kinds[0].decode("latin-1") not in OPERATORS or _last(node, 7):
        raise ParameterError(f"need {', '.join(OPERATORS)} alone, got {_last(node, 4)!r:.60}")


def _check_tensor(tensor: _Fields, shapes: Sequence[Shape]) -> None:
    dims: list[int] = []
    for value in tensor.get(1, ()):
        dims += [value] if isinstance(value, int) else _packed(value)
    if tuple(dims) not in shapes:
        raise ParameterError(f"need arrays of the network's layers, got one of shape {dims!s:.60}")
    kind = tensor.get(2, [0])[-1]
    size = _FLOATS.get(kind, 0) if isinstance(kind, int) else 0
    if not size or len(_last(tensor, 9)) != size * math.prod(dims):
        raise ParameterError(f"need arrays of floating-point numbers, got type {kind!s:.20}")


def _last(fields: _Fields, number: int) -> bytes:
    """Bytes of a field that may be there once; of several the last counts."""
    values = fields.get(number)
    return bytes(_view(values[-1])) if values else b""


def _view(value: _Value) -> memoryview:
    if isinstance(value, int):
        raise ParameterError("need a message of ONNX, got a number")
    return value


def _message(data: memoryview, allowed: set[int], what: str) -> _Fields:
    """The fields of a message; raises ParameterError for others than the allowed ones."""
    fields: _Fields = {}
    for number, value in _fields(data):
        if number not in allowed:
            raise ParameterError(f"need a plain {what}, got one with field {number}")
        fields.setdefault(number, []).append(value)
    return fields


def _fields(data: memoryview) -> Iterator[tuple[int, _Value]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise NoGraphError("need the bytes of ONNX, got others")
        if at + size > len(data):
            raise NoGraphError("need a whole graph, got one that is cut")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise NoGraphError("need a whole graph, got one that is cut")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise NoGraphError("need the bytes of ONNX, got others")


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
