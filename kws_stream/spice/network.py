"""From a network to transistors: mirrors for weights, subtraction for relu, cells, skip paths.

Every weight is a mirror of unit devices, every bias a mirror of one reference current of 1.0. A
positive branch is drawn from the P diode of its output by an N mirror, a negative one pushed into
it by a P mirror; what the diode carries is the sum, and it cannot be negative: relu. The
pre-projection is ideal: two rails, x above zero and below. The first is pushed into the diode of
an input, the second drawn from it by a mirror, which cannot draw a node below ground.
"""

from dataclasses import dataclass

import numpy as np

from kws_stream.brief import brief
from kws_stream.parameters import Block, FloatArray, Layer, NetworkParameters
from kws_stream.spice.circuit import VDD_V, Circuit


@dataclass
class _Wire:
    """A current above zero: the gate of its N diode, and of a P diode once one is asked for."""

    circuit: Circuit
    name: str
    has_p: bool = False

    @property
    def n_gate(self) -> str:
        return f"{self.name}_n"

    def p_gate(self) -> str:
        gate = f"{self.name}_p"
        if not self.has_p:
            self.circuit.sink(gate, self.n_gate)
            self.circuit.p_diode(gate)
            self.has_p = True
        return gate


@dataclass
class NetworkCircuit:
    """A network in transistors, and the names of what can be measured in it, in A.

    candidates, states: by block, by cell. logits: by class; drawn less pushed.
    """

    circuit: Circuit
    candidates: list[list[str]]
    states: list[list[str]]
    logits: list[str]

    __repr__ = brief

    @property
    def outputs(self) -> list[str]:
        cells = [name for group in (*self.candidates, *self.states) for name in group]
        return [*cells, *self.logits, "i(vvdd)", "i(vvddb)"]


def build(
    parameters: NetworkParameters, skip: FloatArray, frame_s: float, unit_na: float = 1.0
) -> NetworkCircuit:
    """The circuit that hears frames `skip` (T, m): the signed skip path into the first block."""
    circuit = Circuit()
    one = _Wire(circuit, "one")
    circuit.constant("vdd", one.n_gate, unit_na)
    circuit.n_diode(one.n_gate)
    added: list[list[str]] = [[] for _ in range(parameters.width)]  # P gates of what blocks add
    built = NetworkCircuit(circuit, [], [], [])
    for number, block in enumerate(parameters.blocks):
        inputs = _inputs(circuit, f"x{number}", skip * unit_na, added, frame_s, 1)
        candidates, states, wires = _cells(circuit, number, block, inputs, one, unit_na)
        built.candidates.append(candidates)
        built.states.append(states)
        for i, gate in enumerate(_layer(circuit, f"o{number}", block.post, wires, one)):
            added[i].append(gate)
    above = _inputs(circuit, "above", skip * unit_na, added, frame_s, 1)
    below = _inputs(circuit, "below", skip * unit_na, added, frame_s, -1)
    built.logits += _classifier(circuit, parameters.classifier, above, below, one)
    return built


def _inputs(
    circuit: Circuit,
    name: str,
    skip: FloatArray,
    added: list[list[str]],
    frame_s: float,
    sign: int,
) -> list[_Wire]:
    """relu of the skip path, or of its negative: its rails, and what the blocks added."""
    wires = []
    for i in range(skip.shape[1]):
        wire = _Wire(circuit, f"{name}_{i}")
        node = wire.n_gate
        circuit.n_diode(node)
        circuit.frames("vddx", node, np.maximum(sign * skip[:, i], 0), frame_s)
        against = np.maximum(-sign * skip[:, i], 0)
        if against.any():
            rail = f"{name}_{i}_against"
            circuit.frames("vddx", rail, against, frame_s)
            circuit.n_diode(rail)
            circuit.sink(node, rail)
        for k, gate in enumerate(added[i]):
            if sign > 0:
                circuit.source(node, gate)
            else:
                turned = f"{name}_{i}_{k}"
                circuit.source(turned, gate)
                circuit.n_diode(turned)
                circuit.sink(node, turned)
        wires.append(wire)
    return wires


def _layer(circuit: Circuit, name: str, layer: Layer, inputs: list[_Wire], one: _Wire) -> list[str]:
    """The P gates of relu(x @ W + b)."""
    gates = []
    for j in range(layer.n_out):
        gate = f"{name}_{j}_q"
        circuit.p_diode(gate)
        _branches(circuit, gate, layer, j, inputs, one)
        gates.append(gate)
    return gates


def _branches(
    circuit: Circuit, node: str, layer: Layer, j: int, inputs: list[_Wire], one: _Wire
) -> None:
    """Draw the positive branches of output j from `node`, push the negative ones into it."""
    ratios = [*layer.weight[:, j].tolist(), float(layer.bias[j])]
    for wire, ratio in zip([*inputs, one], ratios, strict=True):
        if ratio > 0:
            circuit.sink(node, wire.n_gate, ratio)
        elif ratio < 0:
            circuit.source(node, wire.p_gate(), -ratio)


def _cells(
    circuit: Circuit, number: int, block: Block, inputs: list[_Wire], one: _Wire, unit_na: float
) -> tuple[list[str], list[str], list[_Wire]]:
    """Candidates, cells and the wires of their states."""
    candidates, states, wires = [], [], []
    gates = _layer(circuit, f"c{number}", block.candidate, inputs, one)
    currents = zip(block.beta2, block.delta, block.alpha, strict=True)
    for j, (gate, (beta2, delta, alpha)) in enumerate(zip(gates, currents, strict=True)):
        name = f"b{number}_{j}"
        circuit.source(f"{name}_c", gate)
        candidates.append(circuit.meter(f"c{number}_{j}", f"{name}_c", f"{name}_in"))
        circuit.cell(name, beta2 * unit_na, delta * unit_na, alpha * unit_na)
        wire = _Wire(circuit, f"h{number}_{j}")
        states.append(circuit.meter(f"h{number}_{j}", f"{name}_out", wire.n_gate))
        circuit.n_diode(wire.n_gate)
        wires.append(wire)
    return candidates, states, wires


def _classifier(
    circuit: Circuit, layer: Layer, above: list[_Wire], below: list[_Wire], one: _Wire
) -> list[str]:
    """Each output held at half the supply; its current is the logit."""
    outputs = []
    negative = Layer(-layer.weight, np.zeros_like(layer.bias))
    for j in range(layer.n_out):
        node = f"y_{j}"
        _branches(circuit, node, layer, j, above, one)
        _branches(circuit, node, negative, j, below, one)
        circuit.lines.append(f"Vhalf{j} half{j} 0 {VDD_V / 2}")
        outputs.append(circuit.meter(f"y{j}", f"half{j}", node))
    return outputs
