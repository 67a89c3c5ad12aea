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
CLAIMS = {"all": None, "AVX2 alone": "(name)[3] == '2'", "none": "0"}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ctypes.CDLL]:
    folder = tmp_path_factory.mktemp("engines")
    engine, firmware = ROOT / "kws_stream/engine/c", ROOT / "firmware_sim/c"
    sources = [firmware / f"kws_{stage}.c" for stage in ("front_end", "network", "detector")]
    sources += [engine / f"kws_{part}.c" for part in ("engine", "simd")]
    made = {}
    for number, (name, claim) in enumerate(CLAIMS.items()):
        target = folder / f"engine{number}.so"
        define = [] if claim is None else [f"-D__builtin_cpu_supports(name)=({claim})"]
        command = [COMPILER, "-O2", "-fno-math-errno", "-shared", "-fPIC", "-DKWS_RUNTIME"]
        command += [*define, "-I", firmware, "-I", engine, "-o", target, *sources]
        subprocess.run(command, check=True)
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


@pytest.mark.skipif(not (COMPILER and X86), reason="needs gcc or clang on x86-64")
@pytest.mark.parametrize(
    "changes", [{}, {"half_wave": True, "hops_per_frame": 2}, {"channels": 60, "hops_per_frame": 8}]
)
def test_features_are_the_same_in_every_set_of_instructions(
    changes: dict[str, object], libraries: dict[str, ctypes.CDLL], tmp_path: Path
) -> None:
    pack = packs.load(build_pack(tmp_path / "pack", graphs=False, feature_settings=changes))
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
    cuts = np.cumsum(rng.integers(0, 700, 40))
    expected = FrontEnd(settings).process_codes(pcm) / settings.step
    for name, library in libraries.items():
        for places in ([], [int(cut) for cut in cuts if cut < len(pcm)]):
            got = heard(library, blob, pcm, places, pack.network.parameters.n_features)
            assert np.array_equal(got, expected), name
