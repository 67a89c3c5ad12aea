#!/usr/bin/env python3
"""Build the engine for browsers, kws_stream/web_package/kws.wasm, from the sources of the C engine.

    python scripts/build_wasm.py [--clang clang] [--out FILE]

Needs clang with its WebAssembly target, and lld (on Debian and Ubuntu: apt-get install clang lld).
Uses no C library and imports nothing; needs a browser with SIMD and bulk memory instructions.
"""

import argparse
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "kws_stream" / "engine" / "c"
FIRMWARE = ROOT / "firmware_sim" / "c"
PACKAGE = ROOT / "kws_stream" / "web_package"
STAGES = ("front_end", "network", "detector", "verifier")
USED = {  # by index.js
    "engine": ("bytes", "init", "reset", "threshold", "power"),
    "cascade": ("bytes", "init", "reset", "process"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clang", default="clang")
    parser.add_argument("--out", type=Path, default=PACKAGE / "kws.wasm")
    given = parser.parse_args()
    names = []
    for part, functions in USED.items():
        header = (ENGINE / f"kws_{part}.h").read_text("ascii")
        used = [f"kws_{part}_{name}" for name in functions]
        missing = [name for name in used if not re.search(rf"\b{name}\(", header)]
        if missing:
            raise SystemExit(f"kws_{part}.h declares no {', '.join(missing)}")
        names += used
    exports = [f"-Wl,--export={name}" for name in (*names, "__heap_base")]
    sources = [FIRMWARE / f"kws_{stage}.c" for stage in STAGES]
    sources += [ENGINE / f"kws_{part}.c" for part in ("engine", "simd", "cascade")]
    command = [
        *(given.clang, "--target=wasm32", "-std=c99", "-O3", "-fno-math-errno"),
        *("-mbulk-memory", "-msimd128"),
        *("-Wall", "-Wextra", "-Werror", "-DKWS_RUNTIME", "-DKWS_VERIFIER", "-nostdlib"),
        *("-isystem", ENGINE / "wasm", "-I", FIRMWARE, "-I", ENGINE),
        *("-Wl,--no-entry", "-Wl,--strip-all", *exports, "-o", given.out, *sources),
    ]
    subprocess.run(command, check=True)
    print(f"{given.out}: {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
