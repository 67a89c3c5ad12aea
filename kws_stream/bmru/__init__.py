"""The Bistable Memory Recurrent Unit: one bit of hysteretic memory a cell.

`cell` is exact; `chip` is the same network on a chip that is not ideal.
"""

from kws_stream.bmru.cell import sequence, step
from kws_stream.bmru.trace import Trace

__all__ = ["Trace", "sequence", "step"]
