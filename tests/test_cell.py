"""The BMRU cell: ties, and equality of the step, the whole-sequence form and the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import bmru
from tests.reference import network as oracle
from tests.strategies import splits

# A few levels, so that candidates and thresholds coincide all the time.
LEVELS = [0.0, 0.25, 0.5, np.nextafter(0.5, 1), 0.75, 1.0]


@pytest.mark.parametrize("before", [False, True])
def test_a_tie_at_beta2_sets_and_a_tie_at_beta1_holds(before: bool) -> None:
    beta1, beta2 = np.array([0.25]), np.array([0.75])
    bits = np.array([before])

    def after(candidate: float) -> bool:
        return bool(bmru.step(np.array([candidate]), bits, beta1, beta2)[0])

    assert after(0.75) is True
    assert after(np.nextafter(0.75, 0)) is before
    assert after(0.25) is before
    assert after(np.nextafter(0.25, 0)) is False


@pytest.mark.parametrize("before", [False, True])
def test_without_hysteresis_the_cell_is_a_comparator(before: bool) -> None:
    beta = np.array([0.5])
    bits = np.array([before])
    assert bmru.step(np.array([0.5]), bits, beta, beta)[0]
    assert not bmru.step(np.array([np.nextafter(0.5, 0)]), bits, beta, beta)[0]


def test_a_cell_with_beta1_of_zero_never_resets() -> None:
    candidates = np.array([[1.0], [0.0], [0.0]])
    bits = bmru.sequence(candidates, np.array([False]), np.array([0.0]), np.array([1.0]))
    assert bits.tolist() == [[True], [True], [True]]


@st.composite
def _sequences(draw: st.DrawFn):
    frames, d = draw(st.integers(0, 20)), draw(st.integers(1, 3))
    level = st.sampled_from(LEVELS)
    rows = draw(st.lists(st.lists(level, min_size=d, max_size=d), min_size=frames, max_size=frames))
    beta1 = draw(st.lists(st.sampled_from([-1.0, *LEVELS]), min_size=d, max_size=d))
    delta = draw(st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=d, max_size=d))
    bits = draw(st.lists(st.booleans(), min_size=d, max_size=d))
    arrays = np.array(rows).reshape(frames, d), np.array(bits), np.array(beta1), np.array(delta)
    return *arrays, draw(splits(frames))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(_sequences())
def test_step_sequence_and_oracle_give_the_same_bits_for_any_split(case) -> None:
    candidates, start, beta1, delta, blocks = case
    beta2 = beta1 + delta

    expected = []
    bits = start.tolist()
    for row in candidates.tolist():
        thresholds = zip(row, bits, beta1.tolist(), beta2.tolist(), strict=True)
        bits = [oracle.cell(c, z, b1, b2) for c, z, b1, b2 in thresholds]
        expected.append(bits)

    assert bmru.sequence(candidates, start, beta1, beta2).tolist() == expected

    z = start
    stepped = []
    for row in candidates:
        z = bmru.step(row, z, beta1, beta2)
        stepped.append(z.tolist())
    assert stepped == expected

    z = start
    joined = []
    for block in blocks:
        part = bmru.sequence(candidates[block], z, beta1, beta2)
        joined += part.tolist()
        z = part[-1] if len(part) else z
    assert joined == expected


def test_a_long_hold_is_remembered_over_an_hour() -> None:
    candidates = np.full((360_000, 1), 0.5)
    candidates[0] = 1.0
    candidates[-1] = 0.0
    bits = bmru.sequence(candidates, np.array([False]), np.array([0.25]), np.array([0.75]))
    assert bits[:-1].all()
    assert not bits[-1, 0]


def test_batches_of_sequences_run_side_by_side() -> None:
    rng = np.random.default_rng(0)
    candidates = rng.choice(LEVELS, (30, 5, 3))
    start = rng.random((5, 3)) < 0.5
    beta1, beta2 = np.array([0.25, 0.5, 0.0]), np.array([0.5, 0.5, 1.0])
    together = bmru.sequence(candidates, start, beta1, beta2)
    for i in range(5):
        alone = bmru.sequence(candidates[:, i], start[i], beta1, beta2)
        assert (together[:, i] == alone).all()


def test_the_arguments_are_left_alone() -> None:
    candidates, bits = np.array([[1.0], [0.0]]), np.array([False])
    bmru.sequence(candidates, bits, np.array([0.5]), np.array([0.5]))
    bmru.step(candidates[0], bits, np.array([0.5]), np.array([0.5]))
    assert candidates.tolist() == [[1.0], [0.0]]
    assert not bits[0]
