"""Streaming front ends: the analog-style filterbank, and a mel front end for comparison."""

from collections.abc import Mapping
from typing import Any

from kws_stream.features.front_end import (
    OF_RATE,
    FeatureSettings,
    FrontEnd,
    build_bank,
    centres_of,
    fixed_front_end,
)

__all__ = [
    "OF_RATE",
    "FeatureSettings",
    "FrontEnd",
    "build",
    "build_bank",
    "centres_of",
    "fixed_front_end",
]


def build(settings: Mapping[str, Any]) -> FrontEnd:
    """Front end from a manifest's settings; raises ParameterError for those that make no sense."""
    return FrontEnd(FeatureSettings.from_dict(settings))
