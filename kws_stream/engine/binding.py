"""Writes the C source of the extension `kws_stream.engine._engine`; run by CMakeLists.txt.

Declarations come from c/kws_engine.h, so the two cannot drift apart. It is run as a program, and
imports nothing of this package.
"""

import re
import sys
from pathlib import Path

HEADER = Path(__file__).parent / "c" / "kws_engine.h"


def declarations(header: str) -> str:
    """What a C header declares, without comments and lines of the preprocessor."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def main(target: str) -> None:
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(declarations(HEADER.read_text("ascii")))
    ffi.set_source("kws_stream.engine._engine", '#include "kws_engine.h"')
    ffi.emit_c_code(target)


if __name__ == "__main__":
    main(sys.argv[1])
