"""One estimate of many runs of a network."""

from collections.abc import Sequence

import numpy as np

from kws_stream.errors import ParameterError
from kws_stream.power.formulas import BlockCurrents, PowerEstimate


def mean(estimates: Sequence[PowerEstimate]) -> PowerEstimate:
    """The mean over all frames of runs of one network, added up in their order.

    Raises ParameterError for no estimates, and for those of different networks, frames or units.
    """
    first = estimates[0] if estimates else None
    shapes = {
        (one.unit_na, one.frame_s, tuple(len(block.bias) for block in one.currents))
        for one in estimates
    }
    if first is None or len(shapes) != 1:
        raise ParameterError(
            f"mean: need estimates of one network, got those of {len(shapes)}; join them apart"
        )
    frames = [one.frames for one in estimates]
    weights = frames if sum(frames) else [1] * len(frames)

    def over(values: Sequence[float]) -> float:
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    def cells(values: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
        return tuple(np.average(np.array(values), axis=0, weights=weights).tolist())

    blocks = []
    for same in zip(*(one.currents for one in estimates), strict=True):
        blocks.append(
            BlockCurrents(
                bias=same[0].bias,
                candidate=cells([block.candidate for block in same]),
                state=cells([block.state for block in same]),
                positive=over([block.positive for block in same]),
                negative=over([block.negative for block in same]),
                post=over([block.post for block in same]),
            )
        )
    return PowerEstimate(
        currents=tuple(blocks),
        classifier_positive=over([one.classifier_positive for one in estimates]),
        classifier_negative=over([one.classifier_negative for one in estimates]),
        frames=sum(frames),
        frame_s=first.frame_s,
        unit_na=first.unit_na,
    )
