"""What transistors do against what the emulator says: a layer of cells, a network.

The cell is an independent one in another process, so its power is no measure of the published
chip; it is held against the formula to see how far the branch-sum model goes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kws_stream.bmru import Trace, sequence
from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.network import Network
from kws_stream.parameters import BoolArray, FloatArray
from kws_stream.power import estimate
from kws_stream.spice.circuit import VDD_V, Circuit, settled_times
from kws_stream.spice.differences import Difference, crossings, differences, in_order
from kws_stream.spice.network import build
from kws_stream.spice.tools import Simulator, Waveforms

NANO = 1e9
MAX_MIRRORS = 3000


@dataclass(frozen=True)
class Agreement:
    """Transistors against the emulator, at the end of every frame, over all cells.

    bits_equal: share of the state bits. bits_given: share, where the emulator's cells hear the
    candidates of the circuit. Errors are mean |difference| in pA; state_error_pa of the frames and
    cells whose bits agree. decisions_equal: share of frames with the same highest logit. circuit
    and model: nW; the circuit with its bias diodes counted once, as the formula does.
    """

    cells: int
    frames: int
    seconds: float
    devices: int
    bits_equal: float
    bits_given: float | None
    candidate_error_pa: float | None
    state_error_pa: float | None
    decisions_equal: float | None
    circuit_nw: float
    bias_nw: float
    model_nw: float
    run_s: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """The figures, and what they were taken from: nA at the end of each frame (T, cells).

    names: block.cell. beta1, beta2 and alpha (cells,) are programmed, in nA. The circuit's
    candidates are None where it was given the emulator's. differences: every bit that differs.
    """

    agreement: Agreement
    times_s: FloatArray
    names: tuple[str, ...]
    beta1: FloatArray
    beta2: FloatArray
    alpha: FloatArray
    candidates: FloatArray | None
    ideal_candidates: FloatArray
    states: FloatArray
    ideal_states: FloatArray
    differences: tuple[Difference, ...] = ()

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the figures, and the bits that differ."""
        return asdict(self.agreement) | {"differences": [asdict(one) for one in self.differences]}


def layer(
    simulator: Simulator, net: Network, trace: Trace, frame_s: float, cells: int
) -> Comparison:
    """The first cells of a network on the candidates of a trace, each by itself."""
    blocks = net.parameters.blocks
    every = [(block, index) for block, one in enumerate(blocks) for index in range(one.cells)]
    chosen = every[:cells]
    if not chosen or not trace.frames:
        raise ParameterError("layer: need one cell and one frame at least; give more sound")
    circuit = Circuit()
    outputs = []
    for name, (block, index) in enumerate(chosen):
        one = blocks[block]
        circuit.frames("vddx", f"k{name}_in", trace.candidates[block][:, index], frame_s)
        circuit.cell(f"k{name}", one.beta2[index], one.delta[index], one.alpha[index])
        outputs.append(circuit.meter(f"h{name}", f"k{name}_out", "0"))
    waves = simulator.run(
        circuit.text(), [*outputs, "i(vvdd)", "i(vvddb)"], frame_s / 20, trace.frames * frame_s
    )
    times = settled_times(trace.frames, frame_s)
    states = np.column_stack([NANO * waves.at(output, times) for output in outputs])
    ideal = np.column_stack([trace.states[block][:, index] for block, index in chosen])
    *_, alpha = _cells_of(net, chosen)
    bits, wanted = states > alpha / 2, ideal > alpha / 2
    per_cell = estimate(net, trace, frame_s=frame_s).per_cell_nw
    agreement = Agreement(
        cells=len(chosen),
        frames=trace.frames,
        seconds=trace.frames * frame_s,
        devices=circuit.devices,
        bits_equal=float((bits == wanted).mean()),
        bits_given=None,
        candidate_error_pa=None,
        state_error_pa=_error_pa(states, ideal, bits == wanted),
        decisions_equal=None,
        **_powers(waves.mean("i(vvdd)"), waves.mean("i(vvddb)")),
        model_nw=float(sum(per_cell[block][index] for block, index in chosen)),
        run_s=waves.run_s,
    )
    given = np.column_stack([trace.candidates[block][:, index] for block, index in chosen])
    why = _differences(net, chosen, frame_s, (ideal, given), (states, None), waves, outputs)
    return Comparison(agreement, times, *_cells_of(net, chosen), None, given, states, ideal, why)


def network(simulator: Simulator, net: Network, trace: Trace, frame_s: float) -> Comparison:
    """A whole network on the skip path that a trace begins with, from its pre-projection on."""
    parameters = net.parameters
    if not parameters.blocks or not trace.frames:
        raise ParameterError("network: need one block and one frame at least; give more sound")
    mirrors = 3 * sum(np.count_nonzero(layer.weight) for layer in parameters.layers[1:])
    if mirrors > MAX_MIRRORS:
        raise ParameterError(
            f"network: need one of at most {MAX_MIRRORS} mirrors, got about {mirrors}, which would "
            "take hours; choose a smaller model, such as yes-4"
        )
    built = build(parameters, trace.inputs[0], frame_s)
    waves = simulator.run(built.circuit.text(), built.outputs, frame_s / 20, trace.frames * frame_s)
    times = settled_times(trace.frames, frame_s)

    def measured(names: Sequence[str]) -> FloatArray:
        return np.column_stack([NANO * waves.at(name, times) for name in names])

    equal: list[BoolArray] = []
    given: list[BoolArray] = []
    candidates, states = [], []
    for number, block in enumerate(parameters.blocks):
        c, h = measured(built.candidates[number]), measured(built.states[number])
        bits = h > block.alpha / 2
        equal.append(bits == trace.bits[number])
        given.append(bits == sequence(c, block.initial_state, block.beta1, block.beta2))
        candidates.append(c)
        states.append(h)
    logits = measured(built.logits)
    same = np.column_stack(equal)
    c, h = np.column_stack(candidates), np.column_stack(states)
    ideal_c, ideal_h = np.column_stack(trace.candidates), np.column_stack(trace.states)
    agreement = Agreement(
        cells=parameters.cells,
        frames=trace.frames,
        seconds=trace.frames * frame_s,
        devices=built.circuit.devices,
        bits_equal=float(same.mean()),
        bits_given=float(np.column_stack(given).mean()),
        candidate_error_pa=1000 * float(np.abs(c - ideal_c).mean()),
        state_error_pa=_error_pa(h, ideal_h, same),
        decisions_equal=float((logits.argmax(axis=1) == trace.logits.argmax(axis=1)).mean()),
        **_powers(waves.mean("i(vvdd)"), waves.mean("i(vvddb)")),
        model_nw=estimate(net, trace, frame_s=frame_s).core_nw,
        run_s=waves.run_s,
    )
    cells = [(at, index) for at, one in enumerate(parameters.blocks) for index in range(one.cells)]
    names = [name for block in built.states for name in block]
    why = _differences(net, cells, frame_s, (ideal_h, ideal_c), (h, c), waves, names)
    return Comparison(agreement, times, *_cells_of(net, cells), c, ideal_c, h, ideal_h, why)


def _differences(
    net: Network,
    cells: Sequence[tuple[int, int]],
    frame_s: float,
    ideal: tuple[FloatArray, FloatArray],
    circuit: tuple[FloatArray, FloatArray | None],
    waves: Waveforms,
    outputs: Sequence[str],
) -> tuple[Difference, ...]:
    """Of all cells; ideal, circuit: states and candidates (T, cells) in nA."""
    names, beta1, beta2, alpha = _cells_of(net, cells)
    found = []
    for k, (block, index) in enumerate(cells):
        level = alpha[k] / 2
        found.append(
            differences(
                names[k],
                frame_s,
                (beta1[k], beta2[k]),
                bool(net.parameters.blocks[block].initial_state[index]),
                (ideal[0][:, k] > level, ideal[1][:, k]),
                (circuit[0][:, k] > level, None if circuit[1] is None else circuit[1][:, k]),
                crossings(waves.time_s, NANO * waves.values[outputs[k]], level),
            )
        )
    return in_order(found)


def _cells_of(
    net: Network, cells: Sequence[tuple[int, int]]
) -> tuple[tuple[str, ...], FloatArray, FloatArray, FloatArray]:
    """Names, counted from 1, and beta1, beta2, alpha of some cells, each a block and an index."""
    blocks = net.parameters.blocks
    names = tuple(f"{block + 1}.{index + 1}" for block, index in cells)
    currents = np.array(
        [
            (blocks[block].beta1[index], blocks[block].beta2[index], blocks[block].alpha[index])
            for block, index in cells
        ]
    )
    return names, currents[:, 0], currents[:, 1], currents[:, 2]


def _error_pa(states: FloatArray, ideal: FloatArray, where: BoolArray) -> float | None:
    return 1000 * float(np.abs(states - ideal)[where].mean()) if where.any() else None


def _powers(supply_a: float, bias_a: float) -> dict[str, float]:
    bias = -NANO * VDD_V * bias_a
    return {"circuit_nw": -NANO * VDD_V * supply_a + bias, "bias_nw": bias}
