"""Cells that change nothing are left out of what is written: the same logits for less power."""

from dataclasses import replace

import numpy as np

from kws_stream.parameters import Block, BoolArray, NetworkParameters


def idle_cells(block: Block) -> BoolArray:
    """Which cells (d,) change nothing, whatever they hear.

    Their state current alpha is 0, or no mirror of the post-projection copies it.
    """
    idle: BoolArray = (block.alpha == 0) | (block.post.weight == 0).all(axis=1)
    return idle


def pruned(parameters: NetworkParameters) -> NetworkParameters:
    """The network without its idle cells, and without blocks that then add nothing.

    Where no sum rounds, every logit and the bits of the cells that are left stay the same. A block
    whose cells are all idle keeps one of them if its post-projection adds a bias.
    """
    blocks = []
    for index, block in enumerate(parameters.blocks):
        kept = ~idle_cells(block)
        if not kept.any():
            if (block.post.bias <= 0).all():
                continue
            kept = np.arange(block.cells) == 0
        blocks.append(
            Block.from_arrays(
                {
                    "candidate": (block.candidate.weight[:, kept], block.candidate.bias[kept]),
                    "beta1": block.beta1[kept],
                    "delta": block.delta[kept],
                    "alpha": block.alpha[kept],
                    "post": (block.post.weight[kept], block.post.bias),
                    "initial_state": block.initial_state[kept],
                },
                f"block {index}",
                parameters.width,
            )
        )
    return replace(parameters, blocks=tuple(blocks))


def with_idle_cells(parameters: NetworkParameters, blocks: int, cells: int) -> NetworkParameters:
    """The network with idle cells added, up to `blocks` blocks of `cells` each: `pruned`, undone.

    Everything of an idle cell is 0. What has more blocks or cells already is left as it is.
    """
    width = parameters.width
    nothing = {name: np.zeros(1) for name in ("beta1", "delta", "alpha")}
    idle = Block.from_arrays(
        {
            "candidate": (np.zeros((width, 1)), np.zeros(1)),
            **nothing,
            "post": (np.zeros((1, width)), np.zeros(width)),
        },
        "idle block",
        width,
    )
    added = (idle,) * max(0, blocks - len(parameters.blocks))
    filled = (_filled(block, cells, width) for block in (*parameters.blocks, *added))
    return replace(parameters, blocks=tuple(filled))


def _filled(block: Block, cells: int, width: int) -> Block:
    """The block with idle cells up to `cells`."""
    more = (0, max(0, cells - block.cells))
    fields = {
        "candidate": (
            np.pad(block.candidate.weight, ((0, 0), more)),
            np.pad(block.candidate.bias, more),
        ),
        "beta1": np.pad(block.beta1, more),
        "delta": np.pad(block.delta, more),
        "alpha": np.pad(block.alpha, more),
        "post": (np.pad(block.post.weight, (more, (0, 0))), block.post.bias),
        "initial_state": np.pad(block.initial_state, more),
    }
    return Block.from_arrays(fields, "block with idle cells", width)
