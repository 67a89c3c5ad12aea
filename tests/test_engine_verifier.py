"""The verifier of a microcontroller in the engine in C, and how its numbers get there."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import engine
from kws_stream.engine import blob
from kws_stream.engine.blob import Blob
from kws_stream.verifier import McuVerifier
from tests.tiny_network import random_network, windows_of

pytestmark = pytest.mark.skipif(engine.library is None, reason="needs the engine in C")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), frames=st.integers(4, 40), layers=st.integers(0, 4))
def test_scores_of_the_engine_are_those_of_the_network(seed: int, frames: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, frames, channels=3, layers=layers)
    names = tuple(f"word {index}" for index in range(network.scores_of))
    verifier = McuVerifier(network, 0.5, names, 320, 64.0)
    windows = windows_of(network, rng, 4)
    wanted = [network.scores(window) for window in windows]
    assert [verifier.scores(window) for window in windows] == wanted
    copy = pickle.loads(pickle.dumps(verifier))
    assert [copy.scores(window) for window in windows] == wanted
    backwards = np.ascontiguousarray(windows[:, ::-1])[:, ::-1]  # the same numbers, another way
    assert [verifier.scores(window) for window in backwards] == wanted


def test_a_verifier_from_another_process_lays_its_numbers_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = random_network(np.random.default_rng(0))
    verifier = McuVerifier(network, 0.5, ("one", "two"), 320, 64.0)
    sent = pickle.dumps(verifier)
    window = np.full((network.frames, network.channels), 255, np.uint8)
    verifier.scores(window)
    assert len(pickle.dumps(verifier)) == len(sent)  # nothing that the other side can make
    copies = [*(pickle.loads(pickle.dumps(verifier)) for _ in range(8)), deepcopy(verifier)]
    laid_out = list[int]()

    def aligned(numbers: bytes) -> Blob:
        laid_out.append(len(numbers))
        return blob.aligned(numbers)

    monkeypatch.setattr("kws_stream.engine.verifier.aligned", aligned)
    for each in copies:
        assert [each.scores(window) for _ in range(3)] == 3 * [network.scores(window)]
    assert len(laid_out) == len(copies)
