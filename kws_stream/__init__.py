"""kws-stream: a streaming keyword spotter with an exact emulator of an analog memory chip."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kws_stream import power
    from kws_stream.detector import WakeEvent
    from kws_stream.network import Network
    from kws_stream.pipeline import KeywordSpotter

__version__ = "0.1.0"
__all__ = ["KeywordSpotter", "Network", "WakeEvent", "__version__", "power"]

_ROOMS = {
    "KeywordSpotter": "kws_stream.pipeline",
    "Network": "kws_stream.network",
    "WakeEvent": "kws_stream.detector",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that a command starts without what it does not need."""
    if name in _ROOMS:
        return getattr(importlib.import_module(_ROOMS[name]), name)
    if name == "power":
        return importlib.import_module("kws_stream.power")
    raise AttributeError(f"module 'kws_stream' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
