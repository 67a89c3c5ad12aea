"""The scalar oracle: one cell and one frame at a time, in Python's integers without width."""

from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .integers import IntegerLayer, IntegerNetwork, Integers

Rows = tuple[list[list[int]], list[int], int]


def _rows(layer: IntegerLayer) -> Rows:
    return layer.weight.T.tolist(), layer.bias.tolist(), layer.gain


def _affine(rows: Rows, x: list[int]) -> list[int]:
    weight, bias, gain = rows
    return [sum(map(mul, row, x)) * gain + b for row, b in zip(weight, bias, strict=True)]


def _cell(candidate: int, bit: bool, beta1: int, beta2: int) -> bool:
    if candidate >= beta2:
        return True
    if candidate < beta1:
        return False
    return bit


def run_scalar(
    network: IntegerNetwork, features: Integers
) -> tuple[Integers, list[NDArray[np.bool_]]]:
    """As `IntegerNetwork.run`: logits (S, T, K), bits (S, T, d) of each block."""
    pre, classifier = _rows(network.pre), _rows(network.classifier)
    blocks: list[Any] = [
        (
            _rows(block.candidate),
            list(zip(block.beta1.tolist(), block.beta2.tolist(), strict=True)),
            block.alpha.tolist(),
            _rows(block.post),
        )
        for block in network.blocks
    ]
    logits: list[list[list[int]]] = []
    history: list[list[list[list[bool]]]] = [[] for _ in blocks]
    for stream in features.tolist():
        states = [block.initial.tolist() for block in network.blocks]
        logits.append([])
        for seen in history:
            seen.append([])
        for frame in stream:
            x = _affine(pre, frame)
            for index, (candidate, thresholds, alpha, post) in enumerate(blocks):
                sums = _affine(candidate, [max(value, 0) for value in x])
                states[index] = bits = [
                    _cell(max(c, 0), bit, *pair)
                    for c, bit, pair in zip(sums, states[index], thresholds, strict=True)
                ]
                history[index][-1].append(bits)
                currents = [a if bit else 0 for a, bit in zip(alpha, bits, strict=True)]
                x = [a + max(b, 0) for a, b in zip(x, _affine(post, currents), strict=True)]
            logits[-1].append(_affine(classifier, x))
    return np.array(logits, np.int64), [np.array(bits, bool) for bits in history]
