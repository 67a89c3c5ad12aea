"""The detector's numbers in C, and a proof that its sums and counts fit."""

import math

from kws_stream.errors import ParameterError

from .model import DetectorDesign

SCORE_BITS = 24  # of scores


def score_code(score: float) -> int:
    """The least score, in units of 2^-24, that is not below this one; none reaches infinity."""
    never = 1 << (SCORE_BITS + 1)
    return never if math.isinf(score) else math.ceil(score * (1 << SCORE_BITS))


def check_detector(detector: DetectorDesign, largest_logit: int) -> None:
    """Raises ParameterError for a window whose sums or counts C has no room for."""
    for what, value in (("warmup", detector.warmup), ("refractory", detector.refractory)):
        if value >= 2**31:
            raise ParameterError(f"detector {what}: need less than 2^31 frames, got {value}")
    if detector.window > 2**15 - 1 or largest_logit * 2 * detector.window >= 2**63:
        raise ParameterError(
            f"detector window: need sums of 64 bits over at most 32767 frames, got "
            f"{detector.window} frames of logits up to {largest_logit}; use a shorter window_s"
        )
