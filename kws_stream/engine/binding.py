"""Writes the C source of the extension `kws_stream.engine._engine`; run by CMakeLists.txt.

Declarations come from headers in c, so the two cannot drift apart. It is run as a program, and
imports nothing of this package.
"""

import re
import sys
from pathlib import Path

PARTS = ("engine", "chip", "cascade")
HEADERS = [Path(__file__).parent / "c" / f"kws_{part}.h" for part in PARTS]


def declarations(header: str) -> str:
    """What a C header declares, without comments and lines of the preprocessor."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def main(target: str) -> None:
    from cffi import FFI

    ffi = FFI()
    for header in HEADERS:
        ffi.cdef(declarations(header.read_text("ascii")))
    includes = "\n".join(f'#include "{header.name}"' for header in HEADERS)
    ffi.set_source("kws_stream.engine._engine", includes)
    ffi.emit_c_code(target)


if __name__ == "__main__":
    main(sys.argv[1])
