"""Whether errors add up, with depth and with time: BMRU beside minGRU and LRU of equal size.

White noise, new in every frame, on what drives the states: the candidates of a BMRU, g of a minGRU,
B·x of an LRU. In each network it is the same share of the rms of what drives its states.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.bmru.chip import ChipBatch, ChipSettings
from kws_stream.bmru.fabricate import generator
from kws_stream.brief import brief
from kws_stream.engine.chip import sums
from kws_stream.errors import ParameterError
from kws_stream.packs import Pack
from kws_stream.parameters import BoolArray, FloatArray
from kws_stream.studies.baselines import TRAINED, Baselines, trace_baseline
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import heading
from kws_stream.workers import Progress

AGES = (0, 1, 2, 4, 8, 16)  # frames: where the bins of time begin
SHARE = 0.1
BASELINE_NAMES = {"mingru": "minGRU", "lru": "LRU"}


@dataclass(frozen=True)
class Accumulated:
    """rms of the state error over rms of the states: by block, and of block 1 by time.

    seconds: where each bin begins. Of a BMRU since the last frame that set or reset the cell in
    the exact network, of the others since the start. by_time has None where no frame fell.
    """

    network: str
    parameters: int
    noise: float
    by_block: tuple[float, ...]
    seconds: tuple[float, ...]
    by_time: tuple[float | None, ...]

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Accumulation:
    head: dict[str, Any]
    networks: tuple[Accumulated, ...]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        return self.head | {"networks": [asdict(one) for one in self.networks]}


@dataclass
class _Sums:
    """Squared errors and squared states by block, and of block 1 by age."""

    blocks: int

    def __post_init__(self) -> None:
        self.error, self.state = np.zeros(self.blocks), np.zeros(self.blocks)
        self.aged, self.counts = np.zeros(len(AGES)), np.zeros(len(AGES))
        self.size = 0

    def add(self, block: int, real: FloatArray, ideal: FloatArray, age: NDArray[np.int64]) -> None:
        """Of states (T, d) and ages in frames (T, d) in one clip."""
        squared = (real - ideal) ** 2
        self.error[block] += squared.sum()
        self.state[block] += (ideal**2).sum()
        if block == 0:
            bins = np.searchsorted(AGES, age, side="right") - 1
            self.aged += np.bincount(bins.ravel(), squared.ravel(), len(AGES))
            self.counts += np.bincount(bins.ravel(), minlength=len(AGES))
            self.size += ideal.size

    def result(self, network: str, parameters: int, noise: float, frame_s: float) -> Accumulated:
        level = np.sqrt(self.state[0] / max(self.size, 1)) or 1.0
        return Accumulated(
            network,
            parameters,
            noise,
            tuple(np.sqrt(self.error / np.where(self.state > 0, self.state, 1)).tolist()),
            tuple(age * frame_s for age in AGES),
            tuple(
                float(np.sqrt(total / count) / level) if count else None
                for total, count in zip(self.aged, self.counts, strict=True)
            ),
        )


def accumulation(
    pack: Pack,
    utterances: Utterances,
    baselines: Baselines,
    baseline_utterances: Utterances,
    settings: ChipSettings,
    share: float = SHARE,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Accumulation:
    """State errors at white noise of `share` of the rms of what drives the states.

    baseline_utterances: the same clips through the baselines' front end. Raises ParameterError for
    a share not above 0 and a model without cells.
    """
    if not 0 < share <= 1:
        raise ParameterError(f"share: need one above 0 and at most 1, got {share}")
    if not pack.network.parameters.blocks:
        raise ParameterError(f"accumulation: need a model with BMRU cells, {pack.name} has none")
    settings = replace(settings, frame_s=utterances.frame_s)
    networks = [_bmru(pack, utterances, settings, share, seed)]
    for done, (kind, name) in enumerate(BASELINE_NAMES.items(), 1):
        if progress is not None:
            progress(done, 1 + len(BASELINE_NAMES))
        networks.append(_baseline(kind, name, baselines, baseline_utterances, share, seed))
    head = heading("accumulation", pack, utterances, seed, settings)
    return Accumulation(head | {"share": share}, tuple(networks))


def _bmru(
    pack: Pack, utterances: Utterances, settings: ChipSettings, share: float, seed: int
) -> Accumulated:
    parameters = pack.network.parameters
    clips = range(len(utterances))
    ideal = [pack.network.run(utterances.frames_of(clip)) for clip in clips]
    noise = share * _rms([c for trace in ideal for c in trace.candidates])
    noisy = replace(settings, candidate_noise_na=noise * settings.unit_na)
    batch = ChipBatch(parameters, noisy, seed, [0], sums)
    errors = _Sums(len(parameters.blocks))
    for clip in clips:
        real = batch.run(utterances.frames_of(clip), clip).of_chip(0)
        for b, block in enumerate(parameters.blocks):
            c = ideal[clip].candidates[b]
            age = _ages((c >= block.beta2) | (c < block.beta1))
            errors.add(b, real.states[b], ideal[clip].states[b], age)
    name = f"BMRU ({pack.name})"
    return errors.result(name, parameters.parameter_count, noise, utterances.frame_s)


def _baseline(
    kind: str, name: str, baselines: Baselines, utterances: Utterances, share: float, seed: int
) -> Accumulated:
    arrays = {n: a[..., None] for n, a in baselines.arrays[TRAINED[kind]].items()}
    clips = range(len(utterances))
    ideal = [
        trace_baseline(kind, arrays, utterances.frames_of(clip), lambda x: x) for clip in clips
    ]
    noise = share * _rms([drive for trace in ideal for drive in trace.drives])
    errors = _Sums(len(ideal[0].states))
    for clip in clips:
        rng = generator(seed, clip, 3)

        def disturb(drive: FloatArray, rng: np.random.Generator = rng) -> FloatArray:
            noisy: FloatArray = drive + noise * rng.standard_normal(drive.shape)
            return noisy

        real = trace_baseline(
            kind,
            arrays,
            utterances.frames_of(clip),
            disturb,
        )
        for b, states in enumerate(ideal[clip].states):
            age = np.broadcast_to(np.arange(len(states))[:, None], states.shape[:2])
            errors.add(b, real.states[b][..., 0], states[..., 0], age)
    return errors.result(name, baselines.parameter_count(kind), noise, utterances.frame_s)


def _ages(decided: BoolArray) -> NDArray[np.int64]:
    """Frames since the last decided one, (T, d); from the start, where none was."""
    frames = np.arange(len(decided))[:, None]
    ages: NDArray[np.int64] = frames - np.maximum.accumulate(np.where(decided, frames, 0), axis=0)
    return ages


def _rms(arrays: Sequence[FloatArray]) -> float:
    total = sum(float((array**2).sum()) for array in arrays)
    return float(np.sqrt(total / sum(array.size for array in arrays)))
