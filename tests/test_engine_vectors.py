"""The engine's filterbank in every set of instructions that this processor has: the same bits."""

import ctypes
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import kws_stream
from firmware_sim.integers import integer_network
from kws_stream import packs
from kws_stream.detector import Detector, DetectorSettings
from kws_stream.engine.blob import DetectorFrames, model_blob
from kws_stream.features import FeatureSettings, FrontEnd, fixed_front_end
from tests.pack_factory import build_pack

ROOT = Path(kws_stream.__file__).parents[1]
COMPILER = next((name for name in ("gcc", "clang") if shutil.which(name)), "")
X86 = platform.machine().lower() in ("x86_64", "amd64")

# what the processor is said to have, in place of __builtin_cpu_supports
FORMS = {
    "all": (),
    "AVX2 alone": ("-D__builtin_cpu_supports(name)=((name)[3] == '2')",),
    "128 bits": ("-D__builtin_cpu_supports(name)=0",),
    "plain": ("-DKWS_PLAIN",),
}
SOURCES = [
    *(ROOT / f"firmware_sim/c/kws_{stage}.c" for stage in ("front_end", "network", "detector")),
    *(ROOT / f"kws_stream/engine/c/kws_{part}.c" for part in ("engine", "simd")),
]
INCLUDED = ["-DKWS_RUNTIME", f"-I{ROOT / 'firmware_sim/c'}", f"-I{ROOT / 'kws_stream/engine/c'}"]
ARM = ("aarch64-linux-gnu-gcc", "qemu-aarch64")

# Hears a file of samples with the blob of another, 700 samples a call; writes the features.
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kws_engine.h"

static _Alignas(64) char blob[1 << 22], memory[1 << 22];
static int32_t features[1 << 16];

int main(int argc, char **argv)
{
    FILE *model = fopen(argv[1], "rb"), *sound = fopen(argv[2], "rb");
    const size_t size = fread(blob, 1, sizeof blob, model), each = (size_t)atoi(argv[3]);
    int16_t pcm[1 + 700];
    kws_engine_event events[64];
    size_t n, frames, found;
    if (argc != 4 || kws_engine_bytes(blob, size) > sizeof memory)
        return 1;
    kws_engine_init(memory, blob);
    while ((n = fread(pcm + 1, sizeof *pcm, 700, sound)) > 0) {
        const kws_engine_rows rows = {features, NULL, NULL, NULL};
        if (kws_engine_process(memory, pcm + 1, n, &rows, 99, &frames, events, 64, &found) != n)
            return 2;
        fwrite(features, sizeof *features, frames * each, stdout);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ctypes.CDLL]:
    folder = tmp_path_factory.mktemp("engines")
    made = {}
    for number, (name, define) in enumerate(FORMS.items()):
        target = folder / f"engine{number}.so"
        command = [COMPILER, "-O2", "-fno-math-errno", "-shared", "-fPIC", *INCLUDED]
        subprocess.run([*command, *define, "-o", target, *SOURCES], check=True)
        made[name] = ctypes.CDLL(str(target))
    return made


def heard(
    library: ctypes.CDLL, blob: bytes, pcm: np.ndarray, cuts: list[int], features: int
) -> np.ndarray:
    """Features (t, n) of pcm, given in pieces that end at these places."""
    room = np.zeros(len(blob) + 64, np.uint8)
    held = room[-room.ctypes.data % 64 :][: len(blob)]
    held[:] = np.frombuffer(blob, np.uint8)
    address = ctypes.c_void_p(held.ctypes.data)
    library.kws_engine_bytes.restype = library.kws_engine_process.restype = ctypes.c_size_t
    size = library.kws_engine_bytes(address, ctypes.c_size_t(len(blob)))
    assert size
    memory = np.zeros(size + 64, np.uint8)
    engine = ctypes.c_void_p(memory.ctypes.data + -memory.ctypes.data % 64)
    library.kws_engine_init(engine, address)
    out = np.zeros((len(pcm) // 160 + 1, features), np.int32)
    frames, found = ctypes.c_size_t(), ctypes.c_size_t()
    events = ctypes.create_string_buffer(64 * 40)
    done = at = 0
    for cut in [*cuts, len(pcm)]:
        piece = np.ascontiguousarray(pcm[at:cut])
        rows = (ctypes.c_void_p * 4)(out[done:].ctypes.data)
        used = library.kws_engine_process(
            *(engine, ctypes.c_void_p(piece.ctypes.data), ctypes.c_size_t(len(piece)), rows),
            *(ctypes.c_size_t(len(out) - done), ctypes.byref(frames), events),
            *(ctypes.c_size_t(64), ctypes.byref(found)),
        )
        assert used == len(piece)
        done, at = done + frames.value, cut
    return out[:done]


CHANGES: list[dict[str, object]] = [
    {},
    {"half_wave": True, "hops_per_frame": 2},
    {"channels": 60, "hops_per_frame": 8},
]


def case(changes: dict[str, object], folder: Path) -> tuple[bytes, int, np.ndarray, np.ndarray]:
    """A blob, its features a frame, samples and the features that they have in NumPy."""
    pack = packs.load(build_pack(folder / "pack", graphs=False, feature_settings=changes))
    settings = FeatureSettings.from_dict(pack.features)
    detector = Detector(
        DetectorSettings(), pack.classes, pack.keywords, FrontEnd(settings).frame_s
    ).frames_of_settings
    blob = model_blob(
        *fixed_front_end(settings),
        integer_network(pack.network.parameters),
        DetectorFrames(len(pack.classes), *detector),
    )
    rng = np.random.default_rng(5)
    loud = rng.integers(-32768, 32768, 8_000)
    pcm = np.concatenate([loud, np.full(500, -32768), rng.integers(-9, 9, 8_000)]).astype(np.int16)
    expected = FrontEnd(settings).process_codes(pcm) / settings.step
    return blob, pack.network.parameters.n_features, pcm, expected


@pytest.mark.skipif(not (COMPILER and X86), reason="needs gcc or clang on x86-64")
@pytest.mark.parametrize("changes", CHANGES)
def test_features_are_the_same_in_every_set_of_instructions(
    changes: dict[str, object], libraries: dict[str, ctypes.CDLL], tmp_path: Path
) -> None:
    blob, features, pcm, expected = case(changes, tmp_path)
    cuts = np.cumsum(np.random.default_rng(6).integers(0, 700, 40))
    for name, library in libraries.items():
        for places in ([], [int(cut) for cut in cuts if cut < len(pcm)]):
            got = heard(library, blob, pcm, places, features)
            assert np.array_equal(got, expected), name


@pytest.mark.skipif(not all(map(shutil.which, ARM)), reason="needs aarch64's gcc and qemu-user")
@pytest.mark.parametrize("changes", CHANGES)
def test_features_are_the_same_on_64_bit_arm(changes: dict[str, object], tmp_path: Path) -> None:
    blob, features, pcm, expected = case(changes, tmp_path)
    (tmp_path / "main.c").write_text(PROGRAM, "ascii")
    (tmp_path / "blob").write_bytes(blob)
    pcm.tofile(tmp_path / "sound")
    program = tmp_path / "program"
    command = [ARM[0], "-O2", "-static", "-Wall", "-Werror", *INCLUDED, "-o", program]
    subprocess.run([*command, tmp_path / "main.c", *SOURCES, "-lm"], check=True)
    words = [ARM[1], program, tmp_path / "blob", tmp_path / "sound", str(features)]
    out = subprocess.run(words, capture_output=True, check=True).stdout
    assert np.array_equal(np.frombuffer(out, np.int32).reshape(-1, features), expected)
