"""The spotter: the same events, scores and power for any split, and equal to its stages by hand."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import kws_stream
from kws_stream import KeywordSpotter, WakeEvent, engine, features, packs, power
from kws_stream.audio import FileSource, to_float32
from kws_stream.constants import RECORDING
from kws_stream.errors import InputError, PackError, ParameterError
from kws_stream.evaluation.streams import Word, score_stream
from tests.pack_factory import build_pack, random_network
from tests.steady_noise import steady_starts
from tests.strategies import splits

DATA = Path(kws_stream.__file__).parent / "_data"
WIRES = ("inputs", "candidates", "states", "bits")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> packs.Pack:
    """Random weights that fire often: two hops a frame, so frames and hops differ."""
    path = build_pack(
        tmp_path_factory.mktemp("packs") / "often",
        feature_settings={"hops_per_frame": 2, "channels": 12, "selectivity": 1.7},
        detector={"window_s": 0.04, "threshold": 0.4, "rearm": 0.39, "refractory_s": 0.1},
    )
    return packs.load(path)


@pytest.fixture(scope="module")
def demo() -> np.ndarray:
    return soundfile.read(RECORDING, dtype="int16")[0]


def pcm(samples: int, seed: int = 0) -> np.ndarray:
    """int16 noise in bursts of changing loudness and colour."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(samples + 1)
    loud = np.repeat(rng.choice([0.001, 0.02, 0.3], samples // 1600 + 1), 1600)[:samples]
    low = np.convolve(white, np.ones(24) / 5)[:samples]
    dark = np.repeat(rng.random(samples // 1600 + 1) < 0.5, 1600)[:samples]
    return np.clip(np.where(dark, low, white[:samples]) * loud * 32767, -32768, 32767).astype(
        np.int16
    )


def everything(spotter: KeywordSpotter) -> list[Any]:
    """All that a spotter shows of its state, comparable bit for bit."""
    return [
        spotter.frames,
        spotter.time_s,
        spotter.scores.tobytes(),
        spotter.smoothed_scores.tobytes(),
        [bits.tobytes() for bits in spotter.bits],
        spotter.power(),
        spotter.recent_power(),
    ]


def in_blocks(spotter: KeywordSpotter, samples: np.ndarray, length: int) -> list[WakeEvent]:
    events = []
    for start in range(0, len(samples), length):
        events += spotter.process(samples[start : start + length])
    return events


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.data())
def test_any_split_and_either_type_give_the_same_bits(
    pack: packs.Pack, data: st.DataObject
) -> None:
    samples = pcm(data.draw(st.integers(0, 12_000)), data.draw(st.integers(0, 9)))
    if data.draw(st.booleans()) and len(samples) > 2000:
        samples = samples[:2000]
    whole = KeywordSpotter(pack)
    events = whole.process(samples)
    parts = KeywordSpotter(pack)
    got = []
    for part in data.draw(splits(len(samples))):
        block = samples[part]
        got += parts.process(to_float32(block) if data.draw(st.booleans()) else block)
    assert got == events
    assert everything(parts) == everything(whole)
    assert whole.frames == len(samples) // 320


@pytest.mark.parametrize("model", ["yes-4", "commands-12", "often"])
def test_a_minute_at_once_equals_blocks_of_10_ms(model: str, pack: packs.Pack) -> None:
    samples = pcm(60 * 16_000, seed=1)
    whole, parts = (KeywordSpotter(pack if model == "often" else model) for _ in range(2))
    events = whole.process(samples)
    assert in_blocks(parts, samples, 160) == events
    assert everything(parts) == everything(whole)
    assert whole.time_s == 60.0
    if model == "often":
        assert len(events) > 10
        assert {event.keyword for event in events} <= set(pack.keywords)


def test_the_recording_gives_the_same_events_for_any_block_length(demo: np.ndarray) -> None:
    whole = KeywordSpotter()
    events = whole.process(demo)
    assert events
    for length in (997, 4096, 48_000):
        parts = KeywordSpotter()
        assert in_blocks(parts, demo, length) == events
        assert everything(parts) == everything(whole)


def test_reset_equals_a_new_spotter(pack: packs.Pack) -> None:
    used = KeywordSpotter(pack)
    used.process(pcm(30_001, seed=2))
    used.reset()
    fresh = KeywordSpotter(pack)
    assert everything(used) == everything(fresh)
    samples = pcm(16_000, seed=3)
    assert used.process(samples) == fresh.process(samples)
    assert everything(used) == everything(fresh)


def test_a_reset_that_keeps_power_keeps_nothing_else(pack: packs.Pack) -> None:
    used, fresh = KeywordSpotter(pack), KeywordSpotter(pack)
    used.process(pcm(32_000, seed=2))
    used.reset(keep_power=True)
    samples = pcm(16_000, seed=3)
    assert used.process(samples) == fresh.process(samples)
    assert used.scores.tolist() == fresh.scores.tolist()
    assert used.power().frames == 150
    assert fresh.power().frames == 50


@pytest.mark.parametrize(
    "bad",
    [
        np.array([0.0, math.nan], np.float32),
        np.array([math.inf], np.float32),
        np.full(40_000, -math.inf, np.float32),
        np.zeros((160, 1), np.float32),
        np.zeros(160, np.int32),
        np.zeros(160, np.uint8),
        np.zeros(160, complex),
        "sound",
        None,
    ],
    ids=repr,
)
def test_bad_samples_are_refused_and_leave_the_stream_as_it_was(pack: packs.Pack, bad: Any) -> None:
    samples = pcm(8000, seed=4)
    disturbed, calm = KeywordSpotter(pack), KeywordSpotter(pack)
    disturbed.process(samples[:5001])
    calm.process(samples[:5001])
    with pytest.raises(InputError, match="pcm: need") as raised:
        disturbed.process(bad)
    assert isinstance(raised.value, ValueError)
    assert everything(disturbed) == everything(calm)
    assert disturbed.process(samples[5001:]) == calm.process(samples[5001:])
    assert everything(disturbed) == everything(calm)


def test_no_samples_change_nothing(pack: packs.Pack) -> None:
    spotter = KeywordSpotter(pack)
    before = everything(spotter)
    assert spotter.process(np.zeros(0, np.int16)) == []
    assert spotter.process(np.zeros(0, np.float32)) == []
    assert spotter.trace(np.zeros(0, np.int16)) == []
    assert everything(spotter) == before


def test_scores_are_uniform_before_the_first_frame_and_sum_to_one_after() -> None:
    spotter = KeywordSpotter("commands-12")
    uniform = [1 / len(spotter.classes)] * len(spotter.classes)
    spotter.process(np.zeros(round(spotter.frame_s * 16_000) - 1, np.int16))
    assert spotter.scores.tolist() == uniform
    assert spotter.scores.dtype == np.float64
    for seed in range(5):
        spotter.process(pcm(3200, seed))
        assert spotter.scores.sum() == pytest.approx(1, rel=1e-12)
        assert (spotter.scores >= 0).all()
    assert spotter.scores.tolist() != uniform


def test_what_a_spotter_shows_is_the_callers_to_change(pack: packs.Pack) -> None:
    spotter, calm = KeywordSpotter(pack), KeywordSpotter(pack)
    for shown in (spotter, calm):
        shown.process(pcm(4000))
    for array in (spotter.scores, spotter.smoothed_scores, *spotter.bits):
        array[:] = 1
    assert everything(spotter) == everything(calm)


@pytest.mark.parametrize("kind", ["c", "numpy"])
@pytest.mark.parametrize("name", packs.list_packs())
def test_a_start_in_steady_noise_fires_nothing(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file, a client that comes back, `reset`: none of them is a word."""
    if kind == "numpy":
        monkeypatch.setattr(engine, "library", None)
    elif engine.library is None:
        pytest.skip("needs the engine in C")
    spotter = KeywordSpotter(name)
    for start in steady_starts():
        spotter.reset()
        assert spotter.process(start) == []


def test_a_trace_is_the_networks_on_the_front_ends_features(pack: packs.Pack) -> None:
    samples = pcm(70_001, seed=5)
    spotter = KeywordSpotter(pack)
    traces = spotter.trace(samples[:300]) + spotter.trace(samples[300:])
    frames = features.build(pack.features).process(to_float32(samples))
    expected = pack.network.run(frames)
    assert len(frames) == spotter.frames == sum(trace.frames for trace in traces) == 218
    logits = np.concatenate([trace.logits for trace in traces])
    assert logits.tobytes() == expected.logits.tobytes()
    for name in WIRES:
        for index, wire in enumerate(getattr(expected, name)):
            got = np.concatenate([getattr(trace, name)[index] for trace in traces])
            assert got.tobytes() == wire.tobytes(), name
    assert [bits.tolist() for bits in spotter.bits] == [z[-1].tolist() for z in expected.bits]

    assert spotter.power() == power.estimate(pack.network, expected, frame_s=0.02)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.5, 1.0, 2.56, 10.0, 1e9, math.inf])
def test_recent_power_takes_any_span(pack: packs.Pack, seconds: float) -> None:
    spotter = KeywordSpotter(pack)
    assert spotter.recent_power(seconds).core_nw == spotter.power().core_nw  # at rest
    spotter.process(pcm(60_000))
    recent = spotter.recent_power(seconds)
    assert recent.frames == min(max(round(min(seconds, 1e6) / 0.02), 1), 128)
    assert recent.core_nw > 0


def test_recent_power_is_that_of_the_last_frames(pack: packs.Pack) -> None:
    samples = pcm(60_000, seed=6)
    spotter = KeywordSpotter(pack)
    (trace,) = spotter.trace(samples[:32_000])[-1:]
    cut = slice(trace.frames - 25, None)
    wires = {name: [wire[cut] for wire in getattr(trace, name)] for name in WIRES}
    last = dataclasses.replace(trace, logits=trace.logits[cut], **wires)
    expected = power.estimate(pack.network, last, frame_s=0.02)
    assert spotter.recent_power(0.5).core_nw == pytest.approx(expected.core_nw, rel=1e-12)


def test_thresholds_are_one_for_all_or_one_a_keyword(pack: packs.Pack) -> None:
    assert KeywordSpotter(pack).thresholds == {"yes": 0.4, "no": 0.4}
    assert KeywordSpotter(pack, 0.7).thresholds == {"yes": 0.7, "no": 0.7}
    assert KeywordSpotter(pack, {"no": 1}).thresholds == {"yes": 0.4, "no": 1.0}
    samples = pcm(60_000, seed=1)
    assert {e.keyword for e in KeywordSpotter(pack).process(samples)} >= {"yes"}
    events = KeywordSpotter(pack, {"yes": 1.0}).process(samples)
    assert "yes" not in {event.keyword for event in events}


@pytest.mark.parametrize(
    ("threshold", "named"),
    [
        (1.5, "threshold"),
        (-0.1, "threshold"),
        (math.nan, "threshold"),
        ("0.5", "threshold"),
        ({"yes": 2}, "threshold of yes"),
        ({"maybe": 0.5}, "no keyword maybe.*yes, no"),
        ({"other": 0.5}, "no keyword other"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(
    pack: packs.Pack, threshold: Any, named: str
) -> None:
    with pytest.raises(ParameterError, match=named):
        KeywordSpotter(pack, threshold)


def test_events_come_from_a_path_a_source_and_blocks_alike(demo: np.ndarray) -> None:
    spotter = KeywordSpotter()
    expected = spotter.process(demo)
    path = RECORDING
    for source in (str(path), path, FileSource(path), np.array_split(demo, 100), iter([demo])):
        spotter.reset()
        assert list(spotter.events(source)) == expected


def test_events_come_while_the_source_runs_and_the_stream_goes_on(demo: np.ndarray) -> None:
    spotter = KeywordSpotter()
    expected = KeywordSpotter().process(demo)
    taken = 0

    def blocks() -> Any:
        nonlocal taken
        for start in range(0, len(demo), 1600):
            taken += 1
            yield demo[start : start + 1600]

    stream = spotter.events(blocks())
    first = next(stream)
    assert first == expected[0]
    assert (taken - 1) * 0.1 <= first.time_s <= taken * 0.1 + 1e-9
    assert [first, *stream] == expected
    again = list(spotter.events([demo]))  # no reset: clock and index go on
    assert again[0].index == len(expected)
    assert again[0].time_s > len(demo) / 16_000 - 1


def misfit(pack: packs.Pack, **changes: Any) -> packs.Pack:
    return dataclasses.replace(pack, **changes)


def test_a_pack_whose_parts_do_not_fit_is_refused(pack: packs.Pack) -> None:
    good = pack.features
    n_features = pack.network.parameters.n_features
    other_grid = random_network(n_features, len(pack.classes), grid=(2**-5, 0.0, 1.0))
    cases = [
        (misfit(pack, features=good | {"channels": 0}), "features channels"),
        (misfit(pack, features=good | {"chanels": 3}), "unknown setting 'chanels'"),
        (misfit(pack, features=good | {"slow_s": [10**400]}), "features slow_s"),
        (misfit(pack, features=good | {"channels": 13}), "needs 36 features, .* gives 39"),
        (misfit(pack, features=good | {"high": 1.0}), "grid"),
        (misfit(pack, network=other_grid), "grid"),
        (misfit(pack, detector={"rearm": 2}), "detector rearm"),
        (misfit(pack, detector={"speed": 2}), "detector: unknown settings"),
        (misfit(pack, detector={"thresholds": {"maybe": 0.5}}), "no keyword maybe"),
    ]
    for broken, named in cases:
        with pytest.raises(PackError, match=f"often: .*{named}.*; get an intact copy"):
            KeywordSpotter(broken)


def test_an_unknown_model_is_refused_with_the_shipped_ones() -> None:
    with pytest.raises(PackError, match=r"commands-12.*yes-4"):
        KeywordSpotter("comands-12")


def demo_words() -> list[Word]:
    labels = json.loads((DATA / "demo.json").read_text("utf-8"))["words"]
    return [Word(label["word"], label["start_s"], label["end_s"]) for label in labels]


def test_the_default_model_hears_the_words_of_the_recording(demo: np.ndarray) -> None:
    spotter = KeywordSpotter()
    result = score_stream(demo_words(), spotter.process(demo), spotter.pack.keywords)
    assert result.words == 12
    assert result.hits >= 8
    assert len(result.false_accepts) <= 4


def test_the_default_model_keeps_quiet_in_silence_and_noise() -> None:
    for level, most in ((0.0, 0), (0.001, 1), (0.05, 1)):
        noise = level * np.random.default_rng(0).standard_normal(30 * 16_000)
        assert len(KeywordSpotter().process(noise.astype(np.float32))) <= most
