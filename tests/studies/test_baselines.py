"""Studies that compare the chip with other recurrent networks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kws_stream import packs, studies
from kws_stream.bmru.chip import ChipSettings
from kws_stream.errors import DataError, ParameterError, TaskError
from kws_stream.packs import Pack
from kws_stream.packs.pruning import with_dead_units
from kws_stream.studies.accumulation import _ages
from kws_stream.studies.baselines import mismatched, run_baseline
from kws_stream.studies.clips import Utterances, load_utterances
from kws_stream.workers import Workers
from tests.pack_factory import build_pack


@pytest.fixture(scope="module")
def baselines() -> studies.Baselines:
    return studies.load_baselines()


@pytest.fixture(scope="module")
def baseline_clips(pack: Pack, baselines: studies.Baselines) -> Utterances:
    return load_utterances(pack, clips=20, front_end=baselines.about["features"])


def test_peers_have_the_size_of_the_network(pack: Pack, baselines: studies.Baselines) -> None:
    recipe = baselines.about["recipe"]
    assert pack.network.parameters.width == recipe["width"]
    trained = with_dead_units(pack.network.parameters, recipe["blocks"], recipe["cells"])
    size = trained.parameter_count
    for kind in ("mingru", "lru"):
        assert abs(baselines.parameter_count(kind) / size - 1) < 0.1


def test_peers_compute_their_equations(baselines: studies.Baselines) -> None:
    """Against the plain recurrences, one number at a time."""
    arrays = {name: rng_like(value) for name, value in baselines.of("mingru").items()}
    x = np.random.default_rng(0).standard_normal((6, arrays["pre.weight"].shape[0]))
    got = run_baseline("mingru", {n: a[..., None] for n, a in arrays.items()}, x)[..., 0]
    assert got == pytest.approx(plain_mingru(arrays, x))
    arrays = {name: abs(rng_like(value)) / 4 for name, value in baselines.of("lru").items()}
    got = run_baseline("lru", {n: a[..., None] for n, a in arrays.items()}, x)[..., 0]
    assert got == pytest.approx(plain_lru(arrays, x))


def rng_like(value: np.ndarray) -> np.ndarray:
    return np.random.default_rng(value.size).standard_normal(value.shape)


def plain_mingru(a: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    x = features @ a["pre.weight"] + a["pre.bias"]
    for block in ("blocks.0", "blocks.1"):
        h = np.zeros(a[f"{block}.gate.bias"].shape)
        for t, row in enumerate(x):
            z = 1 / (1 + np.exp(-(row @ a[f"{block}.gate.weight"] + a[f"{block}.gate.bias"])))
            h = (1 - z) * h + z * (row @ a[f"{block}.value.weight"] + a[f"{block}.value.bias"])
            out = h @ a[f"{block}.post.weight"] + a[f"{block}.post.bias"]
            x[t] = row + np.maximum(out, 0)
    return x @ a["classifier.weight"] + a["classifier.bias"]


def plain_lru(a: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    x = features @ a["pre.weight"] + a["pre.bias"]
    for block in ("blocks.0", "blocks.1"):
        rate, into, out = (a[f"{block}.{name}"] for name in ("rate", "into", "out"))
        n = len(rate)
        h = np.zeros(n, complex)
        for t, row in enumerate(x):
            drive = row @ (into[:, :n] + 1j * into[:, n:])
            h = np.exp(-rate + 1j * a[f"{block}.phase"]) * h + a[f"{block}.gain"] * drive
            real = (h @ (out[:n] + 1j * out[n:])).real
            x[t] = row + np.maximum(real + a[f"{block}.through"] * row + a[f"{block}.bias"], 0)
    return x @ a["classifier.weight"] + a["classifier.bias"]


def test_robustness_compares_chips_of_all_networks(
    pack: Pack, utterances: Utterances, baselines: studies.Baselines, baseline_clips: Utterances
) -> None:
    def study(jobs: int, percents: tuple[float, ...]) -> dict[str, Any]:
        few = utterances.first(20)
        with Workers(jobs) as workers:
            result = studies.robustness(
                pack, few, baselines, baseline_clips, ChipSettings(), percents, 60, workers=workers
            )
        return result.as_dict()

    figures = study(1, (0.0, 15.0))
    assert len(figures["populations"]) == 8
    for one in figures["populations"]:
        if one["mismatch_percent"] == 0:
            assert one["mean"] == one["exact"]
            assert one["std"] == one["loss"] == 0
    assert any(one["std"] > 0 for one in figures["populations"] if one["mismatch_percent"])
    assert study(2, (0.0, 15.0)) == figures


def test_peers_keep_their_own_front_end_whatever_the_model_s(
    tmp_path: Path, baselines: studies.Baselines
) -> None:
    other = build_pack(
        tmp_path / "other",
        classes=("yes", "other"),
        keywords=("yes",),
        feature_settings={"hops_per_frame": 1, "slow_s": [0.1]},
    )
    heard = load_utterances(packs.load(other), clips=4, front_end=baselines.about["features"])
    inputs = baselines.of("mingru")["pre.weight"].shape[0]
    assert heard.features.shape == (4, 50, inputs)
    assert heard.frame_s == 0.02


def test_an_error_of_the_radius_multiplies_it(baselines: studies.Baselines) -> None:
    chips = tuple(range(5))
    rate = mismatched("lru", baselines.of("lru"), 15, 0, chips)["blocks.0.rate"]
    by_radius = mismatched("lru-radius", baselines.of("lru"), 15, 0, chips)["blocks.0.rate"]
    trained = baselines.of("lru")["blocks.0.rate"][:, None]
    assert np.exp(-by_radius) / np.exp(-trained) == pytest.approx(rate / trained)


def test_peers_of_another_file_or_task_are_refused(
    utterances: Utterances, baselines: studies.Baselines, baseline_clips: Utterances, tmp_path: Path
) -> None:
    for content in (b"", b"PK\x03\x04 broken", b"text"):
        (tmp_path / "baselines.npz").write_bytes(content)
        with pytest.raises(DataError, match="train_baselines"):
            studies.load_baselines(tmp_path / "baselines.npz")
    np.savez(tmp_path / "other.npz", about=np.array("{}"))
    with pytest.raises(DataError, match="train_baselines"):
        studies.load_baselines(tmp_path / "other.npz")
    big = packs.load("commands-12")
    with pytest.raises(TaskError, match="commands-12"):
        studies.robustness(big, utterances, baselines, baseline_clips, ChipSettings())


def test_small_noise_reaches_no_state_of_a_bmru_and_adds_up_in_an_lru(
    pack: Pack, utterances: Utterances, baselines: studies.Baselines, baseline_clips: Utterances
) -> None:
    study = studies.accumulation(pack, utterances, baselines, baseline_clips, ChipSettings(), 1e-6)
    bmru, mingru, lru = study.networks
    assert bmru.by_block == (0.0,)
    assert set(bmru.by_time) <= {0.0, None}
    for one in (mingru, lru):
        assert all(0 < error < 1e-5 for error in one.by_block)
    assert lru.by_time[-1] > 1.5 * lru.by_time[0]
    with pytest.raises(ParameterError, match="share"):
        studies.accumulation(pack, utterances, baselines, baseline_clips, ChipSettings(), 0.0)


def test_ages_count_frames_since_a_set_or_a_reset() -> None:
    decided = np.array([[0, 1], [1, 0], [0, 0], [0, 1], [0, 0]], bool)
    assert _ages(decided).T.tolist() == [[0, 0, 1, 2, 3], [0, 1, 2, 0, 1]]
