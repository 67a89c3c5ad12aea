"""The engine in C, the stages in NumPy and the equations in plain integers: the same bits."""

import os
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.integers import integer_network
from kws_stream import engine, packs
from kws_stream.audio import to_int16
from kws_stream.constants import RECORDING
from kws_stream.detector import DetectorSettings
from kws_stream.engine import binding, blob
from kws_stream.errors import ParameterError
from kws_stream.features import FeatureSettings, FrontEnd, fixed_front_end
from kws_stream.network import Network
from kws_stream.pipeline import KeywordSpotter
from tests.pack_factory import build_pack, manifest_fields
from tests.reference import detector as detector_twin
from tests.reference import front_end as front_end_twin
from tests.strategies import splits

needs_engine = pytest.mark.skipif(engine.library is None, reason="needs the engine in C")

# a slow sensor: an electrocardiogram at 250 Hz
HEART = {
    "rate_hz": 250,
    "hop_samples": 8,
    "channels": 6,
    "low_hz": 2.0,
    "high_hz": 40.0,
    "corner_hz": 1.0,
    "lowpass_s": 0.05,
    "agc_s": 4.0,
    "slow_s": [0.2],
    "preemphasis": 0.0,
}
UNUSUAL: dict[str, dict[str, Any]] = {
    "usual": {},
    "two hops, half-wave": {
        "cells": (9, 1, 5),
        "feature_settings": {"hops_per_frame": 2, "half_wave": True, "slow_s": [0.1]},
    },
    "no blocks": {"cells": (), "feature_settings": {"channels": 5, "slow_s": [], "selectivity": 3}},
    "many channels, long frames": {
        "cells": (40, 33),
        "feature_settings": {"channels": 60, "hops_per_frame": 8, "selectivity": 2.5},
    },
    "a fine grid": {"cells": (9,), "feature_settings": {"step": 2.0**-20, "high": 1.0}},
    "250 Hz, frames of eight samples": {"feature_settings": HEART},
    "48 kHz, hops of five blocks": {
        "feature_settings": {"rate_hz": 48_000, "hop_samples": 40, "hops_per_frame": 3},
    },
}


def recording(seconds: float = 4.0) -> np.ndarray:
    return soundfile.read(RECORDING, dtype="int16")[0][: round(seconds * 16_000)]


def spotters(
    monkeypatch: pytest.MonkeyPatch, model: Any, **options: Any
) -> tuple[KeywordSpotter, KeywordSpotter]:
    """The same spotter in C and in NumPy."""
    compiled = KeywordSpotter(model, **options)
    with monkeypatch.context() as without:
        without.setattr(engine, "library", None)
        plain = KeywordSpotter(model, **options)
    assert (compiled._stages.kind, plain._stages.kind) == ("c", "numpy")
    return compiled, plain


def assert_same_state(compiled: KeywordSpotter, plain: KeywordSpotter) -> None:
    assert compiled.frames == plain.frames
    assert compiled.time_s == plain.time_s
    assert np.array_equal(compiled.scores, plain.scores)
    assert np.array_equal(compiled.smoothed_scores, plain.smoothed_scores)
    assert compiled.thresholds == plain.thresholds
    for ours, theirs in zip(compiled.bits, plain.bits, strict=True):
        assert np.array_equal(ours, theirs)
    assert compiled.power() == plain.power()
    for seconds in (0.01, 1.0, 100.0):
        assert compiled.recent_power(seconds) == plain.recent_power(seconds)


@pytest.fixture(scope="module", params=UNUSUAL)
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> packs.Pack:
    folder = tmp_path_factory.mktemp("packs") / "pack"
    detector = DetectorSettings(window_s=0.1, threshold=0.4, rearm=0.35, refractory_s=0.1)
    return packs.load(
        build_pack(folder, graphs=False, detector=detector.as_dict(), **UNUSUAL[request.param])
    )


@needs_engine
@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.data())
def test_any_split_thresholds_and_silence_give_the_same_bits(
    pack: packs.Pack, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        compiled, plain = spotters(monkeypatch, pack)
    compared = -1
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    sound = data.draw(st.sampled_from(["speech", "noise", "square", "one step", "silence"]))
    length = data.draw(st.integers(0, 9000))
    pcm = {
        "speech": recording()[20_000 : 20_000 + length],
        "noise": rng.integers(-32768, 32768, length),
        "square": np.where(np.arange(length) // 37 % 2, 32767, -32768),
        "one step": rng.integers(-1, 2, length),
        "silence": np.zeros(length),
    }[sound].astype(np.int16)
    parts = data.draw(splits(length))
    often = min(0.2, 8 / len(parts))  # so that frames end between two resets
    for part in parts:
        if rng.random() < often:
            level = float(rng.choice([0.0, 0.34, 0.5, 1.0]))
            for spotter in (compiled, plain):
                spotter.set_thresholds({pack.keywords[0]: level})
            compared = -1
        if rng.random() < often:
            keep = bool(rng.integers(2))
            for spotter in (compiled, plain):
                spotter.reset(keep_power=keep)
            compared = -1
        assert compiled.process(pcm[part]) == plain.process(pcm[part])
        assert (compiled.frames, compiled.time_s) == (plain.frames, plain.time_s)
        if compiled.frames != compared:  # the rest changes with frames alone
            assert_same_state(compiled, plain)
            compared = compiled.frames
    assert_same_state(compiled, plain)


@needs_engine
@pytest.mark.parametrize("name", packs.list_packs())
def test_every_shipped_model_gives_the_same_in_c_and_in_numpy(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    compiled, plain = spotters(monkeypatch, name, threshold=0.3)
    pcm = recording(6.0)
    assert compiled.process(pcm) == plain.process(pcm)
    assert_same_state(compiled, plain)
    for ours, theirs in zip(compiled.observe(pcm), plain.observe(pcm), strict=True):
        assert np.array_equal(ours.features, theirs.features)
        assert np.array_equal(ours.smoothed, theirs.smoothed)
        assert ours.events == theirs.events
        assert np.array_equal(ours.trace.logits, theirs.trace.logits)
        for wires in ("inputs", "candidates", "states", "bits"):
            pairs = zip(getattr(ours.trace, wires), getattr(theirs.trace, wires), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)
    assert_same_state(compiled, plain)
    (ours, our_power), (theirs, their_power) = compiled.logits(pcm[:9999]), plain.logits(pcm[:9999])
    assert np.array_equal(ours, theirs)
    assert our_power == their_power
    assert len(compiled.logits(pcm[:1])[0]) == len(plain.logits(pcm[:1])[0]) == 0
    assert_same_state(compiled, plain)


@pytest.mark.parametrize("forced", ["", "numpy"])
def test_a_spotter_equals_the_equations_in_plain_integers(
    monkeypatch: pytest.MonkeyPatch, pack: packs.Pack, forced: str
) -> None:
    if forced:
        monkeypatch.setattr(engine, "library", None)
    spotter = KeywordSpotter(pack)
    given_features = FeatureSettings.from_dict(pack.features)
    pcm = recording()[20_000:26_000]
    codes = front_end_twin.features(*fixed_front_end(given_features), pcm.tolist())
    network = integer_network(pack.network.parameters)
    logits, bits = network.run(np.array(codes, np.int64)[None])
    unit = Fraction(2) ** network.classifier.exponent
    events, smoothed = detector_twin.run(
        [[float(unit * int(value)) for value in row] for row in logits[0]],
        DetectorSettings.from_dict(pack.detector),
        pack.classes,
        pack.keywords,
        spotter.frame_s,
    )
    seen = spotter.observe(pcm)
    assert [event.as_dict() for each in seen for event in each.events] == events
    assert np.concatenate([each.smoothed for each in seen]).tolist() == smoothed
    found = np.concatenate([each.features for each in seen]) / given_features.step
    assert found.tolist() == codes
    for ours, block in zip(spotter.bits, bits, strict=True):
        assert np.array_equal(ours, block[0, -1])


@needs_engine
def test_a_copy_goes_on_where_the_spotter_was() -> None:
    spotter = KeywordSpotter("yes-4", threshold=0.2)
    pcm = recording(8.0)
    spotter.process(pcm[:50_001])
    copy = pickle.loads(pickle.dumps(spotter))
    assert copy.process(pcm[50_001:]) == spotter.process(pcm[50_001:])
    assert_same_state(copy, spotter)


@needs_engine
def test_a_copy_that_this_process_cannot_go_on_with_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dumped = pickle.dumps(KeywordSpotter("yes-4"))
    monkeypatch.setattr(engine, "library", None)
    with pytest.raises(ParameterError, match="need the engine in C to go on"):
        pickle.loads(dumped)


def test_an_extension_of_another_version_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"KWS_ENGINE_VERSION = {engine.VERSION} " in binding.HEADERS[0].read_text("ascii")
    for lib in (SimpleNamespace(), SimpleNamespace(KWS_ENGINE_VERSION=engine.VERSION + 1)):
        monkeypatch.setitem(sys.modules, "kws_stream.engine._engine", SimpleNamespace(lib=lib))
        monkeypatch.delenv("KWS_STREAM_ENGINE", raising=False)
        assert engine._find() is None
        monkeypatch.setenv("KWS_STREAM_ENGINE", "c")
        with pytest.raises(ParameterError, match="one of version"):
            engine._find()


@needs_engine
def test_many_events_in_one_call_all_come(tmp_path: Path) -> None:
    settings_ = DetectorSettings(
        window_s=0, threshold=0, rearm=1, refractory_s=0, warmup_s=0, onset_s=0
    )
    pack = packs.load(
        build_pack(
            tmp_path / "pack",
            graphs=False,
            classes=("yes", "no"),
            keywords=("yes", "no"),
            detector=settings_.as_dict(),
        )
    )
    spotter = KeywordSpotter(pack)
    assert spotter._stages.kind == "c"
    frames = 20 * 100
    events = spotter.process(np.zeros(frames * 160, np.int16))
    assert [event.index for event in events] == list(range(frames))
    spotter.reset()
    seen = spotter.observe(np.zeros(frames * 160, np.int16))
    assert sum(len(each.events) for each in seen) == frames
    assert sum(len(each.smoothed) for each in seen) == frames


def test_models_that_the_engine_has_no_room_for_run_in_numpy(tmp_path: Path) -> None:
    mel = build_pack(tmp_path / "mel", graphs=False, feature_settings={"kind": "mel"})
    long = build_pack(
        tmp_path / "long",
        graphs=False,
        detector=DetectorSettings(window_s=3600.0).as_dict(),
    )
    large = tmp_path / "large"
    front_end = FrontEnd(FeatureSettings(channels=5, selectivity=3.0, slow_s=()))
    candidate = (np.full((1, 1), 1 - 2.0**-24), np.full(1, 2.0**10))  # sums of 41 bits
    block = {"candidate": candidate, "beta1": [1], "delta": [0], "alpha": [1]}
    network = Network.from_arrays(
        (np.ones((5, 1)), np.zeros(1)),
        [block | {"post": (np.ones((1, 1)), np.zeros(1))}],
        (np.ones((1, 3)), np.zeros(3)),
        front_end.settings.input_grid,
    )
    assert network.exactness.exact
    settings_ = {"channels": 5, "selectivity": 3.0, "slow_s": []}
    packs.save(large, manifest_fields(name="large", features=settings_), network.parameters, [])
    for folder in (mel, long, large):
        spotter = KeywordSpotter(packs.load(folder))
        assert spotter._stages.kind == "numpy"
        spotter.process(recording(0.1))


@needs_engine
def test_an_extension_left_over_from_an_earlier_version_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blob, "MAGIC", blob.MAGIC + 1)
    assert KeywordSpotter("yes-4")._stages.kind == "numpy"


def test_float_samples_are_rounded_to_the_grid_in_both_kinds() -> None:
    pcm = recording(3.0)
    rng = np.random.default_rng(0)
    off_grid = (pcm + rng.uniform(-0.49, 0.49, len(pcm))) / 32768
    spotter = KeywordSpotter("yes-4", threshold=0.1)
    events = spotter.process(pcm)
    spotter.reset()
    assert np.array_equal(to_int16(off_grid.astype(np.float32)), pcm)
    assert spotter.process(off_grid.astype(np.float32)) == events


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_the_environment_forces_numpy_and_a_wrong_word_is_refused() -> None:
    code = "import kws_stream.engine as engine; print(engine.kind)"
    assert run(code, KWS_STREAM_ENGINE="numpy").stdout.split() == ["numpy"]
    wrong = run(code, KWS_STREAM_ENGINE="fast")
    assert wrong.returncode
    assert "KWS_STREAM_ENGINE: need numpy, c or nothing, got 'fast'" in wrong.stderr


@needs_engine  # long blocks in NumPy are for ONNX Runtime
def test_detection_from_a_pipe_loads_no_heavy_package() -> None:
    code = (
        "import io, sys; from kws_stream.pipeline import KeywordSpotter; import numpy\n"
        "spotter = KeywordSpotter('yes-4'); spotter.process(numpy.zeros(64000, numpy.int16))\n"
        "spotter.power()\n"
        "print(sorted({'librosa', 'scipy', 'onnxruntime', 'numba'} & set(sys.modules)))"
    )
    done = run(code)
    assert done.stdout.split() == ["[]"], done.stderr


def test_the_binding_declares_what_the_header_does() -> None:
    text = binding.declarations(binding.HEADERS[0].read_text("ascii"))
    assert "kws_engine_process(" in text
    assert "#" not in text
    assert "/*" not in text


def test_every_shipped_model_is_in_the_wheel() -> None:
    root = Path(packs.__file__).parents[2]
    listed = (root / "pyproject.toml").read_text("utf-8")
    for name in packs.list_packs():
        assert f'"kws_stream/_models/{name}" = "models/{name}"' in listed


@needs_engine
def test_features_come_with_events_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = recording(20.0)
    parts = np.split(pcm, [0, 1, 700, 701, 40_000, 200_000])
    for spotter in spotters(monkeypatch, "yes-8"):
        wanted = spotter.observe(pcm)
        spotter.reset()
        heard = [spotter._stages.hear(part) for part in parts]
        for name in ("features", "smoothed"):
            frames = np.concatenate([getattr(each, name) for each, _ in heard])
            assert np.array_equal(frames, np.concatenate([getattr(one, name) for one in wanted]))
        events = [event for _, found in heard for event in found]
        assert events == [event for one in wanted for event in one.events]
        assert events
