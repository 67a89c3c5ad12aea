"""Idle cells are left out of a network that is written, and not a bit of what it says changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream.network import Network
from kws_stream.packs.pruning import dead_units, pruned, with_dead_units
from kws_stream.parameters import Block, NetworkParameters
from kws_stream.power import estimate
from tests.pack_factory import random_network

FEATURES = np.random.default_rng(3).integers(-64, 65, (200, 5)) * 2.0**-6


def changed(block: Block, **fields: object) -> Block:
    arrays = {name: getattr(block, name) for name in Block.FIELDS}
    for name in ("candidate", "post"):
        arrays[name] = (arrays[name].weight, arrays[name].bias)
    return Block.from_arrays(arrays | fields, "block", block.candidate.n_in)


def with_idle(
    parameters: NetworkParameters, no_current: list[list[bool]], no_copy: list[list[bool]]
) -> NetworkParameters:
    """The network with the state current, or all copies of it, of some cells a block at 0."""
    blocks = []
    for block, current, copy in zip(parameters.blocks, no_current, no_copy, strict=True):
        alpha = np.where(current, 0.0, block.alpha)
        weight = np.where(np.array(copy)[:, None], 0.0, block.post.weight)
        blocks.append(changed(block, alpha=alpha, post=(weight, block.post.bias)))
    return replace(parameters, blocks=tuple(blocks))


def bits(count: int) -> st.SearchStrategy[list[bool]]:
    return st.lists(st.booleans(), min_size=count, max_size=count)


@settings(derandomize=True, deadline=None)
@given(st.tuples(bits(4), bits(3)), st.tuples(bits(4), bits(3)), st.integers(0, 20))
def test_every_logit_and_every_bit_that_is_left_stays_the_same(
    no_current: tuple[list[bool], ...], no_copy: tuple[list[bool], ...], seed: int
) -> None:
    network = random_network(5, cells=(4, 3), seed=seed)
    whole = with_idle(network.parameters, list(no_current), list(no_copy))
    less = pruned(whole)
    before, after = Network(whole).run(FEATURES), Network(less).run(FEATURES)
    assert np.array_equal(before.logits, after.logits)
    working = [
        trace[:, ~dead_units(block)] for trace, block in zip(before.bits, whole.blocks, strict=True)
    ]
    left = [
        trace[:, ~dead_units(block)] for trace, block in zip(after.bits, less.blocks, strict=True)
    ]
    assert [b.tobytes() for b in working if b.size] == [b.tobytes() for b in left if b.size]
    assert sum(b.shape[1] for b in working) == less.cells - sum(
        dead_units(block).sum() for block in less.blocks
    )
    assert all(dead_units(block).sum() <= (block.cells == 1) for block in less.blocks)


def test_a_network_without_idle_cells_costs_less() -> None:
    network = random_network(5)
    whole = with_idle(
        network.parameters, [[True, True, False, False], [False] * 3], [[False] * 4, [False] * 3]
    )
    nanowatts = [
        estimate(net, net.run(FEATURES)).core_nw for net in (Network(whole), Network(pruned(whole)))
    ]
    assert nanowatts[1] < nanowatts[0]
    assert pruned(whole).parameter_count < whole.parameter_count


@pytest.mark.parametrize(("bias", "blocks"), [(-0.5, 1), (0.0, 1), (0.5, 2)])
def test_a_block_without_working_cells_stays_for_its_bias_alone(bias: float, blocks: int) -> None:
    network = random_network(5)
    first, second = network.parameters.blocks
    second = changed(second, alpha=np.zeros(3), post=(second.post.weight, np.full(4, bias)))
    whole = replace(network.parameters, blocks=(first, second))
    less = pruned(whole)
    assert [block.cells for block in less.blocks] == [first.cells, 1][:blocks]
    traces = [Network(parameters).run(FEATURES) for parameters in (whole, less)]
    assert np.array_equal(traces[0].logits, traces[1].logits)


def test_nothing_is_taken_from_a_network_whose_cells_all_work() -> None:
    parameters = random_network(5, cells=(4, 4)).parameters
    same = pruned(parameters)
    assert [block.cells for block in same.blocks] == [4, 4]
    assert Network(same).run(FEATURES).bits[1].tobytes() == (
        Network(parameters).run(FEATURES).bits[1].tobytes()
    )


def test_idle_cells_come_back() -> None:
    parameters = random_network(5, cells=(4, 3)).parameters
    more = with_dead_units(parameters, blocks=3, cells=6)
    assert [block.cells for block in more.blocks] == [6, 6, 6]
    assert np.array_equal(
        Network(more).run(FEATURES).logits, Network(parameters).run(FEATURES).logits
    )
    again = pruned(more)
    assert [block.cells for block in again.blocks] == [4, 3]
    for block, wanted in zip(again.blocks, parameters.blocks, strict=True):
        assert block.candidate.weight.tobytes() == wanted.candidate.weight.tobytes()
        assert block.initial_state.tobytes() == wanted.initial_state.tobytes()
    assert with_dead_units(parameters, blocks=1, cells=2).cells == parameters.cells


def test_arrays_of_a_pruned_network_cannot_be_written() -> None:
    block = pruned(random_network(5).parameters).blocks[0]
    with pytest.raises(ValueError, match="read-only"):
        block.alpha[0] = 1.0
