"""The Bistable Memory Recurrent Unit: one bit of hysteretic memory a cell."""

from kws_stream.bmru.cell import sequence, step

__all__ = ["sequence", "step"]
