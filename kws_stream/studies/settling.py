"""No clock: what a cell makes of candidates that need time to settle, by their time constant."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from kws_stream.bmru.chip import ChipBatch, ChipSettings
from kws_stream.brief import brief
from kws_stream.engine.chip import sums
from kws_stream.errors import ParameterError
from kws_stream.network import Network, Trace
from kws_stream.packs import Pack
from kws_stream.parameters import BoolArray
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import exact, heading, headline
from kws_stream.workers import Progress, Workers

TIME_CONSTANTS_S = (1e-5, 1e-4, 1e-3, 2e-3, 5e-3)


@dataclass(frozen=True)
class Settled:
    """One time constant. bits_agree: share of state bits at the ends of frames as in the exact
    network. late: share of its switches that come a frame late or more, or not at all.
    """

    settling_s: float
    accuracy: float
    bits_agree: float
    late: float


@dataclass(frozen=True, eq=False)
class Settling:
    """exact: accuracy of the network; rows by time constant."""

    head: dict[str, Any]
    exact: float
    rows: tuple[Settled, ...]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        return self.head | {"exact": self.exact, "rows": [asdict(row) for row in self.rows]}


@dataclass(frozen=True, eq=False)
class _Run:
    """A picklable function of a time constant: a `Settled`."""

    network: Network
    utterances: Utterances
    settings: ChipSettings
    seed: int

    def __call__(self, settling_s: float) -> Settled:
        settings = replace(self.settings, settling_s=settling_s)
        batch = ChipBatch(self.network.parameters, settings, self.seed, [0], sums)
        start, stop = self.utterances.window
        called = np.empty((1, len(self.utterances)), np.int16)
        agree, late, switches = [], 0, 0
        for clip in range(len(self.utterances)):
            frames = self.utterances.frames_of(clip)
            ideal, real = self.network.run(frames), batch.run(frames, clip).of_chip(0)
            called[0, clip] = real.logits[start:stop].mean(axis=0).argmax()
            agree.append(np.mean([(a == b).mean() for a, b in _bits(ideal, real)]))
            for wanted, got in _bits(ideal, real):
                switched = wanted[1:] != wanted[:-1]
                late += int((switched & (got[1:] != wanted[1:])).sum())
                switches += int(switched.sum())
        accuracy = float(headline(called, self.utterances)[0])
        return Settled(settling_s, accuracy, float(np.mean(agree)), late / max(switches, 1))


def _bits(ideal: Trace, real: Trace) -> list[tuple[BoolArray, BoolArray]]:
    return list(zip(ideal.bits, real.bits, strict=True))


def settling(
    pack: Pack,
    utterances: Utterances,
    settings: ChipSettings,
    time_constants_s: Sequence[float] = TIME_CONSTANTS_S,
    *,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Settling:
    """Accuracy and switches at each time constant of the candidate nodes at 1 nA, in s.

    Raises ParameterError for a time constant out of range, and a model without cells.
    """
    if not pack.network.parameters.blocks:
        raise ParameterError(f"settling: need a model with BMRU cells, {pack.name} has none")
    settings = replace(settings, frame_s=utterances.frame_s)
    for time_constant_s in time_constants_s:
        replace(settings, settling_s=time_constant_s)  # refuses what is out of range
    # ONNX Runtime does not travel; the arrays do, and give the same bits
    run = _Run(Network(pack.network.parameters), utterances, settings, seed)
    rows = tuple((workers or Workers(1)).map(run, time_constants_s, progress=progress))
    nominal = float(headline(exact(pack, utterances).called, utterances)[0])
    return Settling(heading("settling", pack, utterances, seed, settings), nominal, rows)
