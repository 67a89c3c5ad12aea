"""Power by what was heard: silence, speech, and the words that were detected.

A frame belongs to a hit where it lies between the estimated start of a detected word and the frame
that fired; any other is speech where its level is at least 10 dB above the quietest tenth of the
run and above -60 dBFS, else silence. A level cannot tell speech from other sound: "speech" is any
sound above the background.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kws_stream.errors import InputError
from kws_stream.parameters import Block, FloatArray, NetworkParameters
from kws_stream.power.formulas import cell_power_nw, mirror_power_nw

QUIETEST_DBFS = -120  # levels are counted in bins of 1 dB from here to 0
ABOVE_BACKGROUND_DB = 10.0
BACKGROUND_SHARE = 0.1  # this share of the frames outside hits is at or below the background
SPEECH_DBFS = -60.0  # nothing below counts as speech, however quiet the background is
HELD_FRAMES = 512  # a hit reaches back this far at most: 5 s of 10 ms frames

_BINS = 1 - QUIETEST_DBFS


@dataclass(frozen=True)
class ActivityPower:
    """Mean power at 1 nA, in nW, of the frames of one kind; None where there are none."""

    kind: str
    frames: int
    seconds: float
    cells_nw: float | None
    feedforward_nw: float | None
    core_nw: float | None


@dataclass(frozen=True)
class _Gains:
    """Weights that make the power of a frame of one block from relu(x), c and h, in nW.

    The formulas are linear in each, so a weight is what they give for a current of 1.
    """

    inputs: FloatArray
    candidates: float
    states_cells: float
    states_post: FloatArray
    rest_cells: float
    rest_feedforward: float

    @classmethod
    def of(cls, block: Block) -> "_Gains":
        weight, bias = block.candidate.weight, block.candidate.bias
        bias_currents = block.alpha + np.maximum(block.beta2, 0) + block.delta
        positive, negative = (np.maximum(w, 0).sum(axis=1) for w in (weight, -weight))
        no_wire, no_cell = np.zeros(len(weight)), np.zeros(block.cells)
        copies = np.abs(block.post.weight).sum(axis=1)
        return cls(
            inputs=mirror_power_nw(0, positive, negative, no_wire),
            candidates=cell_power_nw(0.0, 1.0, 0.0),
            states_cells=cell_power_nw(0.0, 0.0, 1.0),
            states_post=mirror_power_nw(0, no_cell, no_cell, copies),
            rest_cells=cell_power_nw(float(bias_currents.sum()), 0.0, 0.0),
            rest_feedforward=mirror_power_nw(
                block.cells,
                float(np.maximum(bias, 0).sum()),
                float(np.maximum(-bias, 0).sum()),
                float(np.abs(block.post.bias).sum()),
            ),
        )


def frame_power(
    parameters: NetworkParameters,
    inputs: Sequence[FloatArray],
    candidates: Sequence[FloatArray],
    states: Sequence[FloatArray],
) -> FloatArray:
    """Power (t, 2) of cells and feedforward mirrors in every frame, nW at 1 nA.

    inputs (t, m), candidates and states (t, d) of every block, as in a trace. Its mean over the
    frames is the power of `estimate`, but for rounding.
    """
    frames = len(inputs[0]) if inputs else 0
    power = np.zeros((frames, 2))
    for block, x, c, h in zip(parameters.blocks, inputs, candidates, states, strict=True):
        gains = _Gains.of(block)
        # products and sums row by row: the same bits for any number of rows
        power[:, 0] += gains.rest_cells
        power[:, 0] += _rows(c) * gains.candidates
        power[:, 0] += _rows(h) * gains.states_cells
        power[:, 1] += gains.rest_feedforward
        power[:, 1] += _rows(np.maximum(x, 0) * gains.inputs)
        power[:, 1] += _rows(h * gains.states_post)
    return power


def _rows(values: FloatArray) -> FloatArray:
    """Sums of each row, in index order whatever the number of rows."""
    sums: FloatArray = np.add.accumulate(values, axis=1)[:, -1]
    return sums


class ByActivity:
    """Running power of silence, speech and hits, for a stream of frames; memory is bounded.

    The same figures for any split of the stream.
    """

    def __init__(self, parameters: NetworkParameters, frame_s: float) -> None:
        self._parameters = parameters
        self._frame_s = frame_s
        self.reset()

    def reset(self) -> None:
        """Forget everything: equal to a new object."""
        self._counts = np.zeros((2, _BINS))  # frames [hit, level]
        self._sums = np.zeros((2, _BINS, 2))  # nW of cells and mirrors
        self.words = 0
        self._restart()

    def next_stream(self) -> None:
        """The next frames belong to another stream, whose clock starts at 0."""
        self._fold(0)
        self._restart()

    def _restart(self) -> None:
        self._first = 0  # number of the first held frame
        self._held = np.empty((0, 4))  # cells nW, mirrors nW, level bin, hit

    def add(
        self,
        power: FloatArray,
        levels_dbfs: FloatArray,
        hits: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Take in the power (t, 2) and level (t,) of the next frames, and the hits in them.

        hits: first frame and the frame after the last, counted from the start of the stream.
        Raises InputError for levels that do not fit.
        """
        if levels_dbfs.shape != power.shape[:1]:
            raise InputError(f"levels: need {len(power)}, one a frame, got {levels_dbfs.shape}")
        bins = np.clip(np.floor(levels_dbfs), QUIETEST_DBFS, 0) - QUIETEST_DBFS
        rows = np.column_stack([power, bins, np.zeros(len(power))])
        self._held = np.concatenate([self._held, rows])
        for start, stop in hits:
            start = max(start, stop - HELD_FRAMES, self._first)
            self._held[start - self._first : stop - self._first, 3] = 1
            self.words += 1
        self._fold(HELD_FRAMES)

    def _fold(self, keep: int) -> None:
        """Count all frames but the last `keep`, in their order."""
        fold = len(self._held) - keep
        if fold > 0:
            self._count(self._counts, self._sums, self._held[:fold])
            self._held = self._held[fold:]
            self._first += fold

    @staticmethod
    def _count(counts: FloatArray, sums: FloatArray, rows: FloatArray) -> None:
        where = (rows[:, 3].astype(int), rows[:, 2].astype(int))
        np.add.at(counts, where, 1)
        np.add.at(sums, where, rows[:, :2])

    def threshold_dbfs(self) -> float:
        """Level from which a frame outside hits counts as speech."""
        return self._split()[2]

    def power(self) -> tuple[ActivityPower, ...]:
        """Silence, speech and hits so far."""
        counts, sums, threshold = self._split()
        loud = np.arange(_BINS) + QUIETEST_DBFS >= threshold
        kinds = {
            "silence": (counts[0, ~loud], sums[0, ~loud]),
            "speech": (counts[0, loud], sums[0, loud]),
            "hit": (counts[1], sums[1]),
        }
        return tuple(
            mean_power(kind, int(n.sum()), nw.sum(axis=0), self._frame_s)
            for kind, (n, nw) in kinds.items()
        )

    def _split(self) -> tuple[FloatArray, FloatArray, float]:
        counts, sums = self._counts.copy(), self._sums.copy()
        self._count(counts, sums, self._held)
        share = np.cumsum(counts[0])
        quiet = int(np.searchsorted(share, max(BACKGROUND_SHARE * share[-1], 1)))
        background = min(quiet, _BINS - 1) + QUIETEST_DBFS
        return counts, sums, max(background + ABOVE_BACKGROUND_DB, SPEECH_DBFS)


def mean_power(kind: str, frames: int, sums_nw: FloatArray, frame_s: float) -> ActivityPower:
    """sums_nw: cells and feedforward mirrors, summed over the frames."""
    empty = ActivityPower(kind, frames, frames * frame_s, None, None, None)
    if not frames:
        return empty
    cells, feedforward = (sums_nw / frames).tolist()
    return replace(empty, cells_nw=cells, feedforward_nw=feedforward, core_nw=cells + feedforward)
