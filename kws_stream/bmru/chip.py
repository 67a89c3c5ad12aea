"""A chip that is not ideal: virtual chips drawn from a seed, and their simulation.

    settings = ChipSettings(mismatch_percent=5, off_state_na=0.0046)
    trace = simulate(net, features, settings, seed=1)      # as net.run, on virtual chip 0

The default settings are the ideal chip: `simulate` then gives every bit of `net.run`.
docs/chip.md has the equations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from kws_stream.bmru.cell import Bits, sequence
from kws_stream.bmru.chip_settings import CANDIDATE_KNEE_NA, CHARGE_C, ChipSettings
from kws_stream.bmru.fabricate import (
    HIGH_CURRENT_NA,
    LOW_CURRENT_NA,
    ChipBlock,
    ChipLayer,
    extrapolations,
    fabricate,
    generator,
)
from kws_stream.bmru.sums import Sums, ordered_sums
from kws_stream.bmru.trace import Trace
from kws_stream.errors import InputError, ParameterError
from kws_stream.parameters import BoolArray, FloatArray, NetworkParameters

__all__ = [
    "ChipBatch",
    "ChipSettings",
    "check_features",
    "extrapolations",
    "simulate",
]


Record = Callable[[ChipBlock, FloatArray, FloatArray, Bits], None]
"""Hears a block, its inputs, candidates and bits."""


class HasParameters(Protocol):
    """A `kws_stream.Network`, for this module, which knows of none."""

    @property
    def parameters(self) -> NetworkParameters: ...


def simulate(
    net: HasParameters,
    features: ArrayLike,
    settings: ChipSettings | None = None,
    seed: int = 0,
    chip: int = 0,
    clip: int = 0,
) -> Trace:
    """Trace of a sequence (T, n_features) on virtual chip number `chip` of `seed`.

    As `net.run`, and equal to it in every bit for ideal settings. The mismatch depends on seed and
    chip alone; the noise on seed, chip and clip. With settling, the trace shows the end of every
    frame. Raises InputError for features of another shape, or that are not finite, ParameterError
    for a negative seed, chip or clip.
    """
    for name, number in (("seed", seed), ("chip", chip), ("clip", clip)):
        if number < 0:
            raise ParameterError(f"{name}: need 0 or more, got {number}")
    batch = ChipBatch(net.parameters, settings or ChipSettings(), seed, [chip])
    return batch.run(check_features(features, net.parameters.n_features), clip).of_chip(0)


def check_features(features: ArrayLike, n_features: int) -> FloatArray:
    """Features (T, n_features) as float64; InputError for other shapes, NaN and infinity."""
    try:
        x = np.asarray(features, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"features: need an array of numbers, got {features!r:.80}") from error
    if x.ndim != 2 or x.shape[1] != n_features:
        raise InputError(f"features: need shape (frames, {n_features}), got {x.shape}")
    if not np.isfinite(x).all():
        raise InputError("features: need finite numbers, got NaN or infinity")
    return x


class ChipBatch:
    """Virtual chips of one network, simulated side by side.

    Every sum runs over its inputs in index order, the bias last, each operation rounded by itself:
    no number of chips, workers or frames changes a bit, and a network that is exact, or that sums
    in that order as `kws_stream.Network` does, gives its own bits on the ideal chip. sums: what
    computes them, `kws_stream.engine.chip.sums` for instance.
    """

    def __init__(
        self,
        parameters: NetworkParameters,
        settings: ChipSettings,
        seed: int,
        chips: Sequence[int],
        sums: Sums | None = None,
    ) -> None:
        self.parameters = parameters
        self.settings = settings
        self.chips = tuple(chips)
        self.arrays = fabricate(parameters, settings, seed, self.chips)
        self._seed = seed
        self._sums = sums or ordered_sums
        self._posts = [self._switched(block) for block in self.arrays.blocks]

    def run(self, features: FloatArray, clip: int = 0, *, every_step: bool = False) -> Trace:
        """Trace of features (T, n_features), each wire with a last axis of chips.

        clip: its number, for its own noise. every_step: with settling, show every time step
        instead of the end of each frame.
        """
        steps = self._steps
        shown = slice(None) if every_step else slice(steps - 1, None, steps)
        offered: list[FloatArray] | None = [] if self.settings.loaded else None
        trace = Trace(np.empty(0), [], [], [], [], offered)

        def record(block: ChipBlock, x: FloatArray, candidates: FloatArray, bits: Bits) -> None:
            x, candidates, bits = x[shown], candidates[shown], bits[shown]
            trace.inputs.append(x)
            if trace.offered is None:
                trace.candidates.append(candidates)
            else:
                trace.offered.append(candidates)
                trace.candidates.append(self._flowing(candidates, bits, block))
            trace.states.append(np.where(bits, block.alpha, self.arrays.off_state))
            trace.bits.append(bits)

        x = self._through_blocks(features, clip, record)
        trace.logits = self._affine(x[shown], self.arrays.classifier)
        return trace

    def logits(self, features: FloatArray, clip: int, start: int, stop: int) -> FloatArray:
        """Logits (stop - start, K, chips) of these frames: those of `run`, for less."""
        x = self._through_blocks(features, clip)[self._steps - 1 :: self._steps]
        return self._affine(x[start:stop], self.arrays.classifier)

    @property
    def _steps(self) -> int:
        return self.settings.steps_per_frame if self.settings.settling_s else 1

    def _through_blocks(
        self, features: FloatArray, clip: int, record: Record | None = None
    ) -> FloatArray:
        """The classifier's inputs (steps, m, chips); record hears every block's signals."""
        x = self._affine(features[:, :, None], self.arrays.pre)
        x = np.repeat(x, self._steps, axis=0)
        noise = self._noise(clip)
        blocks = zip(self.arrays.blocks, self._posts, self.parameters.blocks, strict=True)
        for block, post, programmed in blocks:
            candidates = self._candidates(x, block, self._steps, noise)
            start = np.broadcast_to(programmed.initial_state[:, None], candidates.shape[1:])
            bits = sequence(candidates, start, block.beta1, block.beta2)
            if record is not None:
                record(block, x, candidates, bits)
            out = self._sums(bits.astype(np.float64), post.switched, block.post.bias) + post.off
            x = x + np.maximum(out, 0)
        return x

    def _switched(self, block: ChipBlock) -> "_Post":
        """A cell gives one of two currents, so each of its mirrors does: computed once."""
        off_state = np.full_like(block.alpha, self.arrays.off_state)
        on, off = (self._branches(states, block.post) for states in (block.alpha, off_state))
        return _Post(on - off, ordered_sums(np.ones((1, len(off), 1)), off, None)[0])

    def _branches(self, x: FloatArray, layer: ChipLayer) -> FloatArray:
        """Currents (n_in, n_out, chips) out of every mirror, of those into them (n_in, chips)."""
        branches: FloatArray = x[:, None] * layer.weight
        if layer.low is not None and layer.high is not None:
            low, high = self._ends(x)
            branches += low[:, None] * layer.low
            branches += high[:, None] * layer.high
        return branches

    def _candidates(
        self,
        x: FloatArray,
        block: ChipBlock,
        steps: int,
        noise: list[np.random.Generator],
    ) -> FloatArray:
        """Candidate currents (T, d, chips): relu of the sums, then settling, then noise."""
        currents = np.maximum(x, 0)
        candidates = np.maximum(self._affine(currents, block.candidate), 0)
        if self.settings.candidate_gain:
            candidates = candidates * (1 + self.settings.candidate_gain)
        if self.settings.settling_s:
            step_s = self.settings.frame_s / steps
            keep = np.exp(-step_s / self.settings.time_constant_s)
            candidates = _settled(candidates, keep)
        if noise:
            frames, cells, _ = candidates.shape
            draws = np.stack([rng.standard_normal((frames, cells)) for rng in noise], axis=-1)
            candidates = np.maximum(candidates + draws * self._noise_rms(currents, block), 0)
        return candidates

    def _flowing(self, candidates: FloatArray, bits: BoolArray, block: ChipBlock) -> FloatArray:
        """What flows into the cells (T, d, chips), of what they compare.

        The comparison is not touched: the state bits of the published waveforms are those of the
        programmed currents in 99.88 %, at offsets and clamps of a multiple of the hysteresis.
        """
        settings = self.settings
        rest, offset = (
            value / settings.unit_na
            for value in (settings.candidate_rest_na, settings.candidate_offset_na)
        )
        share = np.minimum(candidates * (settings.unit_na / CANDIDATE_KNEE_NA), 1.0)
        flowing: FloatArray = candidates + rest + share * (offset - rest)
        if block.clamp is not None:
            flowing = np.where(bits, np.minimum(flowing, block.clamp), flowing)
        return flowing

    def _noise(self, clip: int) -> list[np.random.Generator]:
        """One generator a chip, or none where there is no noise."""
        if not self.settings.random:
            return []
        return [generator(self._seed, chip, 1, clip) for chip in self.chips]

    def _noise_rms(self, currents: FloatArray, block: ChipBlock) -> FloatArray | float:
        """RMS noise of the candidates in unit currents.

        Shot noise, which in subthreshold is the thermal noise: 2·q·I a saturated device and Hz
        (Sarpeshkar, Delbruck, Mead, IEEE Circuits and Devices 9(6), 1993). A branch of weight w
        carries the noise of its output device and, times w^2, of the input device.
        """
        unit_a = self.settings.unit_na * 1e-9
        variance: FloatArray | float = (self.settings.candidate_noise_na * 1e-9) ** 2
        if self.settings.noise_bandwidth_hz:
            weight = np.abs(block.candidate.weight)
            both = ChipLayer(weight * (1 + weight), 2 * np.abs(block.candidate.bias))
            branches = self._sums(currents, both.weight, both.bias) * unit_a
            variance = variance + 2 * CHARGE_C * self.settings.noise_bandwidth_hz * branches
        return np.sqrt(variance) / unit_a

    def _affine(self, x: FloatArray, layer: ChipLayer) -> FloatArray:
        """Sums (T, n_out, chips) of x (T, n_in, chips or 1), through mirrors."""
        total = self._sums(x, layer.weight, layer.bias)
        if layer.low is not None and layer.high is not None:
            low, high = self._ends(x)
            total += self._sums(low, layer.low, None)
            total += self._sums(high, layer.high, None)
        return total

    def _ends(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """x, times how near its current is to LOW_CURRENT_NA, and to HIGH_CURRENT_NA.

        In log current: the gain changes linearly from 1 nA down to 0.1 nA and up to 3 nA, and
        stays there beyond. A signed x is on two rails, each with a mirror of its own.
        """
        flows = np.flatnonzero(x)
        currents = x.ravel()[flows]
        decades = np.log10(np.abs(currents) * self.settings.unit_na)
        ends = []
        for end_na in (LOW_CURRENT_NA, HIGH_CURRENT_NA):
            end = np.zeros(x.shape)
            end.reshape(-1)[flows] = currents * np.clip(decades / np.log10(end_na), 0, 1)
            ends.append(end)
        return ends[0], ends[1]


@dataclass(frozen=True, eq=False)
class _Post:
    """What the cells of a block give to wires: off (n_out, chips) where none is on, to which each
    that is on adds switched (n_in, n_out, chips)."""

    switched: FloatArray
    off: FloatArray


def _settled(targets: FloatArray, keep: float) -> FloatArray:
    """First-order response to targets (T, ...) that are held for a step each, from rest at 0."""
    settled = np.empty_like(targets)
    value = np.zeros_like(targets[0]) if len(targets) else targets
    for t, target in enumerate(targets):
        value = target + (value - target) * keep
        settled[t] = value
    return settled
