"""Sums of virtual chips in C: equal to those in NumPy, in every set of instructions."""

import ctypes
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import kws_stream
from kws_stream import engine
from kws_stream.bmru.chip import ChipBatch, ChipSettings
from kws_stream.bmru.sums import ordered_sums
from kws_stream.engine.chip import sums
from tests.pack_factory import random_network

C = Path(kws_stream.__file__).parent / "engine" / "c"
COMPILER = next((name for name in ("gcc", "clang") if shutil.which(name)), "")
X86 = platform.machine().lower() in ("x86_64", "amd64")
needs_engine = pytest.mark.skipif(engine.kind != "c", reason="needs the engine in C")

# what the processor is said to have, in place of __builtin_cpu_supports
CLAIMS = {"AVX2 alone": "(name)[3] == '2'", "none": "0"}
# frames, inputs, outputs, chips: parts of vectors, of tiles of outputs, of chunks of inputs and of
# spans of frames
SHAPES = [(5, 9, 4, 3), (3, 64, 7, 8), (4, 150, 13, 19), (2, 0, 3, 9), (0, 5, 3, 9), (6, 5, 1, 1)]
SHAPES.append((35, 70, 17, 6))


def case(shape: tuple[int, int, int, int], shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of which many are 0, some of those on a few chips alone, and weights."""
    frames, inputs, outputs, chips = shape
    rng = np.random.default_rng(7)
    x = rng.standard_normal((frames, inputs, 1 if shared else chips))
    x *= (rng.random((frames, inputs, 1)) < 0.6) & (rng.random(x.shape) < 0.8)
    return x, rng.standard_normal((inputs, outputs, chips))


def in_index_order(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = np.zeros((len(x), *weight.shape[1:]))
    for i in range(len(weight)):
        total = total + x[:, i : i + 1] * weight[i]
    return total


@needs_engine
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_sums_in_c_run_in_index_order(shape: tuple[int, int, int, int], shared: bool) -> None:
    x, weight = case(shape, shared)
    bias = np.random.default_rng(1).standard_normal(weight.shape[1:])
    assert sums is not ordered_sums
    assert np.array_equal(sums(x, weight, None), in_index_order(x, weight))
    assert np.array_equal(sums(x, weight, bias), in_index_order(x, weight) + bias)
    turned = np.asfortranarray(x), np.asfortranarray(weight)
    assert np.array_equal(sums(*turned, bias), sums(x, weight, bias))


@pytest.mark.skipif(not (COMPILER and X86), reason="needs gcc or clang on x86-64")
@pytest.mark.parametrize("name", CLAIMS)
def test_sums_are_the_same_in_every_set_of_instructions(name: str, tmp_path: Path) -> None:
    target = tmp_path / "chip.so"
    command = [COMPILER, "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-I", C, "-o", target]
    claim = f"-D__builtin_cpu_supports(name)=({CLAIMS[name]})"
    subprocess.run([*command, claim, C / "kws_chip.c"], check=True)
    library = ctypes.CDLL(str(target))
    for shape in SHAPES:
        for shared in (False, True):
            x, weight = case(shape, shared)
            total = np.full((shape[0], *weight.shape[1:]), np.nan)
            arrays = (ctypes.c_void_p(array.ctypes.data) for array in (total, x, weight))
            sizes = (ctypes.c_size_t(size) for size in shape)
            library.kws_chip_sums(*arrays, *sizes, ctypes.c_int(shared))
            assert np.array_equal(total, in_index_order(x, weight)), (shape, shared)


@needs_engine
def test_chips_are_the_same_with_sums_in_c_and_in_numpy() -> None:
    parameters = random_network(5).parameters
    settings = ChipSettings.foundry(noise_bandwidth_hz=50, settling_s=2e-3)
    grid = parameters.input_grid
    assert grid is not None
    steps = np.random.default_rng(0).integers(0, grid.high / grid.step, (40, 5))
    in_c, in_numpy = (ChipBatch(parameters, settings, 1, range(11), form) for form in (sums, None))
    one, other = (batch.run(steps * grid.step, 3) for batch in (in_c, in_numpy))
    assert np.array_equal(one.logits, other.logits)
    for wires in ("inputs", "candidates", "states", "bits"):
        assert all(map(np.array_equal, getattr(one, wires), getattr(other, wires)))


def test_logits_alone_are_those_of_the_trace() -> None:
    parameters = random_network(5).parameters
    for settings in (ChipSettings(), ChipSettings.foundry(settling_s=2e-3)):
        batch = ChipBatch(parameters, settings, 1, range(3))
        x = np.random.default_rng(0).integers(0, 9, (30, 5)) / 16
        assert np.array_equal(batch.logits(x, 2, 4, 25), batch.run(x, 2).logits[4:25])
