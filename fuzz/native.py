"""The targets in C: libFuzzer on the firmware and the engine, under ASan and UBSan."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from firmware_sim import bitstream
from firmware_sim.export_c import library
from firmware_sim.integers import integer_network
from fuzz.model import small_pack
from kws_stream import packs
from kws_stream.constants import RECORDING
from kws_stream.engine.blob import DetectorFrames, model_blob, verifier_blob
from kws_stream.export.firmware import firmware_model
from kws_stream.features import FeatureSettings, fixed_front_end
from kws_stream.packs import Pack
from kws_stream.verifier import McuVerifier, VerifierNetwork, parse_network
from tests.tiny_network import random_network

HERE = Path(__file__).parent
ROOT = HERE.parent
ENGINE = ROOT / "kws_stream" / "engine" / "c"
SHARED = ROOT / "firmware_sim" / "c"
TARGETS = ("firmware", "network", "chip", "engine", "cascade")
FLAGS = ("-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror")
SANITIZERS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
STEERING = 16  # bytes before the sound of an input, as in c/fuzz.h
DESIGN = 32  # and before these, as in c/cascade.c


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


def _array(name: str, data: bytes) -> str:
    return f"static _Alignas(64) const unsigned char {name}[] = {{{','.join(map(str, data))}}};"


def _model(pack: Pack, window: int, warmup: int, refractory: int) -> str:
    """The model for the engine, in C; three numbers of frames."""
    parameters = pack.network.parameters
    settings = FeatureSettings.from_dict(pack.features)
    frames = DetectorFrames(len(pack.classes), window, warmup, refractory)
    data = model_blob(*fixed_front_end(settings), integer_network(parameters), frames)
    sizes = {
        "CLASSES": len(pack.classes),
        "FEATURES": parameters.n_features,
        "CHANNELS": settings.channels,
        "CELLS": sum(block.cells for block in parameters.blocks),
    }
    lines = [f"#define KWS_FUZZ_{name} {size}" for name, size in sizes.items()]
    return "\n".join([*lines, _array("kws_fuzz_blob", data), ""])


def _verifiers(pack: Pack) -> str:
    """Verifiers of the model, in C: the pack's and others."""
    assert pack.verifier is not None
    channels, rng = FeatureSettings.from_dict(pack.features).channels, np.random.default_rng(3)
    networks: list[VerifierNetwork] = [parse_network(pack.verifier.head)]
    for layers in range(4):
        networks.append(random_network(rng, 8 + 9 * layers, channels=channels, layers=layers))
    names, lines = list[str](), list[str]()
    for number, network in enumerate(networks):
        keywords = pack.classes[: network.scores_of]
        design = McuVerifier(network, 0.5, keywords, 1, 1.0).design
        names.append(f"kws_fuzz_verifier_{number}")
        lines.append(
            _array(
                names[-1], verifier_blob(design, pack.classes, pack.network.parameters.n_features)
            )
        )
    rows = ",".join(f"{{{name}, sizeof {name}}}" for name in names)
    lines.append("static const struct { const unsigned char *bytes; size_t size; }")
    return "\n".join([*lines, f"kws_fuzz_verifiers[] = {{{rows}}};", ""])


def build(folder: Path, wanted: Sequence[str] = TARGETS) -> dict[str, Path]:
    """The programs of these targets, in a folder; raises CalledProcessError."""
    folder = folder.resolve()
    source = folder / "sources"
    source.mkdir(parents=True, exist_ok=True)
    pack = packs.load(small_pack(folder / "pack"))
    files = library(firmware_model(pack))
    del files["example.c"]
    for name, text in files.items():
        (source / name).write_text(text, "ascii")
    (folder / "kws_fuzz_blob.h").write_text(_model(pack, 4, 2, 5), "ascii")
    eager = _model(pack, 1, 0, 1)  # triggers at any frame
    (folder / "kws_fuzz_cascade.h").write_text(eager + _verifiers(pack), "ascii")
    firmware = [source / name for name in files if name.endswith(".c")]
    stages = ("front_end", "network", "detector", "verifier")
    engine = [*(SHARED / f"kws_{stage}.c" for stage in stages), *sorted(ENGINE.glob("*.c"))]
    defined: list[str | Path] = [
        "-include",
        "fences.h",
        "-DKWS_RUNTIME",
        "-DKWS_VERIFIER",
        f"-I{folder}",
        f"-I{SHARED}",
        f"-I{ENGINE}",
    ]
    programs = {}
    objects: dict[str, list[Path]] = {}  # the sources that several targets share, compiled once
    for name in wanted:
        kind = "engine" if name in ("engine", "cascade") else "firmware"
        flags = defined if kind == "engine" else [f"-I{source}"]
        words = ["clang", *FLAGS, *SANITIZERS, *flags, f"-I{HERE / 'c'}"]
        if kind not in objects:
            compiled = folder / f"{kind}-objects"
            compiled.mkdir(exist_ok=True)
            sources = engine if kind == "engine" else firmware
            subprocess.run([*words, "-c", *sources], cwd=compiled, check=True)
            objects[kind] = [compiled / f"{each.stem}.o" for each in sources]
        programs[name] = folder / name
        main = HERE / "c" / f"{name}.c"
        subprocess.run([*words, main, *objects[kind], "-o", programs[name]], check=True)
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
    if name == "cascade":  # those of Python too, of which there are five, then made ones
        designs = [bytes([each]) + rng.bytes(DESIGN - 1) for each in range(10)]
        sounds = [pcm[:4000], loud]
        return [
            design + steering[number % 3] + sounds[number % 2].tobytes()
            for number, design in enumerate(designs)
        ]
    return [each + sound.tobytes() for each in steering for sound in sounds]
