"""The front end: equal to its oracles, on the grid whatever comes, and the same for any split."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import features
from kws_stream.audio import to_float32, to_int16
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import InputError, ParameterError
from kws_stream.features import FeatureSettings, FrontEnd, build_bank, fixed_front_end
from kws_stream.features.conditioning import Conditioning, ConditioningSettings
from kws_stream.features.filterbank import samples_to_codes
from kws_stream.features.mel import mel_bands
from tests.reference import filterbank as oracle
from tests.reference import front_end as twin
from tests.strategies import splits

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "two hops": {"hops_per_frame": 2, "selectivity": 1.7},
    "half-wave": {"half_wave": True, "preemphasis": 0.0},
    "four channels": {"channels": 4, "high_hz": 3000.0, "selectivity": 4.0, "slow_s": []},
    "mel": {"kind": "mel", "channels": 20},
    "mel, two hops": {"kind": "mel", "hops_per_frame": 2},
}
BANKS = [name for name, values in VARIANTS.items() if values.get("kind") != "mel"]


def noise(samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Noise in bursts, so that gains have something to follow."""
    rng = np.random.default_rng(seed)
    bursts = np.repeat(rng.choice([0.01, 0.3, 1.0], samples // 800 + 1), 800)[:samples]
    return (level * bursts * rng.standard_normal(samples)).astype(np.float32)


@pytest.fixture(scope="module", params=VARIANTS)
def front_end(request: pytest.FixtureRequest) -> FrontEnd:
    return features.build(VARIANTS[request.param])


def envelopes_of(given: FeatureSettings, samples: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Envelopes (frames, ..., channels) and states of samples (..., n), straight from the bank."""
    bank = build_bank(given)
    state = bank.start(*samples.shape[:-1])
    states = []
    padded = np.concatenate([np.zeros((*samples.shape[:-1], 1)), samples], axis=-1)
    for start in range(0, samples.shape[-1], bank.frame_samples):
        state = bank.step(padded[..., start : start + bank.frame_samples + 1], state)
        states.append(state)
    return np.stack([state.envelope for state in states]), states


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.data())
def test_any_split_gives_the_same_bits(front_end: FrontEnd, data: st.DataObject) -> None:
    samples = noise(data.draw(st.integers(0, 1500)), data.draw(st.integers(0, 9)))
    front_end.reset()
    whole = front_end.process(samples)
    front_end.reset()
    parts = [front_end.process(samples[part]) for part in data.draw(splits(len(samples)))]
    assert len(whole) == len(samples) // round(front_end.frame_s * SAMPLE_RATE_HZ)
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_one_sample_at_a_time_and_empty_blocks_give_the_same_bits(front_end: FrontEnd) -> None:
    samples = noise(1000)
    front_end.reset()
    whole = front_end.process(samples)
    front_end.reset()
    parts = []
    for at in range(len(samples)):
        parts.append(front_end.process(samples[at : at + 1]))
        parts.append(front_end.process(samples[:0]))
    assert all(part.shape[1] == front_end.n_features for part in parts)
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_the_caller_may_reuse_its_buffer(front_end: FrontEnd) -> None:
    samples = noise(1234)
    front_end.reset()
    whole = front_end.process(samples)
    front_end.reset()
    buffer = np.empty(100, np.float32)
    parts = []
    for start in range(0, 1200, 100):
        buffer[:] = samples[start : start + 100]
        parts.append(front_end.process(buffer))
    buffer[:34] = samples[1200:]
    parts.append(front_end.process(buffer[:34]))
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_int16_gives_the_bits_of_float32(front_end: FrontEnd) -> None:
    counts = (noise(1600) * 32768).astype(np.int16)
    front_end.reset()
    from_int16 = front_end.process(to_float32(counts))
    front_end.reset()
    from_float = front_end.process(counts.astype(np.float32) / np.float32(32768))
    assert from_int16.tobytes() == from_float.tobytes()


def test_reset_equals_a_new_front_end(front_end: FrontEnd) -> None:
    front_end.process(noise(1777, seed=1))
    front_end.reset()
    fresh = FrontEnd(front_end.settings)
    samples = noise(3200, seed=2)
    assert front_end.process(samples).tobytes() == fresh.process(samples).tobytes()


def test_a_stream_starts_halfway_between_the_start_level_and_its_first_sound() -> None:
    given = FeatureSettings(hops_per_frame=2, slow_s=())
    samples = noise(320, seed=3)
    (first,) = envelopes_of(given, samples)[0]
    gain = 1 - math.exp(-given.frame_s / given.agc_s)
    settled = first / (1 - math.exp(-given.frame_s / given.lowpass_s))
    level = np.sqrt(given.start_level * settled)
    level += gain * (first - level)
    wanted = np.sqrt(first / (level + given.floor) + given.offset) - math.sqrt(given.offset)
    assert np.abs(FrontEnd(given).process(samples)[0] - wanted).max() <= given.step


def test_silence_before_the_first_sound_changes_nothing(front_end: FrontEnd) -> None:
    if front_end.settings.kind == "mel":
        pytest.skip("mel bands look back over the silence")
    samples = noise(6400, seed=3)
    front_end.reset()
    wanted = front_end.process(samples)
    frames = 3 * round(front_end.frame_s * SAMPLE_RATE_HZ)
    front_end.reset()
    assert not front_end.process(np.zeros(frames, np.float32)).any()
    assert front_end.process(samples).tobytes() == wanted.tobytes()


def test_a_sound_after_a_long_digital_silence_is_a_start_again() -> None:
    front_end = FrontEnd(FeatureSettings(slow_s=()))
    samples = noise(6400, seed=3)
    first = front_end.process(samples)
    front_end.process(np.zeros(20 * SAMPLE_RATE_HZ, np.float32))
    again = front_end.process(samples)
    step = front_end.settings.step
    assert np.abs(again - first).max() <= 2 * step


def test_a_refused_block_leaves_the_stream_as_it_was(front_end: FrontEnd) -> None:
    samples = noise(1600)
    front_end.reset()
    whole = front_end.process(samples)
    front_end.reset()
    first = front_end.process(samples[:700])
    for bad in (
        np.array([0.0, math.nan], np.float32),
        np.array([math.inf], np.float32),
        np.zeros((2, 2), np.float32),
        np.zeros(3, np.int16),
    ):
        with pytest.raises(InputError, match="front end: need finite mono float samples"):
            front_end.process(bad)
    rest = front_end.process(samples[700:])
    assert np.concatenate([first, rest]).tobytes() == whole.tobytes()


@pytest.mark.parametrize("name", BANKS)
def test_the_bank_equals_scipys_filters_closely(name: str) -> None:
    given = FeatureSettings.from_dict(VARIANTS[name])
    samples = noise(9600, seed=3)
    got, _ = envelopes_of(given, samples)
    centre_hz = oracle.centres(given.channels, given.low_hz, given.high_hz)
    expected = oracle.envelopes(
        samples.astype(np.float64),
        centre_hz,
        oracle.qualities(centre_hz, given.selectivity),
        given.preemphasis,
        given.lowpass_s,
        given.half_wave,
        given.hops_per_frame * 160,
    )
    # a sixteenth of a step of 16 bits, what rounding the coefficients may do, and a part in 500
    sixteenth = 2.0**-19
    assert got == pytest.approx(expected, rel=2e-3, abs=sixteenth)


def signals() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    t = np.arange(6400)
    return {
        "noise": rng.integers(-32768, 32768, len(t)),
        "one step": rng.integers(-1, 2, len(t)),
        "square": np.where(t // 40 % 2, 32767, -32768),
        "sign changes": np.where(t % 2, 32767, -32768),
        "constant": np.full(len(t), -32768),
        "click": np.where(t == 2000, 32767, 0),
        "loud, then silent": np.where(t < 3000, rng.integers(-32768, 32768, len(t)), 0),
    }


UNUSUAL: dict[str, dict[str, Any]] = {
    **{name: VARIANTS[name] for name in BANKS},
    "one channel": {"channels": 1, "slow_s": [0.5, 2.0, 0.01]},
    "many channels": {"channels": 50, "selectivity": 2.0, "slow_s": []},
    "sharp": {"selectivity": 100.0, "hops_per_frame": 5},
    "long frames": {"hops_per_frame": 8, "agc_s": 1000.0, "lowpass_s": 0.0001},
    "slow": {"lowpass_s": 10.0, "floor": 1e-9, "start_level": 0.0, "offset": 0.0},
    "fine": {"step": 2.0**-20, "high": 8.0, "start_level": 1.0, "floor": 1.0, "offset": 2000.0},
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_the_front_end_equals_its_equations_in_plain_integers(name: str) -> None:
    given = FeatureSettings.from_dict(UNUSUAL[name])
    bank, conditioning = fixed_front_end(given)
    # 8 frames; of long ones two or three, 2,560 samples
    short = min(8, max(2, 2560 // bank.frame_samples)) * bank.frame_samples + 3
    for kind, samples in signals().items():
        samples = np.concatenate([samples[:2000], samples[2000 : 2000 + short]])[-short:]
        got = FrontEnd(given).process_codes(samples)
        expected = twin.features(bank, conditioning, samples.tolist())
        assert np.array_equal(got / given.step, expected), kind


def test_float_samples_off_the_grid_go_to_the_nearest_even_integer_and_are_cut() -> None:
    samples = np.array([0.5, 1.5, -0.5, -1.5, 2.49, 32767.0, 32768.0, 1e30, -32768.4, -1e30])
    expected = [0, 2, 0, -2, 2, 32767, 32767, 32767, -32768, -32768]
    scaled = (samples / 32768).astype(np.float32)
    assert to_int16(scaled).tolist() == expected
    assert samples_to_codes(scaled).tolist() == expected


@pytest.mark.parametrize("hz", [250.0, 1000.0, 4000.0])
def test_a_tone_is_loudest_in_the_channel_nearest_to_it(hz: float) -> None:
    given = FeatureSettings(preemphasis=0.0)
    tone = np.sin(2 * np.pi * hz * np.arange(8000) / SAMPLE_RATE_HZ)
    last = envelopes_of(given, tone)[0][-1]
    centre_hz = oracle.centres(given.channels, given.low_hz, given.high_hz)
    assert last.argmax() == np.abs(np.array(centre_hz) - hz).argmin()
    assert 0.4 < last.max() < 2 / np.pi * 1.02  # mean of |sin|, reached at the centre


@pytest.mark.parametrize("name", VARIANTS)
def test_many_streams_at_once_equal_each_by_itself(name: str) -> None:
    given = FeatureSettings.from_dict(VARIANTS[name])
    samples = np.stack([noise(3200, seed) for seed in range(6)]).reshape(2, 3, 3200)
    together, _ = envelopes_of(given, samples)
    for i in range(2):
        for j in range(3):
            alone, _ = envelopes_of(given, samples[i, j])
            if given.kind == "mel":
                assert together[:, i, j] == pytest.approx(alone, rel=1e-5, abs=1e-9)
            else:
                assert np.array_equal(together[:, i, j], alone)


def rectangle(samples: int) -> np.ndarray:
    return np.where(np.arange(samples) // 40 % 2, 1.0, -1.0)


HARSH = {
    "silence": np.zeros(16000),
    "constant": np.ones(16000),
    "square wave": rectangle(16000),
    "absurdly loud": 3e38 * rectangle(16000),
    "absurdly loud and shrill": 3.4e38 * np.resize(np.sign([1, -1, 1, -1, -0.1]), 16000),
    "absurdly loud noise": 3e38 * np.random.default_rng(0).uniform(-1, 1, 16000),
    "smallest float32": np.full(16000, 1e-45),
    "click": np.eye(1, 16000, 5000)[0] * 3e38,
    "loud, then silent": np.repeat([3e38, 0.0], 8000),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("signal", HARSH)
def test_features_stay_on_the_grid(front_end: FrontEnd, signal: str) -> None:
    front_end.reset()
    frames = front_end.process(HARSH[signal].astype(np.float32))
    step, low, high = front_end.settings.input_grid
    assert len(frames) == 16000 // round(front_end.frame_s * SAMPLE_RATE_HZ)
    assert np.isfinite(frames).all()
    assert frames.min() >= low
    assert frames.max() <= high
    assert (np.fmod(frames, step) == 0).all()
    assert not np.signbit(frames).any()
    if signal == "silence":
        assert not frames.any()


def test_a_steady_sound_looks_the_same_however_loud(front_end: FrontEnd) -> None:
    """Gain control: 20 dB more change a steady frame by a few steps at most."""
    samples = 0.02 * np.random.default_rng(4).standard_normal(48000)
    ends = []
    for gain in (1.0, 10.0):
        front_end.reset()
        ends.append(front_end.process((gain * samples).astype(np.float32))[-50:].mean(axis=0))
    step, _, high = front_end.settings.input_grid
    assert np.abs(ends[0] - ends[1]).max() < 4 * step
    assert ends[0].max() < high


def subnormal(values: np.ndarray) -> bool:
    parts = values.view(np.float64)
    return bool(((parts != 0) & (np.abs(parts) < np.finfo(np.float64).tiny)).any())


def test_long_silence_leaves_no_subnormal_numbers_in_a_mel_front_end() -> None:
    """They would stay for as long as the silence does, and slow the processor down."""
    # a level of 1 decays with agc_s to 1e-310 in 36 s
    front_end = features.build(VARIANTS["mel"] | {"agc_s": 0.05, "slow_s": [0.05]})
    front_end.process(noise(16000))
    for _ in range(5):
        frames = front_end.process(np.zeros(10 * SAMPLE_RATE_HZ, np.float32))
    assert not frames.any()
    for values in front_end._frames._levels:
        assert not subnormal(values)


@pytest.mark.parametrize("name", BANKS)
def test_silence_after_sound_ends_in_features_of_nothing(name: str) -> None:
    front_end = features.build(VARIANTS[name])
    front_end.process(noise(16000))
    assert not front_end.process(np.zeros(20 * SAMPLE_RATE_HZ, np.float32))[-20:].any()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.data())
def test_conditioning_equals_a_scalar_loop_in_every_bit(data: st.DataObject) -> None:
    step = 2.0 ** data.draw(st.integers(-10, -3))
    given = ConditioningSettings(
        hops_per_frame=data.draw(st.integers(1, 3)),
        agc_s=data.draw(st.floats(0.01, 10)),
        floor=data.draw(st.floats(1e-9, 1.0)),
        start_level=data.draw(st.floats(0, 1.0)),
        offset=data.draw(st.floats(0, 4.0)),
        slow_s=tuple(data.draw(st.lists(st.floats(0.001, 2.0), max_size=3))),
        step=step,
        high=step * data.draw(st.integers(1, 300)),
    )
    channels, frames = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 12))
    value = st.one_of(st.just(0.0), st.floats(0, 2.0), st.floats(0, 1e5))
    envelope = np.array(
        data.draw(st.lists(value, min_size=channels * frames, max_size=channels * frames))
    ).reshape(frames, channels)
    stage = Conditioning(given, channels)
    state = stage.start()
    got = []
    for row in envelope:
        out = np.empty(stage.n_features)
        state = stage.step(row, state, out)
        got.append(out.tolist())
    assert got == oracle.condition(
        envelope,
        given.frame_s,
        given.agc_s,
        given.floor,
        given.start_level,
        given.offset,
        given.slow_s,
        given.step,
        given.high,
    )


@pytest.mark.parametrize("hop", [160, 320])
def test_mel_bands_and_energies_are_librosas(hop: int) -> None:
    import librosa

    bands, low_hz, high_hz = 20, 120.0, 6500.0
    weights = librosa.filters.mel(
        sr=16000, n_fft=512, n_mels=bands, fmin=low_hz, fmax=high_hz, dtype=np.float64
    )
    got = mel_bands(bands, low_hz, high_hz).T
    assert got == pytest.approx(weights, rel=1e-9, abs=1e-12)

    samples = noise(8000, seed=5).astype(np.float64)
    # librosa's 400-sample window lies in the middle of 512 samples; ours ends with the frame
    padded = np.concatenate([np.zeros(456 - hop), samples, np.zeros(56)])
    expected = librosa.feature.melspectrogram(
        y=padded, sr=16000, n_fft=512, win_length=400, hop_length=hop, window="hann",
        center=False, power=2.0, n_mels=bands, fmin=low_hz, fmax=high_hz, dtype=np.float64,
    )  # fmt: skip
    given = FeatureSettings(kind="mel", channels=bands, hops_per_frame=hop // 160)
    got, _ = envelopes_of(given, samples)
    assert got**2 == pytest.approx(expected.T[: len(got)], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_settings_survive_a_manifest(name: str) -> None:
    given = FeatureSettings.from_dict(VARIANTS[name])
    assert FeatureSettings.from_dict(json.loads(json.dumps(given.as_dict()))) == given
    assert set(VARIANTS[name]) <= set(given.as_dict())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "wavelet"),
        ("kind", 3),
        ("channels", 0),
        ("channels", 257),
        ("channels", 8.0),
        ("channels", True),
        ("low_hz", 0),
        ("low_hz", 7000),
        ("low_hz", math.nan),
        ("low_hz", 1e-300),
        ("low_hz", math.nextafter(6500.0, 0)),
        ("low_hz", 10**400),
        ("high_hz", 8000),
        ("high_hz", "6500"),
        ("selectivity", 0),
        ("preemphasis", 1.5),
        ("lowpass_s", 0),
        ("half_wave", 1),
        ("hops_per_frame", 0),
        ("hops_per_frame", 10**400),
        ("agc_s", -0.25),
        ("agc_s", math.inf),
        ("floor", 0),
        ("start_level", -1),
        ("offset", -0.5),
        ("slow_s", [0.05, 0]),
        ("slow_s", [[0.05]]),
        ("slow_s", 0.05),
        ("slow_s", [10**400]),
        ("corner_hz", 5e-324),
        ("selectivity", 5e-324),
        ("lowpass_s", 5e-324),
        ("rate_hz", 10**400),
        ("step", 0),
        ("step", 0.1),
        ("step", -0.5),
        ("high", 0.0),
        ("high", 1.001),
        ("high", 1e308),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"features {name}: need .*, got "):
        features.build({name: value})


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"unknown setting 'chanels'.*'channels'"):
        features.build({"chanels": 16})


@pytest.mark.parametrize("selectivity", [0.02, 0.05, 0.1, 0.3])
def test_a_bank_whose_filters_do_not_ring_is_refused(selectivity: float) -> None:
    with pytest.raises(ParameterError, match="filterbank: need pole pairs that ring"):
        features.build({"selectivity": selectivity})


def test_mel_bands_without_a_bin_of_the_spectrum_are_refused() -> None:
    with pytest.raises(ParameterError, match="mel: need bands wide enough"):
        features.build({"kind": "mel", "channels": 256})


@pytest.mark.parametrize("high_hz", [4000.0, 7000.0])
def test_a_filter_with_one_large_tap_fits_16_bits(high_hz: float) -> None:
    """Its largest tap, not the sum of them, says how many bits there are after the point."""
    wide = FeatureSettings(channels=1, low_hz=3000.0, high_hz=high_hz, preemphasis=0.5)
    bank, _ = fixed_front_end(wide)
    for codes in (bank.taps, bank.before):
        assert np.abs(codes).max() < 2**15
