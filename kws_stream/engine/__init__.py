"""The engine: a stream of 16-bit samples through all stages, in C or, proven equal, in NumPy.

`kind` is "c" where the extension was built, else "numpy"; KWS_STREAM_ENGINE=numpy in the
environment forces the second. Both give the same bits (docs/features.md, docs/detector.md).
"""

import os
from importlib import import_module
from typing import Any, Literal

from kws_stream.errors import ParameterError

__all__ = ["kind", "library"]

VERSION = 6  # of c/kws_engine.h


def _find() -> Any:
    wanted = os.environ.get("KWS_STREAM_ENGINE", "")
    if wanted not in ("", "c", "numpy"):
        raise ParameterError(
            f"KWS_STREAM_ENGINE: need numpy, c or nothing, got {wanted!r}; change the variable"
        )
    if wanted == "numpy":
        return None
    try:
        found = import_module("kws_stream.engine._engine")
        version = getattr(found.lib, "KWS_ENGINE_VERSION", 0)
        if version != VERSION:  # left over from another version of this package
            raise ImportError(f"one of version {version} in place of {VERSION}")
        return found
    except ImportError as error:
        if wanted == "c":
            raise ParameterError(
                f"KWS_STREAM_ENGINE=c: need the engine in C, found none ({error}); install "
                "kws-stream where a C compiler is, or from a wheel for this system"
            ) from error
        return None


library: Any = _find()
"""The extension, or None."""

kind: Literal["c", "numpy"] = "numpy" if library is None else "c"
