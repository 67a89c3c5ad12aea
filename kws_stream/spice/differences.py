"""Why state bits of a circuit differ from the emulator's: which threshold, how near, how late."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kws_stream.parameters import BoolArray, FloatArray


@dataclass(frozen=True)
class Difference:
    """Frames on end in which one cell differs, and how that began.

    cell: block.cell, from 1. frame, frames: the first, from 0, and how many. circuit_on: the
    circuit's bit. threshold: "beta2" where the one that moved first set, "beta1" where it reset.
    ideal_pa, circuit_pa: the candidate in the first frame less that threshold as programmed, in the
    emulator and in the circuit (None where it was given the emulator's). late_ms: how much later
    the circuit moved than the emulator's frame began; below 0 earlier; None: one never moved.
    """

    cell: str
    frame: int
    frames: int
    circuit_on: bool
    threshold: str
    ideal_pa: float
    circuit_pa: float | None
    late_ms: float | None


def differences(
    cell: str,
    frame_s: float,
    thresholds: tuple[float, float],
    start_on: bool,
    ideal: tuple[BoolArray, FloatArray],
    circuit: tuple[BoolArray, FloatArray | None],
    crossings_s: FloatArray,
) -> list[Difference]:
    """Of one cell. thresholds: beta1 and beta2 in nA. ideal, circuit: bits (T,) and candidates in
    nA (T,), the circuit's at the ends of frames. crossings_s: when its state crossed alpha/2."""
    (wanted, offered), (bits, measured) = ideal, circuit
    differs = np.concatenate([[False], wanted != bits, [False]])
    edges = np.flatnonzero(differs[1:] != differs[:-1])
    found = []
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        before = bool(wanted[first - 1]) if first else start_on
        led = bool(wanted[first]) != before  # whether the emulator moved first
        moved_to = not before
        threshold = thresholds[1] if moved_to else thresholds[0]
        late_ms = None
        if end < len(wanted) and bool(wanted[end]) == moved_to:  # the other followed
            low, high = (first, end + 1) if led else (first, first + 1)
            moves = crossings_s[(crossings_s >= low * frame_s) & (crossings_s <= high * frame_s)]
            if moves.size:
                late_ms = 1000 * float(moves[-1] - (first if led else end) * frame_s)
        found.append(
            Difference(
                cell=cell,
                frame=first,
                frames=end - first,
                circuit_on=bool(bits[first]),
                threshold="beta2" if moved_to else "beta1",
                ideal_pa=1000 * float(offered[first] - threshold),
                circuit_pa=None if measured is None else 1000 * float(measured[first] - threshold),
                late_ms=late_ms,
            )
        )
    return found


def crossings(time_s: FloatArray, state: FloatArray, level: float) -> FloatArray:
    """When a waveform crosses a level, s, in order."""
    above = state > level
    at = np.flatnonzero(above[1:] != above[:-1])
    share = (level - state[at]) / (state[at + 1] - state[at])
    times: FloatArray = time_s[at] + share * (time_s[at + 1] - time_s[at])
    return times


def in_order(found: Sequence[list[Difference]]) -> tuple[Difference, ...]:
    """Of all cells, by when they begin."""
    return tuple(sorted((one for cell in found for one in cell), key=lambda one: one.frame))
