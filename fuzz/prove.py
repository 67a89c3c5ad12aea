"""Proofs by CBMC of the exported library's C: `python -m fuzz.prove`.

Each file of proofs/ has a function `proof` that calls the library with any numbers at all within
what it is promised, and CBMC shows that no index, pointer, sum, shift or conversion goes wrong and
that what the file asserts holds, or finds numbers for which it does not. The network is the small
one of the other targets; the ring is of RING_SAMPLES samples, since nothing in it goes by their
number but that it is a power of two.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.export_c import library
from fuzz.model import small_pack
from kws_stream import packs
from kws_stream.export.firmware import firmware_model

PROOFS = Path(__file__).parent / "proofs"
RING_SAMPLES = 4
SOURCES = {"network": ("kws_network.c", "kws_model.c"), "ring": ("kws_ring.c",)}
CHECKS = [
    f"--{name}-check"
    for name in ("bounds", "pointer", "pointer-overflow", "signed-overflow", "conversion")
] + ["--undefined-shift-check", "--div-by-zero-check", "--unwinding-assertions"]
_TOTAL = re.compile(r"^\*\* (\d+) of (\d+) failed", re.MULTILINE)
_FAILED = re.compile(r"^\[[^]]+\] (.*): FAILURE$", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """checks: how many places CBMC looked at; failed: what it says of those that do not hold."""

    checks: int
    failed: list[str]


def missing() -> str:
    """Why nothing can be proven here; empty where it can."""
    return "" if shutil.which("cbmc") else "needs cbmc (Debian's package cbmc, not in 12)"


def sources(folder: Path) -> dict[str, Path]:
    """The C that each proof is of, in a folder each."""
    places = {name: folder / name for name in SOURCES}
    for place in places.values():
        place.mkdir()
    pack = packs.load(small_pack(folder / "pack"))
    for name, text in library(firmware_model(pack)).items():
        for place in places.values():
            (place / name).write_text(text, "ascii")
    ring = f"#define KWS_RING_SAMPLES {RING_SAMPLES}u\n"
    (places["ring"] / "kws_model.h").write_text(ring, "ascii")
    return places


def prove(name: str, place: Path) -> Result:
    """What CBMC finds; raises RuntimeError where it could not begin."""
    # once more than the longest loop goes round: a loop that could go on is a failure
    header = (place / "kws_model.h").read_text("ascii")
    rounds = max(int(size) for size in re.findall(r"KWS_(?:WIDEST|RING_SAMPLES) (\d+)", header))
    words = ["cbmc", "--function", "proof", *CHECKS, "--slice-formula", "--unwind", rounds + 3]
    files = [PROOFS / f"{name}.c", *(place / file for file in SOURCES[name])]
    command = [str(word) for word in (*words, "-I", place, *files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    total = _TOTAL.search(done.stdout)
    if total is None:
        raise RuntimeError((done.stdout + done.stderr)[-2000:])
    return Result(int(total[2]), _FAILED.findall(done.stdout))


def main() -> int:
    if reason := missing():
        print(f"no proof: {reason}")
        return 0
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, place in sources(Path(folder)).items():
            began = time.monotonic()
            result = prove(name, place)
            told = "; ".join(result.failed) or "all hold"
            print(f"{name}: {result.checks} checks in {time.monotonic() - began:.0f} s: {told}")
            failures += len(result.failed)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
