"""Training of spotting networks with PyTorch (extra: train)."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kws_stream.training.runs import (
        add_verifier,
        fit_pictures,
        teach,
        teach_triggers,
        train,
    )
    from kws_stream.training.wake_phrase import train_phrase

__all__ = ["add_verifier", "fit_pictures", "teach", "teach_triggers", "train", "train_phrase"]


def __getattr__(name: str) -> Any:
    """Load a public name on first use: most of this room does without them."""
    if name not in __all__:
        raise AttributeError(f"module 'kws_stream.training' has no attribute {name!r}")
    module = "wake_phrase" if name == "train_phrase" else "runs"
    return getattr(importlib.import_module(f"kws_stream.training.{module}"), name)
