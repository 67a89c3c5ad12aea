"""Cells that change nothing are left out of what is written: the same logits for less power."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.parameters import Block, BoolArray, NetworkParameters

Array = NDArray[Any]


def dead_units(block: Block) -> BoolArray:
    """Which cells (d,) change nothing, whatever they hear."""
    idle: BoolArray = change_nothing(block.alpha, block.post.weight)
    return idle


def change_nothing(alpha: Any, post_weight: Any) -> Any:
    """Which cells (d,) are idle, by arrays or tensors alpha (d,) and post_weight (d, width).

    Their state current alpha is 0, or no mirror of the post-projection copies it.
    """
    return (alpha == 0) | (post_weight == 0).all(1)


def pruned(parameters: NetworkParameters) -> NetworkParameters:
    """The network without its idle cells, and without blocks that then add nothing.

    Where no sum rounds, every logit and the bits of the cells that are left stay the same. A block
    whose cells are all idle keeps one of them if its post-projection adds a bias.
    """
    blocks = []
    for block in parameters.blocks:
        kept = ~dead_units(block)
        if not kept.any():
            if (block.post.bias <= 0).all():
                continue
            kept = np.arange(block.cells) == 0
        blocks.append(_along_cells(block, partial(np.compress, kept)))
    return replace(parameters, blocks=tuple(blocks))


def with_dead_units(parameters: NetworkParameters, blocks: int, cells: int) -> NetworkParameters:
    """The network with idle cells added, up to `blocks` blocks of `cells` each: `pruned`, undone.

    Everything of an idle cell is 0. What has more blocks or cells already is left as it is.
    """
    width = parameters.width
    idle = Block.from_arrays(
        {
            "candidate": (np.zeros((width, cells)), np.zeros(cells)),
            **dict.fromkeys(("beta1", "delta", "alpha"), 0.0),
            "post": (np.zeros((cells, width)), np.zeros(width)),
        },
        "idle block",
        width,
    )
    added = (idle,) * max(0, blocks - len(parameters.blocks))
    filled = (_along_cells(block, partial(_longer, cells)) for block in parameters.blocks)
    return replace(parameters, blocks=(*filled, *added))


def _longer(length: int, values: Array, axis: int) -> Array:
    """Values with zeros up to that length along an axis."""
    more = max(0, length - values.shape[axis])
    return np.pad(values, [(0, more * (axis == other)) for other in range(values.ndim)])


def _along_cells(block: Block, change: Callable[[Array, int], Array]) -> Block:
    """The block with change(values, axis) of every array, along its axis of cells."""
    fields = {
        "candidate": (change(block.candidate.weight, 1), change(block.candidate.bias, 0)),
        "beta1": change(block.beta1, 0),
        "delta": change(block.delta, 0),
        "alpha": change(block.alpha, 0),
        "post": (change(block.post.weight, 0), block.post.bias),
        "initial_state": change(block.initial_state, 0),
    }
    return Block.from_arrays(fields, "pruned block", block.candidate.n_in)
