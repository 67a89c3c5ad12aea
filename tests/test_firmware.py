"""The C library: the bits of the Python core, clean under sanitizers, and nothing but integers."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim import export_c as exporting
from firmware_sim import toolchain
from firmware_sim.integers import _largest_sums, integer_network
from firmware_sim.model import FirmwareModel
from firmware_sim.scalar import run_scalar
from kws_stream import features, packs
from kws_stream.cli.output import event_text
from kws_stream.constants import RECORDING
from kws_stream.detector import Detector, DetectorSettings, WakeEvent
from kws_stream.errors import FirmwareError, ParameterError
from kws_stream.export.comparison_sound import CROSS
from kws_stream.export.firmware import firmware_model
from kws_stream.network import Network
from kws_stream.pipeline import KeywordSpotter
from tests.pack_factory import build_pack, random_network
from tests.reference import network as oracle
from tests.steady_noise import steady_starts

ROOT = Path(__file__).parents[1]
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
QUICK = ("-O0",)  # of no moment for the bits, and half the time to build
needs_compiler = pytest.mark.skipif(not COMPILERS, reason="needs gcc or clang")


def recording(seconds: float = 8.0) -> np.ndarray:
    return soundfile.read(RECORDING, dtype="int16")[0][: round(seconds * 16_000)]


def model_of(name: str | Path) -> tuple[packs.Pack, FirmwareModel]:
    pack = packs.load(name)
    return pack, firmware_model(pack)


def random_features(network: Network, streams: int, frames: int) -> np.ndarray:
    grid = network.parameters.input_grid
    rng = np.random.default_rng(0)
    first, last = round(grid.low / grid.step), round(grid.high / grid.step)
    shape = (streams, frames, network.parameters.n_features)
    return rng.integers(first, last + 1, shape) * grid.step


def assert_same_bits(
    network: Network, values: np.ndarray, logits: np.ndarray, bits: list[np.ndarray]
) -> None:
    fraction = integer_network(network.parameters).logit_fraction
    for stream, frames in enumerate(values):
        trace = network.run(frames)
        assert np.array_equal(np.ldexp(logits[stream].astype(float), -fraction), trace.logits)
        for ours, wanted in zip(bits, trace.bits, strict=True):
            assert np.array_equal(ours[stream], wanted)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(
    cells=st.lists(st.integers(1, 5), max_size=3).map(tuple),
    width=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_integers_give_the_bits_of_the_scalar_oracle(
    cells: tuple[int, ...], width: int, seed: int
) -> None:
    network = random_network(3, cells=cells, width=width, seed=seed)
    values = random_features(network, 2, 20)
    integers = integer_network(network.parameters)
    steps = integers.features(values)
    logits, bits = integers.run(steps)
    exact, cells_on = run_scalar(integers, steps)
    assert np.array_equal(exact, logits)
    assert all(map(np.array_equal, cells_on, bits))
    p = network.parameters
    blocks = [
        {
            "candidate": (b.candidate.weight, b.candidate.bias),
            "post": (b.post.weight, b.post.bias),
            "beta1": b.beta1,
            "delta": b.delta,
            "alpha": b.alpha,
            "initial_state": b.initial_state,
        }
        for b in p.blocks
    ]
    pre, classifier = (p.pre.weight, p.pre.bias), (p.classifier.weight, p.classifier.bias)
    for stream in range(2):
        wanted = oracle.run(values[stream], pre, blocks, classifier)
        assert np.array_equal(
            np.ldexp(logits[stream].astype(float), -integers.logit_fraction), wanted.logits
        )
        for ours, theirs in zip(bits, wanted.bits, strict=True):
            assert np.array_equal(ours[stream], theirs)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"input_grid": None}, "input_grid"),
        ({"pre": ([[2.0**40 + 1]], [0.0])}, "weights: need integers of up to 32 bits .*, got 42;"),
        ({"pre": ([[2.0**30]], [2.0**-40]), "input_grid": (2**-6, -1.0, 1.0)}, "64"),
        ({"classifier": ([[2.0**-50]], [0.0])}, "binary point"),
    ],
)
def test_a_network_that_does_not_fit_integers_is_refused(change: Any, reason: str) -> None:
    one = ([[1.0]], [0.0])
    fields = {"pre": one, "blocks": [], "classifier": one, "input_grid": (0.25, -1.0, 1.0)}
    with pytest.raises(ParameterError, match=reason):
        integer_network(Network.from_arrays(**(fields | change)).parameters)


def test_cells_that_never_reset_or_never_set_and_zero_tensors_fit_integers() -> None:
    block = {
        "candidate": ([[1.0, 0.5, -1.0]], [0.0, 2.0**-20, 0.0]),
        "beta1": [-5.0, 0.3, 1e6],
        "delta": [0.25, 0.0, 1e9],
        "alpha": [0.0, 0.0, 0.0],
        "post": ([[0.0], [0.0], [2.0**-9]], [0.125]),
        "initial_state": [0, 1, 1],
    }
    zero = ([[0.0]], [0.0])
    network = Network.from_arrays(([[1.0]], [0.0]), [block], zero, (0.25, -1.0, 1.0))
    integers = integer_network(network.parameters)
    values = random_features(network, 1, 50)
    logits, bits = integers.run(integers.features(values))
    assert_same_bits(network, values, logits, bits)


def test_a_threshold_between_two_candidates_is_the_upper_one_in_integers() -> None:
    """Candidates are multiples of 1/4: what does not reach 0.3 is 0.25, and 0.5 does."""
    block = {
        "candidate": ([[1.0]], [0.0]),
        "beta1": 0.3,
        "delta": 0.25,
        "alpha": 1.0,
        "post": ([[1.0]], [0.0]),
    }
    one = ([[1.0]], [0.0])
    network = Network.from_arrays(one, [block], one, (0.25, -1.0, 1.0))
    (integers,) = integer_network(network.parameters).blocks
    assert (integers.beta1.tolist(), integers.beta2.tolist()) == ([2], [3])
    values = np.array([[[0.5], [0.75], [0.5], [0.25], [0.5], [1.0]]])
    logits, bits = integer_network(network.parameters).run((values * 4).astype(int))
    assert bits[0][0, :, 0].tolist() == [False, True, True, False, False, True]
    assert_same_bits(network, values, logits, bits)


@needs_compiler
@pytest.mark.parametrize("name", packs.list_packs())
def test_every_shipped_model_in_c_gives_the_bits_of_the_pack(name: str) -> None:
    pack, model = model_of(name)
    front_end = features.build(pack.features)
    values = front_end.process(recording(4.0) / np.float32(32768))[None]
    integers = integer_network(model.parameters)
    cells = [block.cells for block in model.parameters.blocks]
    with toolchain.program(model, "network_main.c") as binary:
        got = toolchain.run_network(binary, integers.features(values), len(model.classes), cells)
    assert_same_bits(pack.network, values, *got)


@needs_compiler
@pytest.mark.parametrize(
    "shape",
    [
        {"cells": (4, 3), "feature_settings": {"hops_per_frame": 3, "slow_s": [0.1]}},
        {
            "cells": (),
            "feature_settings": {
                "slow_s": [],
                "channels": 8,
                "selectivity": 3.0,
                "half_wave": True,
            },
        },
        {"cells": (9,), "feature_settings": {"step": 2.0**-20, "high": 1.0, "selectivity": 4.0}},
    ],
)
def test_packs_of_other_shapes_build_and_give_their_bits(tmp_path: Path, shape: Any) -> None:
    pack, model = model_of(build_pack(tmp_path / "pack", graphs=False, **shape))
    values = random_features(pack.network, 3, 20)
    integers = integer_network(model.parameters)
    with toolchain.program(model, "network_main.c", QUICK) as binary:
        got = toolchain.run_network(
            binary, integers.features(values), len(model.classes), shape["cells"]
        )
    assert_same_bits(pack.network, values, *got)
    with toolchain.program(model, "front_end_main.c", QUICK) as binary:
        codes = toolchain.run_front_end(
            [binary], recording(2.0)[None], pack.network.parameters.n_features
        )
    wanted = features.build(pack.features).process(recording(2.0) / np.float32(32768))
    assert np.array_equal(codes[0], wanted / pack.features.get("step", 2.0**-6))


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_exported_library_builds_as_promised_and_its_example_finds_words(
    tmp_path: Path, compiler: str
) -> None:
    _, model = model_of("yes-4")
    exporting.export_c(model, tmp_path / "out")
    sources = sorted((tmp_path / "out").glob("*.c"))
    words = [compiler, *toolchain.WARNINGS, *sources, "-o", tmp_path / "spotter"]
    subprocess.run(words, check=True)
    lines = toolchain.run_program(tmp_path / "spotter", recording(33.0)).splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r" *\d+\.\d\d s  yes  score [01]\.\d\d  \(from \d+\.\d\d s\)", line)


@needs_compiler
@pytest.mark.parametrize("name", packs.list_packs())
def test_a_start_in_steady_noise_fires_nothing_in_c(name: str) -> None:
    _, model = model_of(name)
    with toolchain.program(model, flags=QUICK) as binary:
        for start in steady_starts():
            assert toolchain.run_program(binary, start) == ""


@needs_compiler
@pytest.mark.parametrize("name", ["yes-4", "commands-12"])
def test_events_in_c_are_those_of_the_spotter(name: str) -> None:
    pack, model = model_of(name)
    pcm = recording(33.0)
    wanted = [
        f"{e.time_s:6.2f} s  {e.keyword}  score {e.score:.2f}  (from {e.start_s:.2f} s)"
        for e in KeywordSpotter(pack).process(pcm)
    ]
    with toolchain.program(model, flags=QUICK) as binary:
        got = toolchain.run_program(binary, pcm).splitlines()
    assert wanted
    assert got == wanted


@needs_compiler
def test_the_device_loop_wakes_once_a_frame_and_prints_what_the_example_does() -> None:
    pack, model = model_of("yes-4")
    pcm = recording(20.0)
    with toolchain.program(model, flags=QUICK) as binary:
        wanted = toolchain.run_program(binary, pcm)
    with toolchain.program(model, "loop_main.c", QUICK) as binary:
        assert toolchain.run_program(binary, pcm) == wanted
        done = subprocess.run([binary], input=pcm.tobytes(), capture_output=True, check=True)
        frame = round(features.build(pack.features).frame_s * 16_000)
        assert done.stderr.decode().split() == ["wakes", str(len(pcm) // frame)]
        flooded = toolchain.run_program(binary, pcm, "4096")
    assert re.match(r"lost \d+ samples\n", flooded)


@needs_compiler
def test_random_bytes_and_extremes_are_clean_under_sanitizers() -> None:
    _, model = model_of("yes-4")
    rng = np.random.default_rng(0)
    noise = rng.integers(-32768, 32768, 32_000).astype(np.int16)
    square = np.repeat(np.tile([32767, -32768], 200), 40).astype(np.int16)
    pcm = np.concatenate([noise, square, np.zeros(8000, np.int16), square[::2], noise[:9]])
    with toolchain.program(model, "loop_main.c", ("-O1", *toolchain.SANITIZERS)) as binary:
        toolchain.run_program(binary, pcm.tobytes() + b"\x01")


def test_the_core_has_no_floating_point_no_heap_and_string_h_alone() -> None:
    for path in sorted(exporting.SOURCES.glob("*.[ch]")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text("ascii"), flags=re.DOTALL)
        assert not re.search(r"\b(float|double|malloc|calloc|free|alloca)\b", text), path
        assert not re.search(r"\b\d+\.\d*f?\b", re.sub(r'"[^"]*"', "", text)), path
        headers = set(re.findall(r"#include <(\w+\.h)>", text))
        allowed = {"stddef.h", "stdint.h", "string.h"}
        assert headers <= allowed | ({"stdio.h"} if path.name == "example.c" else set()), path


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    _, model = model_of("yes-4")
    (tmp_path / "mine").write_text("x")
    with pytest.raises(FirmwareError, match="empty folder"):
        exporting.export_c(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_mel_front_end_is_refused(tmp_path: Path) -> None:
    pack = build_pack(tmp_path / "pack", graphs=False, feature_settings={"kind": "mel"})
    with pytest.raises(ParameterError, match="analog filterbank"):
        exporting.library(model_of(pack)[1])


def test_without_a_compiler_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(FirmwareError, match="install gcc or clang"):
        toolchain.find_compiler()


def test_the_library_runs_on_a_simulated_cortex_m() -> None:
    from firmware_sim import cortex_m

    if cortex_m.missing_tools():
        pytest.skip(f"needs {', '.join(cortex_m.missing_tools())}")
    found = cortex_m.measure(model_of("yes-4")[1], "cortex-m4", "-Os")
    assert 1_000 < found.flash < 16_000
    assert 500 < found.ram < 8192
    assert 100 < found.stack < 2048
    assert all(100 < count < 1_000_000 for count in found.instructions.values())


@needs_compiler
@pytest.mark.parametrize("name", ["yes-4", "commands-12"])
def test_smoothed_scores_in_c_are_those_of_the_detector(name: str) -> None:
    pack, model = model_of(name)
    integers = integer_network(model.parameters)
    bound = max(integers.classifier.bounds)
    rng = np.random.default_rng(0)
    sizes = bound * 2.0 ** rng.uniform(-20, 0, (300, 1))
    logits = (rng.uniform(-1, 1, (300, len(model.classes))) * sizes).astype(np.int64)
    logits[:5] = 0
    frame_s = features.build(pack.features).frame_s
    settings = DetectorSettings.from_dict(pack.detector)
    detector = Detector(settings, pack.classes, pack.keywords, frame_s)
    wanted: list[list[float]] = []
    detector.process(np.ldexp(logits.astype(float), -integers.logit_fraction), wanted)
    with toolchain.program(model, "detector_main.c", QUICK) as binary:
        scores = toolchain.run_detector(binary, logits)
    assert np.array_equal(scores, np.array(wanted))
    assert np.ptp(np.array(wanted)) > 0.9


def test_names_that_c_could_not_hold_are_written_safely(tmp_path: Path) -> None:
    classes = ("yes", 'n\u00f6 "*/ ??/', "other")
    pack = build_pack(
        tmp_path / "pack",
        graphs=False,
        classes=classes,
        keywords=classes[:2],
        name="m\u00e4x **// pack",
    )
    files = exporting.library(model_of(pack)[1])
    assert all(text.isascii() for text in files.values())
    assert "m_x ____ pack 1.0.0; written" in files["kws_model.h"]
    assert r'"n\303\266 \042*/ \077\077/"' in files["kws_model.c"]


@needs_compiler
def test_the_longest_frames_fit_the_ring(tmp_path: Path) -> None:
    settings = {"hops_per_frame": 8, "selectivity": 3.0, "high_hz": 4000.0, "lowpass_s": 0.05}
    model = model_of(build_pack(tmp_path / "pack", graphs=False, feature_settings=settings))[1]
    pcm = recording(2.0)
    with toolchain.program(model, "loop_main.c", QUICK) as binary:
        done = subprocess.run([binary], input=pcm.tobytes(), capture_output=True, check=True)
    assert done.stderr.decode().split() == ["wakes", str(len(pcm) // 1280)]


@needs_compiler
def test_features_in_c_are_those_of_the_front_end_for_any_sound() -> None:
    pack, model = model_of("yes-4")
    front_end = features.build(pack.features)
    rng = np.random.default_rng(0)
    t = np.arange(24_000)
    sounds = [
        np.concatenate([np.zeros(8_000), recording()[30_000:46_000]]),
        rng.integers(-32768, 32768, len(t)),
        rng.integers(-1, 2, len(t)),  # one step of 16 bits
        np.where(t // 80 % 2, 32767, -32768),
        np.where(t % 8000 == 0, 32767, 0),
        np.full(len(t), 32767),
        recording()[60_000:84_000] // 64,
    ]
    pcm = np.stack(sounds).astype(np.int16)
    with toolchain.program(model, "front_end_main.c", QUICK) as binary:
        codes = toolchain.run_front_end([binary], pcm, front_end.n_features)
    for samples, found in zip(pcm, codes, strict=True):
        front_end.reset()
        wanted = front_end.process(samples / np.float32(32768)) / front_end.settings.step
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("settings", [{}, {"half_wave": True}, {"channels": 9, "selectivity": 3.0}])
def test_arms_dsp_instructions_give_the_same_features(tmp_path: Path, settings: Any) -> None:
    compiler, emulator, flags = CROSS["armhf"]
    if not (shutil.which(compiler) and shutil.which(emulator)):
        pytest.skip(f"needs {compiler} and {emulator}")
    pack, model = model_of(build_pack(tmp_path / "pack", graphs=False, feature_settings=settings))
    rng = np.random.default_rng(0)
    loud = np.where(np.arange(24_000) // 80 % 2, 32767, -32768)
    pcm = np.stack([recording()[: len(loud)], loud, rng.integers(-32768, 32768, len(loud))])
    n_features = pack.network.parameters.n_features
    with toolchain.program(model, "front_end_main.c", (*flags, "-mthumb"), compiler) as binary:
        with toolchain.program(model, "front_end_main.c", QUICK) as plain:
            wanted = toolchain.run_front_end([plain], pcm, n_features)
        assert np.array_equal(toolchain.run_front_end([emulator, binary], pcm, n_features), wanted)


def test_every_setting_of_front_end_and_detector_reaches_the_firmware() -> None:
    """A new setting has to be read in kws_stream/export/firmware.py before it is added here."""
    front_end = {"kind", "channels", "low_hz", "high_hz", "selectivity", "preemphasis"}
    front_end |= {"lowpass_s", "half_wave", "hops_per_frame", "agc_s", "floor", "start_level"}
    front_end |= {"offset", "slow_s", "step", "high", "rate_hz", "hop_samples", "corner_hz"}
    assert {field.name for field in dataclasses.fields(features.FeatureSettings)} == front_end
    detector = {"window_s", "threshold", "thresholds", "rearm", "refractory_s", "warmup_s"}
    assert {field.name for field in dataclasses.fields(DetectorSettings)} == detector | {"onset_s"}


@pytest.mark.parametrize(
    ("score", "start_s", "shown"),
    [
        (0.125, 0.185, ("0.13", "0.19")),
        (0.375, 0.125, ("0.38", "0.13")),
        (1.0, 0.0, ("1.00", "0.00")),
    ],
)
def test_halves_of_a_hundredth_go_up_in_a_line_as_in_c(score, start_s, shown):
    event = WakeEvent("yes", time_s=0.31, score=score, start_s=start_s, index=0)
    assert event_text(event) == f"  0.31 s  yes  score {shown[0]}  (from {shown[1]} s)"


def test_sums_beyond_64_bits_are_exact_when_integers_are_fitted() -> None:
    largest = [2**40, 2**40]
    assert _largest_sums(np.array([[2**40, -1], [2**40, 1]]), largest) == [2**81, 2**41]
    assert _largest_sums(np.array([[-3, 1], [2, 0]]), [5, 7]) == [29, 5]
