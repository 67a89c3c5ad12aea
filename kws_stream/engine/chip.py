"""The sums of virtual chips in C (c/kws_chip.h): the results of `bmru.sums.ordered_sums`."""

import numpy as np

from kws_stream import engine
from kws_stream.bmru.sums import Sums, ordered_sums
from kws_stream.parameters import FloatArray

__all__ = ["sums"]


def _in_c(x: FloatArray, weight: FloatArray, bias: FloatArray | None) -> FloatArray:
    frames, inputs, x_chips = x.shape
    _, outputs, chips = weight.shape
    total = np.empty((frames, outputs, chips))
    x, weight = np.ascontiguousarray(x, np.float64), np.ascontiguousarray(weight, np.float64)
    at = engine.library.ffi.from_buffer
    shared = x_chips == 1  # of one chip, it is the same
    engine.library.lib.kws_chip_sums(
        at("double[]", total, require_writable=True),
        *(at("double[]", x), at("double[]", weight)),
        *(frames, inputs, outputs, chips, shared),
    )
    if bias is not None:
        total += bias
    return total


sums: Sums = ordered_sums if engine.library is None else _in_c
"""Sums in C where the engine is, else in NumPy."""
