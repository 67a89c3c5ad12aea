"""The network of `kws_stream.network` as a PyTorch module, on the chip's grid while it trains."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kws_stream.bmru.chip_settings import OFF_STATE_NA
from kws_stream.bmru.fabricate import GAIN_FIT, THRESHOLD_FIT, WIDTH_FIT
from kws_stream.errors import ParameterError
from kws_stream.packs.pruning import change_nothing, with_dead_units
from kws_stream.parameters import FloatArray, Layer, NetworkParameters
from kws_stream.power import formulas
from kws_stream.training.margin import state_errors
from kws_stream.training.scan import cells as cell_currents


@dataclass(frozen=True)
class Grid:
    """Fixed-point formats: a value is an integer of `bits` (with sign) times `step`."""

    weight_bits: int = 7
    weight_step: float = 2.0**-4
    current_bits: int = 10  # biases, thresholds and state currents
    current_step: float = 2.0**-6

    @property
    def weight_max(self) -> float:
        return float((2 ** (self.weight_bits - 1) - 1) * self.weight_step)

    @property
    def current_max(self) -> float:
        return float((2 ** (self.current_bits - 1) - 1) * self.current_step)


def _round(value: Tensor, step: float, low: float, high: float) -> Tensor:
    """Straight-through rounding to multiples of `step`: the gradient ignores the rounding."""
    limited = value.clamp(low, high)
    return limited + (torch.round(limited / step) * step - limited).detach()


class _Affine(nn.Module):
    def __init__(self, n_in: int, n_out: int, grid: Grid, positive: bool = False) -> None:
        super().__init__()
        weight = torch.randn(n_in, n_out) * (1 / n_in) ** 0.5
        self.weight = nn.Parameter(weight.abs() if positive else weight)
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.grid = grid

    def arrays(self, quantised: bool) -> tuple[Tensor, Tensor]:
        if not quantised:
            return self.weight, self.bias
        g = self.grid
        return (
            _round(self.weight, g.weight_step, -g.weight_max, g.weight_max),
            _round(self.bias, g.current_step, -g.current_max, g.current_max),
        )

    def forward(self, x: Tensor, quantised: bool) -> Tensor:
        return _product(x, *self.arrays(quantised))


def _product(x: Tensor, weight: Tensor, bias: Tensor, *, half: bool = False) -> Tensor:
    """``x @ weight + bias`` along the last axis; half: see `_HalfProduct`."""
    flat = x.flatten(0, -2)
    if half:
        apply: Any = _HalfProduct.apply
        out: Tensor = apply(flat, weight) + bias
    else:
        out = torch.addmm(bias, flat, weight)
    return out.view(*x.shape[:-1], bias.shape[0])


class _HalfProduct(torch.autograd.Function):
    """``x @ weight`` in bfloat16, twice to three times as quick on processors that have it.

    Weights and features of eight bits are exact in it; the product is rounded to eight bits, an
    error of less than 0.4 %, which training meets like a little mismatch.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x, weight)
        product: Tensor = (x @ weight).float()
        return product

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        grad = grads[0].bfloat16()
        grad_x = (grad @ weight.t()).float() if ctx.needs_input_grad[0] else None
        return grad_x, (x.t() @ grad).float()


class Mismatch:
    """Draws one virtual chip: every parameter times 1 + N(0, (spread / 3)^2).

    The convention of arXiv:2605.15216: a mismatch of +-spread is three standard deviations.
    """

    def __init__(self, spread: float, generator: torch.Generator) -> None:
        self.spread = spread
        self._generator = generator

    def __call__(self, *values: Tensor) -> list[Tensor]:
        if not self.spread:
            return list(values)
        sigma = self.spread / 3
        return [
            v * (1 + sigma * torch.randn(v.shape, generator=self._generator).to(v.device))
            for v in values
        ]


EXACT = Mismatch(0.0, torch.Generator())


@dataclass(frozen=True)
class PartOfChip:
    """Some of what sets the typical chip's cells apart from exact ones, both in nA of its sweeps.

    unit_na: current that stands for 1 in the network. transfer: share of the way from what is
    programmed to what is effective. leakage: share of the current that a cell gives when it is off.
    A cell without a state current will not be on the chip (see `pruning`): it gives nothing.
    """

    unit_na: float
    transfer: float
    leakage: float

    def cells(self, beta2: Tensor, delta: Tensor, alpha: Tensor) -> list[Tensor]:
        """Their effective values, by the fits of `kws_stream.bmru.ChipSettings`."""
        effective = []
        fits = (THRESHOLD_FIT, WIDTH_FIT, GAIN_FIT)
        for value, (slope, offset, _) in zip((beta2, delta, alpha), fits, strict=True):
            change = (slope - 1) * value + offset / self.unit_na
            effective.append(value + self.transfer * change)
        effective[2] = torch.where(alpha > 0, effective[2], alpha)
        return [effective[0], torch.relu(effective[1]), torch.relu(effective[2])]

    def state(self, state: Tensor, alpha: Tensor) -> Tensor:
        """State currents with the leakage of cells that are off, by their effective alpha (d,)."""
        return state + self.leakage * OFF_STATE_NA / self.unit_na * ((state == 0) & (alpha > 0))


class SpottingBlock(nn.Module):
    """Cells and mirrors of one block."""

    def __init__(self, width: int, cells: int, grid: Grid) -> None:
        super().__init__()
        self.candidate = _Affine(width, cells, grid, positive=True)
        self.post = _Affine(cells, width, grid)
        self.beta1 = nn.Parameter(torch.full((cells,), 0.5))
        self.delta = nn.Parameter(torch.full((cells,), 0.5))
        self.alpha = nn.Parameter(torch.ones(cells))
        self.grid = grid
        nn.init.constant_(self.candidate.bias, 0.75)  # the middle of beta1..beta2

    def cell_values(self, quantised: bool) -> tuple[Tensor, Tensor, Tensor]:
        """beta1, delta and alpha; delta and alpha are never negative."""
        if not quantised:
            return self.beta1, self.delta.clamp(min=0), self.alpha.clamp(min=0)
        step, high = self.grid.current_step, self.grid.current_max
        return (
            _round(self.beta1, step, -high, high),
            _round(self.delta, step, 0.0, high),
            _round(self.alpha, step, 0.0, high),
        )

    def renew_idle_cells(self) -> Tensor:
        """Make cells that change nothing untrained ones that no mirror copies; which ones, (d,).

        Where all of them are, the block gets a bias of one step: without one nothing would pass the
        rectifier, and the block learn nothing.
        """
        idle: Tensor = change_nothing(self.cell_values(True)[2], self.post.arrays(True)[0])
        width, cells = self.candidate.weight.shape
        new = SpottingBlock(width, cells, self.grid).to(idle.device)
        self.candidate.weight[:, idle] = new.candidate.weight[:, idle]
        self.candidate.bias[idle] = new.candidate.bias[idle]
        for name in ("beta1", "delta", "alpha"):
            getattr(self, name)[idle] = getattr(new, name)[idle]
        self.post.weight[idle] = 0.0
        if idle.all():
            self.post.bias.clamp_(min=self.grid.current_step)
        return idle


def state_currents(candidate: Tensor, block: SpottingBlock) -> Tensor:
    """State currents (T, batch, d) of the block's cells from silence, not quantised."""
    start = candidate.new_zeros(candidate.shape[1:])
    beta1, delta, alpha = block.cell_values(False)
    return cell_currents(candidate, beta1, delta, alpha, start)


def _branches_na(
    inputs: Tensor,
    into: list[Tensor],
    candidate: Tensor,
    biases: tuple[Tensor, ...],
    state: Tensor,
    out_of: list[Tensor],
) -> tuple[Tensor, float]:
    """Branch currents of one block by the formulas of `kws_stream.power.formulas`, differentiable.

    Returns what is proportional to the network's currents, (), and the constant.
    """

    def mean(currents: Tensor) -> Tensor:  # the gradient of Tensor.mean divides every entry
        return currents.sum((0, 1)) / (currents.shape[0] * currents.shape[1])

    def branches(currents: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return (currents @ torch.relu(weight) + torch.relu(bias)).sum()

    mean_in, mean_state = mean(inputs), mean(state)

    negative_into, positive_out, negative_out = ([-v for v in into], out_of, [-v for v in out_of])
    cell_na = (
        formulas.BIAS_GAIN * torch.stack(biases).sum()
        + formulas.CANDIDATE_GAIN * mean(torch.relu(candidate)).sum()
        + formulas.STATE_GAIN * mean_state.sum()
    )
    mirror_na = (
        formulas.POSITIVE_GAIN * branches(mean_in, *into)
        + formulas.NEGATIVE_GAIN * branches(mean_in, *negative_into)
        + formulas.POST_GAIN
        * (branches(mean_state, *positive_out) + branches(mean_state, *negative_out))
    )
    constant_na = formulas.CONSTANT_NA * state.shape[-1] / formulas.CONSTANT_CELLS
    return cell_na + mirror_na, constant_na


def _classifier_nw(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Power (), in nW at 1 nA, of the classifier's mirrors for the skip path x (T, batch, width).

    As `kws_stream.power.PowerEstimate.classifier_nw`: a current that can change its sign takes a
    rail for each.
    """
    frames = x.shape[0] * x.shape[1]
    above, below = (torch.relu(rail).sum((0, 1)) / frames for rail in (x, -x))
    positive, negative = torch.relu(weight), torch.relu(-weight)
    branches_na = (
        formulas.POSITIVE_GAIN * (above @ positive + below @ negative + torch.relu(bias)).sum()
        + formulas.NEGATIVE_GAIN * (above @ negative + below @ positive + torch.relu(-bias)).sum()
    )
    return formulas.VDD_V * branches_na


class Passed(NamedTuple):
    """What a network gives for a batch.

    logits: (T, batch, K). core_nw, classifier_nw: mean power in nW at 1 nA, () each. state_error:
    what noise is expected to do to the states, (): the mean of `margin.state_errors` over the cells
    that have a state current.
    """

    logits: Tensor
    core_nw: Tensor
    classifier_nw: Tensor
    state_error: Tensor


class SpottingNetwork(nn.Module):
    """Network with `blocks` blocks of `cells` cells between skip paths of `width` wires."""

    def __init__(
        self,
        n_features: int,
        width: int,
        cells: int,
        blocks: int,
        classes: int,
        grid: Grid | None = None,
    ) -> None:
        super().__init__()
        grid = grid or Grid()
        self.pre = _Affine(n_features, width, grid)
        self.typed_blocks = [SpottingBlock(width, cells, grid) for _ in range(blocks)]
        self.blocks = nn.ModuleList(self.typed_blocks)
        self.classifier = _Affine(width, classes, grid)
        self.cells = cells

    def forward(self, features: Tensor) -> Tensor:
        """Logits (T, batch, K) of features (T, batch, n_features), as the written pack gives."""
        return self.with_power(features).logits

    def with_power(
        self,
        features: Tensor,
        start: list[Tensor] | None = None,
        eps: float = 0.0,
        slope: float = 1.0,
        quantised: bool = True,
        dropout: float = 0.0,
        mismatch: Mismatch = EXACT,
        chip: PartOfChip | None = None,
        current_scale: float = 1.0,
        half: bool = False,
        noise_na: float = 0.0,
    ) -> Passed:
        """What the network gives for features (T, batch, n_features), and what it costs.

        start: the bits before the first frame, (batch, d) for each block; default all zero.
        chip: what cells differ in from exact ones; default nothing.
        current_scale: what every current will be multiplied by when the pack is written.
        half: multiply in bfloat16.
        noise_na: rms on every candidate of the pack that is written, at 1 nA, for which the state
        error is expected; with 0 it is not computed, and 0.
        """
        x = _product(features, *mismatch(*self.pre.arrays(quantised)), half=half)
        power, state_error, on_chip = (x.new_zeros(()) for _ in range(3))
        for index, block in enumerate(self.typed_blocks):
            beta1, delta, alpha = block.cell_values(quantised)
            beta2, delta, alpha = mismatch(beta1 + delta, delta, alpha)
            if chip is not None:
                beta2, delta, alpha = chip.cells(beta2, delta, alpha)
            into, out_of = (
                mismatch(*layer.arrays(quantised)) for layer in (block.candidate, block.post)
            )
            inputs = torch.relu(x)
            candidate = _product(inputs, *into, half=half)
            first = x.new_zeros(x.shape[1], self.cells) if start is None else start[index]
            state = cell_currents(candidate, beta2 - delta, delta, alpha, first, eps, slope)
            if noise_na:
                given = (candidate, beta2 - delta, delta, alpha, first)
                state_error = state_error + state_errors(*given, noise_na / current_scale).sum()
                on_chip = on_chip + (alpha > 0).sum()
            bias_currents = (alpha, torch.relu(beta2), delta)  # beta2 < 0: always on, as with 0
            scaled_na, constant_na = _branches_na(
                inputs, into, candidate, bias_currents, state, out_of
            )
            power = power + formulas.VDD_V * (current_scale * scaled_na + constant_na)
            if dropout:  # a cell is left out for a whole sequence
                kept = nn.functional.dropout(torch.ones_like(first), dropout, self.training)
                state = state * kept
            if chip is not None:
                state = chip.state(state, alpha)
            x = x + torch.relu(_product(state, *out_of, half=half))
        weight, bias = mismatch(*self.classifier.arrays(quantised))
        logits, classifier_nw = _product(x, weight, bias), _classifier_nw(x, weight, bias)
        return Passed(logits, power, classifier_nw, state_error / on_chip.clamp(min=1))

    def load_larger(self, state: dict[str, Tensor]) -> None:
        """Load the state of a network of this size, or of one with fewer cells or blocks.

        What it does not have is idle (see `pruning`). Raises RuntimeError for one of another width.
        """
        padded = dict(state)
        for name, own in self.state_dict().items():
            if name.startswith("blocks."):
                value = state.get(name, own.new_zeros([0] * own.ndim))
                more = [max(0, n - m) for n, m in zip(own.shape, value.shape, strict=True)]
                edges = [edge for count in reversed(more) for edge in (0, count)]
                padded[name] = nn.functional.pad(value, edges)
        self.load_state_dict(padded)

    @torch.no_grad()
    def take(
        self,
        parameters: NetworkParameters,
        current_scale: float = 1.0,
        *,
        classifier: bool = True,
    ) -> None:
        """Begin with the arrays of a written network: what `parameters_on_grid` gives, undone.

        classifier: False leaves the classifier as it is. Cells and blocks that were left out of the
        written network come back as idle ones (see `pruning`). Raises ParameterError if the arrays
        have other shapes then.
        """
        parameters = with_dead_units(parameters, len(self.typed_blocks), self.cells)

        def copy(own: Tensor, array: FloatArray, scale: float) -> None:
            if own.shape != array.shape:
                raise ParameterError(f"need arrays of {tuple(own.shape)}, got {array.shape}")
            own.copy_(torch.tensor(array * scale))

        def layer(affine: _Affine, written: Layer, weight: float, bias: float) -> None:
            copy(affine.weight, written.weight, weight)
            copy(affine.bias, written.bias, bias)

        s = current_scale
        if len(self.typed_blocks) != len(parameters.blocks):
            raise ParameterError(
                f"need {len(self.typed_blocks)} blocks, got {len(parameters.blocks)}"
            )
        layer(self.pre, parameters.pre, 1 / s, 1 / s)
        for block, written in zip(self.typed_blocks, parameters.blocks, strict=True):
            layer(block.candidate, written.candidate, 1.0, 1 / s)
            layer(block.post, written.post, 1.0, 1 / s)
            copy(block.beta1, written.beta1, 1 / s)
            copy(block.delta, written.delta, 1 / s)
            copy(block.alpha, written.alpha, 1 / s)
        if classifier:
            layer(self.classifier, parameters.classifier, s, 1.0)

    @torch.no_grad()
    def parameters_on_grid(
        self, input_grid: tuple[float, float, float], current_scale: float = 1.0
    ) -> NetworkParameters:
        """The quantised arrays for `kws_stream.Network`.

        current_scale, a power of two, multiplies every current inside the network (and divides the
        classifier's weights by it): the same bits and logits at another power.
        """

        def layer(affine: _Affine, weight: float, bias: float) -> tuple[FloatArray, FloatArray]:
            w, b = affine.arrays(quantised=True)
            return w.double().cpu().numpy() * weight, b.double().cpu().numpy() * bias

        s = current_scale
        blocks = []
        for block in self.typed_blocks:
            beta1, delta, alpha = (v.double().cpu().numpy() * s for v in block.cell_values(True))
            blocks.append(
                {
                    "candidate": layer(block.candidate, 1.0, s),
                    "beta1": beta1,
                    "delta": delta,
                    "alpha": alpha,
                    "post": layer(block.post, 1.0, s),
                }
            )
        return NetworkParameters.from_arrays(
            layer(self.pre, s, s), blocks, layer(self.classifier, 1 / s, 1.0), input_grid
        )
