"""How much of an error in the candidate currents reaches the states: per block, by its level."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kws_stream.bmru.chip import ChipBatch, ChipSettings, extrapolations
from kws_stream.brief import brief
from kws_stream.engine.chip import sums
from kws_stream.errors import ParameterError
from kws_stream.network import Network
from kws_stream.packs import Pack
from kws_stream.parameters import FloatArray
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import heading
from kws_stream.workers import Progress, Workers

# Where errors come from: the setting that a study varies, its unit, and its levels. The published
# mean candidate errors lie from 0.023 to 0.33 nA, the published mismatch from 5 to 15 %. The
# published circuit has thresholds of 0.2 to 1.4 nA, the packaged models a quarter of that at 1 nA.
SOURCES = {
    "circuit": ("unit_na", "nA a unit", (1.0, 2.0, 4.0)),
    "noise": ("candidate_noise_na", "nA", (0.001, 0.003, 0.01, 0.023, 0.05, 0.1, 0.2, 0.33)),
    "mismatch": ("mismatch_percent", "%", (0.5, 1.0, 2.0, 5.0, 10.0, 15.0)),
}

QUESTIONS = {
    "circuit": "the published question, a typical circuit's candidates and states against the "
    "exact network's",
    "noise": "the hard question, white noise that is new on every candidate in every frame",
    "mismatch": "candidates and states of chips with mismatch against the exact network's",
}

CLAIM = 20.0  # arXiv:2605.15216: states are at least this much nearer to the ideal ones
RESAMPLES = 1000  # of the bootstrap
CLIPS_AT_ONCE = 25


@dataclass(frozen=True)
class _Task:
    level: float
    clips: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Errors:
    """A picklable function of a `_Task`: errors (clips, blocks, 3) against the exact network.

    The three: mean |candidate error| and mean |state error| in nA, share of bits that agree.
    """

    network: Network
    utterances: Utterances
    settings: ChipSettings
    source: str
    seed: int
    draws: int

    def __call__(self, task: _Task) -> FloatArray:
        settings = with_level(self.settings, self.source, task.level)
        draws = self.draws if settings.differs or settings.random else 1
        batch = ChipBatch(self.network.parameters, settings, self.seed, range(draws), sums)
        unit = settings.unit_na
        rows = []
        for clip in task.clips:
            frames = self.utterances.frames_of(clip)
            ideal, noisy = self.network.run(frames), batch.run(frames, clip)
            blocks = range(len(ideal.bits))
            rows.append(
                [
                    (
                        unit * _distance(noisy.candidates[b], ideal.candidates[b]),
                        unit * _distance(noisy.states[b], ideal.states[b]),
                        float((noisy.bits[b] == ideal.bits[b][..., None]).mean()),
                    )
                    for b in blocks
                ]
            )
        return np.array(rows)


def with_level(settings: ChipSettings, source: str, level: float) -> ChipSettings:
    """Settings with errors of that source at that level; ParameterError out of range."""
    changes: dict[str, Any] = {SOURCES[source][0]: level}
    return replace(settings, **changes)


def _distance(many: FloatArray, one: FloatArray) -> float:
    """Mean absolute difference of wires (T, d, chips) from those (T, d) of the exact network."""
    return float(np.abs(many - one[..., None]).mean())


@dataclass(frozen=True)
class BlockErrors:
    """One block at one noise level. factor: candidate over state error, with a 95 % interval.

    The interval is a bootstrap over clips, and None for one clip, which cannot tell how clips
    differ; factor and interval are None where no state differs.
    """

    block: int
    level: float
    candidate_na: float
    state_na: float
    bits_agree: float
    factor: float | None
    interval: tuple[float, float | None] | None

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class NoiseStudy:
    """rows: levels by blocks. overall: the factor of all blocks, at each level, in `levels`."""

    head: dict[str, Any]
    levels: tuple[float, ...]
    rows: tuple[BlockErrors, ...]
    overall: tuple[BlockErrors, ...]

    __repr__ = brief

    @property
    def verdict(self) -> str:
        """What the study says of the published claim, for this model; shown: the whole interval."""
        factors = [one.factor for one in self.overall if one.factor is not None]
        lows = [one.interval[0] for one in self.overall if one.interval is not None]
        shown = sum(low >= CLAIM for low in lows)
        if not factors:
            return "In this study no state differs at any level."
        least, most = f"{min(factors):.2g}", f"{max(factors):.2g}"
        span = f"it is {least}." if least == most else f"it is {least} to {most}."
        claim = f"A suppression of at least {CLAIM:g}, as published, is"
        if shown == len(factors):
            return f"{claim} shown at every level: {span}"
        if shown:
            return f"{claim} shown at {shown} of {len(factors)} levels: {span}"
        if max(factors) >= CLAIM:
            return f"{claim} not shown for this model: {span}"
        return f"{claim} contradicted for this model: {span}"

    def as_dict(self) -> dict[str, Any]:
        def row(one: BlockErrors) -> dict[str, Any]:
            interval = None if one.interval is None else list(one.interval)
            return vars(one) | {"interval": interval}

        return self.head | {
            "question": QUESTIONS[self.head["source"]],
            "claim": CLAIM,
            "verdict": self.verdict,
            "levels": list(self.levels),
            "blocks": [row(one) for one in self.rows],
            "overall": [{**row(one), "block": None} for one in self.overall],
        }


def noise(
    pack: Pack,
    utterances: Utterances,
    settings: ChipSettings,
    source: str = "noise",
    levels: Sequence[float] | None = None,
    *,
    draws: int = 10,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> NoiseStudy:
    """Errors at each level of a source, `draws` times on every utterance where chips differ.

    source: "circuit", the chip of `settings` as it is, levels its unit current in nA; "noise",
    levels in nA rms on every candidate; or "mismatch", levels in percent, a chip a draw. Raises
    ParameterError for another source, a level out of range, less than one draw, and a model without
    cells.
    """
    if source not in SOURCES:
        raise ParameterError(f"source: need one of {', '.join(SOURCES)}, got {source!r}")
    _, unit, usual = SOURCES[source]
    levels = usual if levels is None else tuple(levels)
    if draws < 1:
        raise ParameterError(f"draws: need 1 or more, got {draws}")
    if not pack.network.parameters.blocks:
        raise ParameterError(f"noise: need a model with BMRU cells, {pack.name} has none")
    for level in levels:
        with_level(settings, source, level)  # refuses what is out of range
    settings = replace(settings, frame_s=utterances.frame_s)
    clips = range(len(utterances))
    groups = [tuple(clips[at : at + CLIPS_AT_ONCE]) for at in clips[::CLIPS_AT_ONCE]]
    tasks = [_Task(level, group) for level in levels for group in groups]
    # ONNX Runtime does not travel; the arrays do, and give the same bits
    function = _Errors(Network(pack.network.parameters), utterances, settings, source, seed, draws)
    parts = list((workers or Workers(1)).map(function, tasks, progress=progress))
    rows, overall = [], []
    for index, level in enumerate(levels):
        errors = np.concatenate(parts[index * len(groups) : (index + 1) * len(groups)])
        for block in range(errors.shape[1]):
            rows.append(_summary(block, level, errors[:, block], seed))
        weights = np.array([b.cells for b in pack.network.parameters.blocks], np.float64)
        together = np.average(errors, axis=1, weights=weights)
        overall.append(_summary(-1, level, together, seed))
    head = heading("noise", pack, utterances, seed, settings) | {"draws": draws}
    head |= {"source": source, "level_unit": unit}
    worst = with_level(settings, source, max(levels, default=0.0))
    head["extrapolations"] = extrapolations(pack.network.parameters, worst)
    return NoiseStudy(head, levels, tuple(rows), tuple(overall))


def _summary(block: int, level: float, errors: FloatArray, seed: int) -> BlockErrors:
    """Means over clips of errors (clips, 3), and the bootstrap of the ratio of the first two."""
    candidate, state, agree = (float(value) for value in errors.mean(axis=0))
    factor, interval = None, None
    if state > 0:
        factor = candidate / state
    if state > 0 and len(errors) > 1:
        rng = np.random.default_rng(seed)
        picks = rng.integers(len(errors), size=(RESAMPLES, len(errors)))
        sums = errors[picks, :2].sum(axis=1)
        # a resample in which no state differs has no factor: it counts as the largest
        ratios = np.full(len(sums), np.inf)
        np.divide(sums[:, 0], sums[:, 1], out=ratios, where=sums[:, 1] > 0)
        low, high = np.quantile(ratios, (0.025, 0.975), method="nearest")
        interval = (float(low), float(high) if np.isfinite(high) else None)
    return BlockErrors(block, level, candidate, state, agree, factor, interval)
