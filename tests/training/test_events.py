"""The task `events`: clips of any sensor at its own rate in, a pack of that rate out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from kws_stream import KeywordSpotter, packs, training  # noqa: E402
from kws_stream.errors import DataError, ParameterError  # noqa: E402
from kws_stream.evaluation.speech_commands import split_of  # noqa: E402
from kws_stream.training.recipe import Recipe  # noqa: E402
from kws_stream.training.stages import recipe_from_toml, shown, stages_from_toml  # noqa: E402

RATE = 250
RECIPE = """
name = "tiny"
task = "events"
events = ["wide"]
steps = 3
batch_size = 4
clip_s = 1.6
decision_s = [0.96, 1.44]
sources = [{ name = "pulses", licence = "MIT", source = "a test" }]
[features]
rate_hz = 250
hop_samples = 8
channels = 4
low_hz = 2.0
high_hz = 40.0
corner_hz = 2.0
selectivity = 2.0
preemphasis = 0.0
lowpass_s = 0.05
slow_s = [0.2]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pulses")
    rng = np.random.default_rng(0)

    def write(name: str, seconds: float, width_s: float) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        time_s = np.arange(round(seconds * RATE)) / RATE
        wave = 0.01 * rng.standard_normal(len(time_s))
        if width_s:
            wave += 0.4 * np.exp(-((time_s % 1.6 - 0.8) ** 2) / (2 * width_s**2))
        soundfile.write(path, wave, RATE, subtype="PCM_16")

    for number in range(24):
        write(f"clips/wide/s{number}_nohash_0.wav", 1.6, 0.06)
        write(f"clips/other/s{number}_nohash_0.wav", 1.6, 0.012)
    write("background/a.wav", 30, 0.012)
    write("noise/a.wav", 30, 0)
    return root


def test_a_recipe_of_events_makes_a_pack_of_its_rate(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {split_of(f"s{number}_nohash_0.wav") for number in range(24)} >= {"validation"}
    Path("tiny.toml").write_text(RECIPE)
    assert training.train("tiny.toml", data, "pack", threads=1) == {}
    pack = packs.load("pack")
    assert (pack.classes, pack.keywords) == (("wide", "other"), ("wide",))
    assert pack.manifest["data"] == [{"name": "pulses", "licence": "MIT", "source": "a test"}]
    assert pack.manifest["recipe"]["events"] == ["wide"]
    spotter = KeywordSpotter(pack)
    assert (spotter.rate_hz, spotter.frame_s) == (RATE, 0.032)
    spotter.process(np.zeros(RATE, np.int16))
    assert spotter.frames == RATE // 8


def test_its_clips_are_in_a_folder_of_that_name(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(RECIPE)
    with pytest.raises(DataError, match="need a folder clips with one folder a word"):
        training.train("tiny.toml", data / "clips", "pack", threads=1)


def test_all_settings_that_are_shown_are_a_recipe_again(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    stages = stages_from_toml(path)
    path.write_text(shown(stages))
    assert recipe_from_toml(path) == stages[-1].recipe


def test_envelopes_of_a_recording_are_those_of_its_rate(data: Path, tmp_path: Path) -> None:
    from kws_stream.features import build_bank
    from kws_stream.training.corpus import load_envelopes

    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    settings = recipe_from_toml(path).features
    file = data / "clips" / "wide" / "s1_nohash_0.wav"
    (clip,) = load_envelopes([file], settings, tmp_path / "cache", 1, clip_s=1.6)
    assert clip.shape == (50, 4)
    samples = np.concatenate([[0.0], soundfile.read(file)[0]])
    bank = build_bank(settings)
    state = bank.start()
    for hop in clip:
        state = bank.step(samples[:9], state)
        samples = samples[8:]
        assert np.array_equal(hop, state.envelope.astype(np.float32))


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"task": "events"}, "need names of events"),
        ({"task": "events", "events": ["a", "other"]}, "none of them 'other'"),
        ({"task": "yes", "events": ["a"]}, "for the task events and for no other"),
        ({"task": "events", "events": ["a"], "clip_s": 1.005}, "need whole frames of 0.01 s"),
        ({"task": "events", "events": ["a"], "clip_s": 0.1}, "need 0.5 to 5 s"),
    ],
)
def test_settings_of_events_that_make_no_sense_are_refused(
    settings: dict[str, object], needed: str
) -> None:
    with pytest.raises(ParameterError, match=needed):
        Recipe.from_settings({"name": "tiny", **settings})
