"""Trained peers mean the same in PyTorch, which trains them, and in NumPy, which studies them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from kws_stream import studies  # noqa: E402
from kws_stream.studies.peers import run_peer  # noqa: E402
from kws_stream.training.peers import new_peer, train_peer, write_peers  # noqa: E402
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
    network = new_peer(kind, RECIPE)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    x = np.random.default_rng(1).uniform(0, 3, (40, 4))
    with torch.no_grad():
        wanted = network.double()(torch.from_numpy(x)[:, None])[:, 0].numpy()
    arrays = {name: value[..., None] for name, value in network.arrays().items()}
    assert run_peer(kind, arrays, x)[..., 0] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_a_peer_learns_and_is_read_again(tmp_path: Path) -> None:
    data, losses = corpus(), {}
    networks = {}
    for kind in ("mingru", "lru"):
        seen: list[float] = []
        networks[kind] = train_peer(
            kind, RECIPE, data, 30, 0.05, lambda step, loss, seen=seen: seen.append(loss)
        )
        losses[kind] = np.mean(seen[:5]), np.mean(seen[-5:])
    assert all(last < 0.8 * first for first, last in losses.values()), losses
    write_peers(tmp_path / "peers.npz", networks, RECIPE, steps=30)
    peers = studies.load_peers(tmp_path / "peers.npz")
    assert peers.about["steps"] == 30
    assert peers.about["classes"] == ["yes", "other"]
    for kind, network in networks.items():
        for name, value in network.arrays().items():
            assert np.array_equal(peers.of(kind)[name], value.astype(np.float32))
