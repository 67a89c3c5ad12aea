"""The targets in C: libFuzzer on the firmware and the engine, under ASan and UBSan."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from firmware_sim import bitstream
from firmware_sim.export_c import library
from firmware_sim.integers import integer_network
from fuzz.model import small_pack
from kws_stream import packs
from kws_stream.constants import RECORDING
from kws_stream.engine.blob import DetectorFrames, model_blob
from kws_stream.export.firmware import firmware_model
from kws_stream.features import FeatureSettings, fixed_front_end
from kws_stream.packs import Pack

HERE = Path(__file__).parent
ROOT = HERE.parent
ENGINE = ROOT / "kws_stream" / "engine" / "c"
SHARED = ROOT / "firmware_sim" / "c"
TARGETS = ("firmware", "network", "chip", "engine")
FLAGS = ("-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror")
SANITIZERS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
STEERING = 16  # bytes before the sound of an input, as in c/fuzz.h


def missing() -> str:
    """Why the targets cannot be built here; empty where they can."""
    if shutil.which("clang") is None:
        return "needs clang"
    found = subprocess.run(
        ["clang", "-print-file-name=libclang_rt.fuzzer-x86_64.a"], capture_output=True, text=True
    ).stdout.strip()
    return (
        "" if Path(found).is_absolute() else "needs clang's libFuzzer (Debian: libclang-rt-14-dev)"
    )


def _blob(pack: Pack) -> str:
    """kws_fuzz_blob.h: the model for the engine."""
    network = integer_network(pack.network.parameters)
    frames = DetectorFrames(len(pack.classes), 4, 2, 5)
    data = model_blob(*fixed_front_end(FeatureSettings.from_dict(pack.features)), network, frames)
    numbers = ",".join(map(str, data))
    sizes = {
        "CLASSES": len(pack.classes),
        "FEATURES": pack.network.parameters.n_features,
        "CELLS": sum(block.cells for block in pack.network.parameters.blocks),
    }
    lines = [f"#define KWS_FUZZ_{name} {size}" for name, size in sizes.items()]
    lines.append(f"static _Alignas(64) const unsigned char kws_fuzz_blob[] = {{{numbers}}};")
    return "\n".join([*lines, ""])


def build(folder: Path) -> dict[str, Path]:
    """The programs of all targets, in a folder; raises CalledProcessError."""
    source = folder / "sources"
    source.mkdir(parents=True, exist_ok=True)
    pack = packs.load(small_pack(folder / "pack"))
    files = library(firmware_model(pack))
    del files["example.c"]
    for name, text in files.items():
        (source / name).write_text(text, "ascii")
    (folder / "kws_fuzz_blob.h").write_text(_blob(pack), "ascii")
    firmware = [source / name for name in files if name.endswith(".c")]
    engine = [SHARED / f"kws_{stage}.c" for stage in ("front_end", "network", "detector")]
    engine += [path for path in sorted(ENGINE.glob("*.c")) if path.name != "kws_cascade.c"]
    needs: dict[str, list[str | Path]] = {
        **{name: [f"-I{source}", *firmware] for name in TARGETS},
        "engine": ["-DKWS_RUNTIME", f"-I{folder}", f"-I{SHARED}", f"-I{ENGINE}", *engine],
    }
    programs = {}
    for name in TARGETS:
        programs[name] = folder / name
        words = ["clang", *FLAGS, *SANITIZERS, f"-I{HERE / 'c'}", HERE / "c" / f"{name}.c"]
        subprocess.run([*words, *needs[name], "-o", programs[name]], check=True)
    return programs


def seeds(name: str) -> list[bytes]:
    """Inputs to begin with, made of the packaged recording and of a model."""
    rng = np.random.default_rng(0)
    steering = [rng.integers(0, 256, STEERING, np.uint8).tobytes() for _ in range(3)]
    if name == "chip":
        stream = bitstream.encode(firmware_model(packs.load("yes-4")))
        return [fault + stream[:size] for fault in (b"\0\0", b"\0\x40") for size in (40, 400, None)]
    pcm = soundfile.read(RECORDING, dtype="int16")[0][16_000:32_000]
    if name == "network":
        return [each + rng.integers(0, 256, 4000, np.uint8).tobytes() for each in steering]
    loud = np.where(rng.random(800) < 0.5, -32768, 32767).astype(np.int16)
    sounds = [pcm[:8000], pcm[:321], loud, np.zeros(1, np.int16)]
    return [each + sound.tobytes() for each in steering for sound in sounds]
