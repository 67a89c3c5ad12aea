"""The network of arXiv:2605.15216, one cell and one frame at a time, in plain Python numbers.

The same few lines serve two kinds of numbers. With `float` each product and each sum is rounded to
float64 by itself, in index order, the bias last. With `Fraction` nothing is ever rounded. Neither
uses NumPy for anything but reading its arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Number = Any  # float or Fraction


@dataclass
class OracleTrace:
    """As `kws_stream.network.Trace`: logits[t][k]; inputs, candidates, states, bits [l][t][i]."""

    logits: list[list[Number]] = field(default_factory=list)
    inputs: list[list[list[Number]]] = field(default_factory=list)
    candidates: list[list[list[Number]]] = field(default_factory=list)
    states: list[list[list[Number]]] = field(default_factory=list)
    bits: list[list[list[bool]]] = field(default_factory=list)


def relu(value: Number) -> Number:
    return value if value > 0 else type(value)(0)


def affine(x: Sequence[Number], weight: list[list[Number]], bias: list[Number]) -> list[Number]:
    out = []
    for j in range(len(bias)):
        total = x[0] * weight[0][j]
        for i in range(1, len(x)):
            total = total + x[i] * weight[i][j]
        out.append(total + bias[j])
    return out


def cell(candidate: Number, bit: bool, beta1: Number, beta2: Number) -> bool:
    if candidate >= beta2:
        return True
    if candidate < beta1:
        return False
    return bit


def run(
    features: Any,
    pre: Any,
    blocks: Sequence[dict[str, Any]],
    classifier: Any,
    number: type = float,
) -> OracleTrace:
    """The arguments of `Network.from_arrays`, and `number`: float or Fraction."""

    def read(values: Any) -> Any:
        if hasattr(values, "tolist"):
            values = values.tolist()
        if isinstance(values, list | tuple):
            return [read(value) for value in values]
        return number(values)

    trace = OracleTrace()
    pre_w, pre_b = read(pre)
    out_w, out_b = read(classifier)
    cells = []
    for block in blocks:
        arrays = {name: read(value) for name, value in block.items() if name != "initial_state"}
        arrays["beta2"] = [b + d for b, d in zip(arrays["beta1"], arrays["delta"], strict=True)]
        start = block.get("initial_state")
        d = len(arrays["alpha"])
        arrays["bits"] = [False] * d if start is None else [bool(bit) for bit in start]
        cells.append(arrays)
        for wires in (trace.inputs, trace.candidates, trace.states, trace.bits):
            wires.append([])

    for frame in read(features):
        x = affine(frame, pre_w, pre_b)
        for index, block in enumerate(cells):
            w, b = block["candidate"]
            candidates = [relu(c) for c in affine([relu(v) for v in x], w, b)]
            bits = []
            states = []
            for i, c in enumerate(candidates):
                bit = cell(c, block["bits"][i], block["beta1"][i], block["beta2"][i])
                bits.append(bit)
                states.append(block["alpha"][i] if bit else number(0))
            block["bits"] = bits
            trace.inputs[index].append(x)
            trace.candidates[index].append(candidates)
            trace.states[index].append(states)
            trace.bits[index].append(bits)
            w, b = block["post"]
            post = affine(states, w, b)
            x = [v + relu(o) for v, o in zip(x, post, strict=True)]
        trace.logits.append(affine(x, out_w, out_b))
    return trace
