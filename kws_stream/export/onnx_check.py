"""Frames whose logits tell whether a runtime computes as finely as an exported graph asks for.

At each step some frames are drawn at random over the whole input grid, and the one is kept of which
most numbers need more bits than float32 has: logits above all, for they are what is compared, then
what the wires and candidates carry. A network that was proved exact in float32 has no such numbers.
"""

from collections.abc import Iterator

import numpy as np

from kws_stream.parameters import BoolArray, FloatArray, NetworkParameters

FRAMES = 16
DRAWN = 128  # frames at each step


def check_frames(parameters: NetworkParameters) -> tuple[FloatArray, FloatArray]:
    """Features (FRAMES, n) of one stream from its initial state, and their logits (FRAMES, K).

    The logits are exact: every sum fits float64, in any order.
    """
    grid = parameters.input_grid
    assert grid is not None  # or no graph would be exact
    rng = np.random.default_rng(0)
    first, last = round(grid.low / grid.step), round(grid.high / grid.step)
    states = [block.initial_state for block in parameters.blocks]
    features, logits = [], []
    for _ in range(FRAMES):
        steps = rng.integers(first, last + 1, (DRAWN, parameters.n_features))
        drawn = np.asarray(steps * grid.step, np.float64)
        *inner, scores = _values(parameters, drawn, states)
        rank = 1e6 * _beyond_float32(scores) + sum(map(_beyond_float32, inner))
        best = int(np.argmax(rank))
        features.append(drawn[best])
        logits.append(scores[best])
        candidates = inner[1::2]
        states = [
            candidate[best] >= np.where(state, block.beta1, block.beta2)
            for block, state, candidate in zip(parameters.blocks, states, candidates, strict=True)
        ]
    return np.array(features), np.array(logits)


def _values(
    parameters: NetworkParameters, features: FloatArray, states: list[BoolArray]
) -> Iterator[FloatArray]:
    """Of frames (n, n_features) that follow the same states: wires and candidates of each block,
    and the logits.
    """
    x = features @ parameters.pre.weight + parameters.pre.bias
    for block, state in zip(parameters.blocks, states, strict=True):
        yield x
        layer, post = block.candidate, block.post
        candidate = np.maximum(np.maximum(x, 0) @ layer.weight + layer.bias, 0)
        yield candidate
        current = block.alpha * (candidate >= np.where(state, block.beta1, block.beta2))
        x = x + np.maximum(current @ post.weight + post.bias, 0)
    yield x @ parameters.classifier.weight + parameters.classifier.bias


def _beyond_float32(values: FloatArray) -> FloatArray:
    """How many of the numbers of each row need more bits than float32 has."""
    beyond: FloatArray = (values != values.astype(np.float32)).sum(axis=1).astype(np.float64)
    return beyond
