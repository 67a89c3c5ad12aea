"""The sums of many virtual chips side by side, in an order that no number of chips changes."""

from collections.abc import Callable

import numpy as np

from kws_stream.parameters import FloatArray

Sums = Callable[[FloatArray, FloatArray, FloatArray | None], FloatArray]
"""A form of `ordered_sums`, with its results."""


def ordered_sums(x: FloatArray, weight: FloatArray, bias: FloatArray | None) -> FloatArray:
    """Sums (T, n_out, chips) of x (T, n_in, chips or 1) times weight (n_in, n_out, chips).

    They run over the inputs in index order, the bias (n_out, chips) last, each operation rounded by
    itself.
    """
    total: FloatArray = x[:, :1] * weight[0]
    product = np.empty_like(total)
    frames = len(x)
    # an input that is 0 on every chip changes no sum: cells that are off, wires cut at zero
    active = np.any(x, axis=2)
    counts = np.sum(active, axis=0)
    for i in range(1, len(weight)):
        if 2 * counts[i] > frames:
            np.multiply(x[:, i : i + 1], weight[i], out=product)
            total += product
        elif counts[i]:
            rows = np.flatnonzero(active[:, i])
            total[rows] += x[rows, i : i + 1] * weight[i]
    if bias is not None:
        total += bias
    return total
