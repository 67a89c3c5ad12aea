"""Figures of the C firmware (docs/firmware.md): size, speed, and sanitizers.

python benchmarks/firmware.py size
python benchmarks/firmware.py sanitizers speech_commands --hours 1
"""

import argparse
import platform
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_sim import cortex_m, toolchain
from firmware_sim.model import FirmwareModel
from kws_stream import evaluation, packs
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.export.firmware import load_model

BATCH = 200


def pcm_of(clips: list[evaluation.Clip]) -> NDArray[np.int16]:
    """The seconds of clips as 16-bit samples (clips, 16000)."""
    samples = np.stack([evaluation.read_clip(clip) for clip in clips]).astype(np.float64)
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def size(names: list[str]) -> None:
    print(
        "model          core       flash    RAM  stack  front end  network detector  per frame of"
    )
    for name in names:
        _, model = load_model(name)
        for cpu in cortex_m.BOARDS:
            found = cortex_m.measure(model, cpu)
            counts = [found.instructions[stage] for stage in cortex_m.STAGES]
            row(name, cpu, [found.flash, found.ram, found.stack], counts, model)
            if "verifier" in found.instructions:
                print(
                    f"{name:<14} {cpu:<10} a look of the verifier: {found.instructions['verifier']}"
                )
        if platform.machine() in ("x86_64", "AMD64"):
            with toolchain.program(model, "speed_main.c") as binary:
                cycles = [int(n) for n in toolchain.run_program(binary, b"").split()]
            row(name, "host", [0, 0, 0], cycles, model)


def row(name: str, core: str, sizes: list[int], counts: list[int], model: FirmwareModel) -> None:
    flash, ram, stack = sizes
    front_end, network, detector = counts
    print(
        f"{name:<14} {core:<10} {flash:>5} {ram:>6} {stack:>6} {front_end:>10} {network:>8} "
        f"{detector:>8}  {model.detector.frame_ms} ms"
    )


def sanitizers(folder: Path, name: str, hours: float) -> None:
    _, model = load_model(name)
    clips = list(evaluation.select(folder, "v2-12", "validation").clips)
    rng = np.random.default_rng(0)
    flags = ("-O1", *toolchain.SANITIZERS)
    with toolchain.program(model, "loop_main.c", flags) as binary:
        for at in range(0, len(clips), BATCH):
            toolchain.run_program(binary, pcm_of(clips[at : at + BATCH]).ravel())
        print(f"{name}: {len(clips)} validation clips, clean under ASan and UBSan")
        toolchain.run_program(binary, rng.bytes(round(hours * 3600 * SAMPLE_RATE_HZ * 2)))
        print(f"{name}: {hours:g} hours of random bytes, clean under ASan and UBSan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["size", "sanitizers"])
    parser.add_argument("folder", nargs="?", type=Path, help="Speech Commands")
    parser.add_argument("--model", action="append", help="repeatable; default: all shipped")
    parser.add_argument("--hours", type=float, default=1.0)
    given = parser.parse_args()
    names = given.model or packs.list_packs()
    if given.what == "size":
        size(names)
        return
    if given.folder is None:
        parser.error("need the folder of Speech Commands")
    for name in names:
        sanitizers(given.folder, name, given.hours)


if __name__ == "__main__":
    main()
