"""The network that is trained computes what the written one and the chip compute."""

from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from kws_stream import bmru, power  # noqa: E402
from kws_stream.bmru.chip import ChipBatch, ChipSettings, simulate  # noqa: E402
from kws_stream.network import Network  # noqa: E402
from kws_stream.packs.pruning import pruned  # noqa: E402
from kws_stream.training.loop import centre_candidates, new_network  # noqa: E402
from kws_stream.training.model import Mismatch, PartOfChip  # noqa: E402
from kws_stream.training.recipe import Recipe  # noqa: E402
from kws_stream.training.scan import cells  # noqa: E402
from tests.recipe_factory import small_recipe  # noqa: E402


def small_network(recipe: Recipe, frames: int = 40) -> tuple[Any, np.ndarray, torch.Tensor]:
    """A network in float64 with centred candidates, features (frames, 48) and them as a batch."""
    torch.manual_seed(3)
    module = new_network(recipe).double()
    step, _, high = recipe.features.input_grid
    features = np.random.default_rng(0).integers(0, round(high / step) + 1, (frames, 48)) * step
    batch = torch.from_numpy(features)[:, None]
    centre_candidates(module, batch)
    return module, features, batch


def surrogate_step(x: torch.Tensor, slope: float) -> torch.Tensor:
    """Heaviside whose derivative is 1 / (1 + (pi·x·slope)^2), through autograd alone."""
    smooth = torch.atan(torch.pi * slope * x) / (torch.pi * slope)
    return (x >= 0).to(x.dtype) + smooth - smooth.detach()


def loop_currents(
    candidate: torch.Tensor,
    beta1: torch.Tensor,
    delta: torch.Tensor,
    alpha: torch.Tensor,
    start: torch.Tensor,
    eps: float,
    slope: float,
) -> torch.Tensor:
    """The cells as a loop over time: slow and obvious."""
    states, state = [], start
    for c in torch.relu(candidate):
        sets = surrogate_step(c - beta1 - delta, slope)
        hold = surrogate_step(c - beta1, slope) - sets
        state = (hold + (1 - hold) * eps) * state + sets
        states.append(state)
    return alpha * torch.stack(states)


def random_cells(seed: int) -> tuple[torch.Tensor, ...]:
    """Candidates before relu, beta1, delta, alpha and starting bits."""
    generator = torch.Generator().manual_seed(seed)
    # multiples of 1/8, so that thresholds are hit exactly
    candidate = torch.randint(-3, 16, (12, 3, 5), generator=generator).double() / 8
    beta1 = torch.randint(0, 8, (5,), generator=generator).double() / 8
    delta = torch.randint(0, 6, (5,), generator=generator).double() / 8
    alpha = torch.randint(0, 6, (5,), generator=generator).double() / 8
    start = torch.randint(0, 2, (3, 5), generator=generator).double()
    return candidate, beta1, delta, alpha, start


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_cells_without_eps_are_the_cells_of_the_network(seed: int, compiled: bool) -> None:
    candidate, beta1, delta, alpha, start = random_cells(seed)
    bits = bmru.sequence(
        candidate.clamp(min=0).numpy(), start.numpy() > 0, beta1.numpy(), (beta1 + delta).numpy()
    )
    single = (tensor.float() for tensor in (candidate, beta1, delta, alpha, start))
    got = cells(*single, compiled=compiled)
    assert np.array_equal(got.numpy(), bits * alpha.float().numpy())


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("eps", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_cells_have_the_gradient_of_the_loop(eps: float, slope: float, compiled: bool) -> None:
    *inputs, start = (tensor.float() if compiled else tensor for tensor in random_cells(7))
    results = []
    for function in (partial(cells, compiled=compiled), loop_currents):
        leaves = [t.clone().requires_grad_() for t in inputs]
        states = function(*leaves, start, eps, slope)
        weights = torch.linspace(-1, 1, states.numel(), dtype=states.dtype).view_as(states)
        (states * weights).sum().backward()
        results.append([states.detach(), *(leaf.grad for leaf in leaves)])
    close = 1e-5 if compiled else 1e-12  # float32 and float64
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=close, atol=close)


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_written_network_equals_the_trained_one_in_every_bit(scale: float) -> None:
    recipe = small_recipe()
    module, features, batch = small_network(recipe)
    logits = module(batch)[:, 0].detach().numpy()
    network = Network(module.parameters_on_grid(recipe.features.input_grid, scale))
    assert network.exactness.exact, network.exactness.reason
    trace = network.run(features)
    assert np.array_equal(trace.logits, logits)
    assert any(bits.any() and not bits.all() for bits in trace.bits)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_chip_in_training_is_the_typical_chip(share: float) -> None:
    recipe = small_recipe(current_scale=0.5)
    module, features, batch = small_network(recipe)
    for block in module.typed_blocks:
        block.alpha.data[:2] = -1.0  # idle cells, which are not on the chip
    unit_na = 0.7
    chip = PartOfChip(unit_na * recipe.current_scale, transfer=share, leakage=share)
    logits = module.with_power(batch, chip=chip)[0]
    exact = module.with_power(batch)[0]
    parameters = module.parameters_on_grid(recipe.features.input_grid, recipe.current_scale)
    network = Network(pruned(parameters))
    assert [block.cells for block in network.parameters.blocks] == [recipe.cells - 2] * 2
    typical = ChipSettings.typical(unit_na=unit_na, mirror_current=False, alpha_transfer=True)
    settings = typical if share else None
    trace = simulate(network, features, settings)
    np.testing.assert_allclose(logits[:, 0].detach().numpy(), trace.logits, rtol=0, atol=1e-9)
    assert torch.equal(logits, exact) == (share == 0)


@pytest.mark.parametrize("lowest_beta1", [0.25, -2.0])
def test_the_power_in_the_loss_is_the_power_of_the_written_network(lowest_beta1: float) -> None:
    recipe = small_recipe(current_scale=0.25)
    module, features, batch = small_network(recipe)
    for block in module.typed_blocks:
        block.beta1.data = torch.linspace(lowest_beta1, 0.75, recipe.cells).double()
    module.classifier.bias.data = torch.linspace(-2, 1, len(recipe.classes)).double()
    _, core_nw, classifier_nw, _ = module.with_power(batch, current_scale=recipe.current_scale)
    network = Network(module.parameters_on_grid(recipe.features.input_grid, recipe.current_scale))
    expected = power.estimate(network, network.run(features))
    assert core_nw.item() == pytest.approx(expected.core_nw, rel=1e-9)
    assert classifier_nw.item() == pytest.approx(expected.classifier_nw, rel=1e-9)


@pytest.mark.parametrize("lowest_beta1", [0.25, -2.0])
def test_the_margin_in_the_loss_is_what_noise_does_to_the_written_network(
    lowest_beta1: float,
) -> None:
    """The expected state error against the mean of 300 noisy chips, in nA."""
    recipe = small_recipe(current_scale=0.25, blocks=1)
    module, features, batch = small_network(recipe, frames=60)
    (block,) = module.typed_blocks
    block.beta1.data = torch.linspace(lowest_beta1, 0.75, recipe.cells).double()
    block.delta.data = torch.linspace(0, 0.4, recipe.cells).double()
    block.alpha.data = torch.linspace(-1, 2, recipe.cells).double()  # two are not on the chip
    noise_na = 0.03
    scale = recipe.current_scale
    expected = module.with_power(batch, current_scale=scale, noise_na=noise_na).state_error
    network = Network(pruned(module.parameters_on_grid(recipe.features.input_grid, scale)))
    assert network.parameters.blocks[0].cells == recipe.cells - 2
    settings = ChipSettings(candidate_noise_na=noise_na)
    noisy = ChipBatch(network.parameters, settings, 0, range(300)).run(features).states[0]
    errors_na = np.abs(noisy - network.run(features).states[0][..., None])
    spread = errors_na.mean((0, 1)).std() / 300**0.5
    expected_na = expected.item() * noise_na * (2 / np.pi) ** 0.5
    assert spread < 0.03 * expected_na
    assert errors_na.mean() == pytest.approx(expected_na, abs=4 * spread)


def test_mismatch_draws_another_chip_each_time_and_none_at_zero() -> None:
    values = torch.full((2000,), 4.0)
    draw = Mismatch(0.15, torch.Generator().manual_seed(0))
    (first,), (second,) = draw(values), draw(values)
    assert not torch.equal(first, second)
    assert float((first / values).std()) == pytest.approx(0.05, rel=0.1)
    assert torch.equal(Mismatch(0.0, torch.Generator())(values)[0], values)
