"""What the wires of a network carried: the one record that every simulator of it gives."""

from dataclasses import dataclass

from kws_stream.brief import brief
from kws_stream.parameters import BoolArray, FloatArray


@dataclass(eq=False, slots=True)  # not frozen: one is made every frame
class Trace:
    """What every wire of a network did over T frames, in unit currents (bits: bool).

    logits (T, K); lists over blocks: inputs (T, m), the signed skip path into the block;
    candidates, states (alpha·z) and bits (z), each (T, d). The simulator of many chips at once
    appends an axis of chips to each. offered: the candidates as the mirrors would give them and the
    cells compare them, where a clamp or an offset lets another current flow into the cell; None
    where they are `candidates`.
    """

    logits: FloatArray
    inputs: list[FloatArray]
    candidates: list[FloatArray]
    states: list[FloatArray]
    bits: list[BoolArray]
    offered: list[FloatArray] | None = None

    __repr__ = brief

    @property
    def frames(self) -> int:
        return len(self.logits)

    def of_chip(self, index: int) -> "Trace":
        """The trace of one chip, of a trace of many."""
        wires = (self.inputs, self.candidates, self.states)
        inputs, candidates, states = ([wire[..., index] for wire in group] for group in wires)
        bits = [wire[..., index] for wire in self.bits]
        offered = None if self.offered is None else [wire[..., index] for wire in self.offered]
        return Trace(self.logits[..., index], inputs, candidates, states, bits, offered)
