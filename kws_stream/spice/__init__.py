"""An optional cross-check: cells and whole networks as transistors, run in ngspice.

An independent cell in the open 180 nm process GF180MCU, or in SKY130, with the same behaviour as
the published one: not the authors' circuit, not their process. docs/spice.md has the circuits and
what came out.
"""

from kws_stream.spice.cell import CELL_BIASES, CellResult, Loop, cell, over_chips
from kws_stream.spice.differences import Difference
from kws_stream.spice.excerpt import Excerpt, excerpt_of
from kws_stream.spice.parts import (
    MIRROR_UNITS,
    NOISE_BIASES,
    CandidateNoise,
    MirrorSpread,
    candidate_noise,
    mirrors,
)
from kws_stream.spice.processes import PROCESSES, Process
from kws_stream.spice.studies import (
    Agreement,
    Comparison,
    layer,
    network,
)
from kws_stream.spice.tools import Simulator, find

__all__ = [
    "CELL_BIASES",
    "MIRROR_UNITS",
    "NOISE_BIASES",
    "PROCESSES",
    "Agreement",
    "CandidateNoise",
    "CellResult",
    "Comparison",
    "Difference",
    "Excerpt",
    "Loop",
    "MirrorSpread",
    "Process",
    "Simulator",
    "candidate_noise",
    "cell",
    "excerpt_of",
    "find",
    "layer",
    "mirrors",
    "network",
    "over_chips",
]
