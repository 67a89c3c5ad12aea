"""Trained baselines mean the same in PyTorch, for training, and in NumPy, for studies."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from kws_stream import studies  # noqa: E402
from kws_stream.studies.baselines import run_baseline  # noqa: E402
from kws_stream.training.baselines import new_baseline, train_baseline, write_baselines  # noqa: E402
from tests.tiny_corpus import RECIPE, corpus  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for one another on a busy machine cost more than such small sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", ["mingru", "lru"])
def test_numpy_computes_what_was_trained(kind: str) -> None:
    torch.manual_seed(3)
    network = new_baseline(kind, RECIPE)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    x = np.random.default_rng(1).uniform(0, 3, (40, 4))
    with torch.no_grad():
        wanted = network.double()(torch.from_numpy(x)[:, None])[:, 0].numpy()
    arrays = {name: value[..., None] for name, value in network.arrays().items()}
    assert run_baseline(kind, arrays, x)[..., 0] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_a_peer_learns_and_is_read_again(tmp_path: Path) -> None:
    data, losses = corpus(), {}
    networks = {}
    for kind in ("mingru", "lru"):
        seen: list[float] = []
        networks[kind] = train_baseline(
            kind, RECIPE, data, 30, 0.05, lambda step, loss, seen=seen: seen.append(loss)
        )
        losses[kind] = np.mean(seen[:5]), np.mean(seen[-5:])
    assert all(last < 0.8 * first for first, last in losses.values()), losses
    write_baselines(tmp_path / "baselines.npz", networks, RECIPE, steps=30)
    baselines = studies.load_baselines(tmp_path / "baselines.npz")
    assert baselines.about["steps"] == 30
    assert baselines.about["classes"] == ["yes", "other"]
    for kind, network in networks.items():
        for name, value in network.arrays().items():
            assert np.array_equal(baselines.of(kind)[name], value.astype(np.float32))
