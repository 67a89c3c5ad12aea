"""The chip that is not ideal: the ideal one is the exact core, and every effect is what it says."""

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from kws_stream import packs, power
from kws_stream.bmru.chip import ChipBatch, ChipSettings, extrapolations, simulate
from kws_stream.bmru.fabricate import fabricate
from kws_stream.bmru.sums import ordered_sums
from kws_stream.errors import InputError, ParameterError
from kws_stream.network import Network, Trace
from tests.pack_factory import one_cell, random_network
from tests.strategies import Case, float_cases, grid_cases

EVERYTHING = ChipSettings.typical(
    mismatch_percent=10, avt_mv_um=3.5, noise_bandwidth_hz=50, settling_s=2e-3, temperature_c=40
)


def wires(trace: Trace) -> list[np.ndarray]:
    return [trace.logits, *trace.inputs, *trace.candidates, *trace.states, *trace.bits]


def equal(one: Trace, other: Trace) -> bool:
    return all(map(np.array_equal, wires(one), wires(other)))


def features_of(net: Network, frames: int = 40, seed: int = 0) -> np.ndarray:
    grid = net.parameters.input_grid
    assert grid is not None
    rng = np.random.default_rng(seed)
    steps = rng.integers(grid.low / grid.step, grid.high / grid.step, (frames, 5))
    return steps * grid.step


@pytest.fixture
def net() -> Network:
    return random_network(5)


@given(case=grid_cases())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_the_ideal_chip_is_the_exact_network(case: Case) -> None:
    net = Network.from_arrays(**case.arrays)
    assert equal(simulate(net, case.features), net.run(case.features))


@given(case=float_cases())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_the_ideal_chip_is_the_network_also_where_sums_round(case: Case) -> None:
    net = Network.from_arrays(**case.arrays)
    assert equal(simulate(net, case.features), net.run(case.features))


@pytest.mark.parametrize("name", packs.list_packs())
def test_the_ideal_chip_of_a_shipped_model_is_the_model(name: str) -> None:
    net = packs.load(name).network
    grid = net.parameters.input_grid
    assert grid is not None
    shape = (50, net.parameters.n_features)
    x = np.random.default_rng(1).integers(0, round(grid.high / grid.step), shape) * grid.step
    assert equal(simulate(net, x, ChipSettings()), net.run(x))


def test_a_chip_depends_on_seed_and_number_and_not_on_its_company(net: Network) -> None:
    x = features_of(net)
    together = ChipBatch(net.parameters, EVERYTHING, 3, range(7)).run(x, clip=2)
    for chip in range(7):
        alone = simulate(net, x, EVERYTHING, seed=3, chip=chip, clip=2)
        assert equal(together.of_chip(chip), alone)
    first = simulate(net, x, EVERYTHING, seed=3, clip=2)
    for other in ({"seed": 4, "clip": 2}, {"seed": 3, "chip": 1, "clip": 2}, {"seed": 3}):
        assert not equal(first, simulate(net, x, EVERYTHING, **other))


def test_noise_belongs_to_the_clip_and_mismatch_does_not(net: Network) -> None:
    x = features_of(net)
    chip = ChipSettings(mismatch_percent=5)
    assert equal(simulate(net, x, chip, clip=0), simulate(net, x, chip, clip=1))
    first = simulate(net, x, EVERYTHING, seed=0, chip=0, clip=0)
    assert equal(simulate(net, x, EVERYTHING), first)


def test_the_power_of_a_chip_comes_from_its_trace(net: Network) -> None:
    x = features_of(net)
    ideal, real = net.run(x), simulate(net, x, EVERYTHING)
    assert power.estimate(net, simulate(net, x)) == power.estimate(net, ideal)
    assert power.estimate(net, real).core_nw != power.estimate(net, ideal).core_nw


@pytest.mark.parametrize("row", ChipSettings.table(), ids=lambda row: row["name"])
def test_every_setting_has_unit_range_source_and_meaning(row: dict[str, Any]) -> None:
    assert row["source"]
    assert row["what"]
    if isinstance(row["default"], str):
        return
    assert row["low"] <= row["default"] <= row["high"]
    assert row["unit"] or isinstance(row["default"], bool | int) or row["high"] == 1
    for bad in (row["low"] - 1, row["high"] + 1, math.nan, "much", None):
        with pytest.raises(ParameterError, match=row["name"]):
            ChipSettings(**{row["name"]: bad})


def test_settings_go_through_a_dict_and_unknown_ones_are_named() -> None:
    assert ChipSettings.from_dict(EVERYTHING.as_dict()) == EVERYTHING
    with pytest.raises(ParameterError, match="'mismtach'"):
        ChipSettings.from_dict({"mismtach": 1})
    for name in ("corner", "process"):
        for value in ("xx", ["tt"], None):
            with pytest.raises(ParameterError, match=name):
                ChipSettings.from_dict({name: value})


def test_no_setting_that_stands_for_a_condition_changes_the_chip_at_nominal(net: Network) -> None:
    """Corner shift, sensitivities and the like act only away from nominal conditions."""
    x = features_of(net)
    conditions = ("corner_shift_mv", "leakage_doubling_k", "threshold_correlation", "frame_s")
    conditions += ("supply_sensitivity_per_v", "reference_tc_per_k", "unit_area_um2", "unit_na")
    assert set(conditions) < {one.name for one in fields(ChipSettings)}
    for name in conditions:
        high = next(row["high"] for row in ChipSettings.table() if row["name"] == name)
        assert equal(simulate(net, x, ChipSettings(**{name: high})), net.run(x)), name


# beta1, beta2, candidate as programmed, and what flows in the published waveforms, nA [F]
CLAMPED = [
    (0.426, 0.426, 0.9, 0.457),
    (0.426, 0.426, 5.6, 0.460),
    (0.205, 0.205, 0.9, 0.226),
    (0.267, 0.731, 2.0, 0.55),
    (0.087, 1.364, 3.0, 0.82),
    (0.195, 0.947, 2.0, 0.65),
]


@pytest.mark.parametrize(("beta1", "beta2", "candidate", "flows"), CLAMPED)
def test_a_cell_that_is_on_takes_what_the_published_ones_take(
    beta1: float, beta2: float, candidate: float, flows: float
) -> None:
    net = one_cell(1.0, beta1, beta2 - beta1)
    chip = ChipSettings.typical(mirror_current=False)
    trace = simulate(net, [[candidate]] * 3, chip)
    assert trace.bits[0].all()
    assert trace.candidates[0][-1, 0] == pytest.approx(flows, rel=0.1)
    error, published = candidate - trace.candidates[0][-1, 0], candidate - flows
    assert published / 1.5 < error < published * 1.5
    assert trace.offered is not None
    assert trace.offered[0][-1, 0] == candidate


def test_a_cell_that_is_off_takes_a_little_more_than_its_candidate() -> None:
    """Waveforms: 0.02 to 0.04 nA more from 0.02 nA on, 2 to 9 pA where none is programmed."""
    x = np.array([[0.0], [0.01], [0.02], [0.15]])
    trace = simulate(one_cell(), x, ChipSettings.typical(mirror_current=False))
    excess = trace.candidates[0] - x
    assert not trace.bits[0].any()
    assert 0.002 <= excess[0, 0] <= 0.009
    assert excess[0, 0] < excess[1, 0] < excess[2, 0]
    assert excess[2:, 0] == pytest.approx([0.03, 0.03])


def test_clamp_and_offset_change_candidates_and_nothing_else(net: Network) -> None:
    x = features_of(net)
    loaded = ChipSettings(
        clamp_threshold=1.09, clamp_width=0.52, candidate_offset_na=0.03, candidate_rest_na=0.005
    )
    ideal, real = simulate(net, x), simulate(net, x, loaded)
    assert np.array_equal(ideal.logits, real.logits)
    for name in ("inputs", "states", "bits"):
        assert all(map(np.array_equal, getattr(ideal, name), getattr(real, name)))
    assert real.offered is not None
    assert all(map(np.array_equal, real.offered, ideal.candidates))
    assert not all(map(np.array_equal, real.candidates, ideal.candidates))
    assert power.estimate(net, real) == power.estimate(net, ideal)


def test_the_state_error_of_a_typical_cell_is_the_leakage_of_the_time_it_is_off() -> None:
    """Published: 3 pA where no bit is late. A cell that is on gives what is programmed."""
    x = np.where(np.arange(90) % 30 < 10, 1.0, 0.0)[:, None]
    net = one_cell()
    errors = simulate(net, x, ChipSettings.typical()).states[0] - net.run(x).states[0]
    assert errors[x[:, 0] > 0].max() == 0
    assert np.abs(errors).mean() == pytest.approx(0.003, rel=0.3)


def test_typical_circuits_are_told_apart_and_foundries_add_mismatch() -> None:
    paper, open_process = ChipSettings.typical(), ChipSettings.typical("gf180mcu")
    assert paper == ChipSettings.typical("180nm-paper")
    assert (paper.off_state_na, open_process.off_state_na) == (0.0046, 1.0e-6)
    assert not open_process.clamp_threshold
    assert ChipSettings.foundry().differs
    assert ChipSettings.foundry(avt_mv_um=0) == paper
    with pytest.raises(ParameterError, match="sky130"):
        ChipSettings.typical("sky130")


def test_a_candidate_gain_moves_the_candidates_that_are_compared() -> None:
    x = [[0.29], [0.31]]
    assert simulate(one_cell(), x).bits[0][:, 0].tolist() == [False, True]
    trace = simulate(one_cell(), x, ChipSettings(candidate_gain=0.035))
    assert trace.bits[0].all()
    assert trace.candidates[0][:, 0] == pytest.approx([0.29 * 1.035, 0.31 * 1.035])


def test_a_cell_that_is_off_leaks() -> None:
    trace = simulate(one_cell(), [[0.0], [1.0]], ChipSettings(off_state_na=0.0046))
    assert trace.states[0][:, 0].tolist() == [0.0046, 0.4]
    warm = ChipSettings(off_state_na=0.0046, temperature_c=49)  # two doublings
    assert simulate(one_cell(), [[0.0]], warm).states[0][0, 0] == pytest.approx(0.0184)


@pytest.mark.parametrize(("corner", "sign"), [("ff", 1), ("fs", 1), ("ss", -1), ("sf", -1)])
def test_fast_n_transistors_leak_more_and_slow_ones_less(corner: str, sign: int) -> None:
    """A threshold lower by 40 mV is exp(40 mV/(n·UT)) times the current, n = 1.4, UT = kT/q."""
    thermal_v = 1.380649e-23 * (27 + 273.15) / 1.602176634e-19
    chip = ChipSettings(off_state_na=0.0046, corner=corner)
    assert chip.thermal_voltage_v == pytest.approx(thermal_v)
    leak = simulate(one_cell(), [[0.0]], chip).states[0][0, 0]
    assert leak == pytest.approx(0.0046 * math.exp(sign * 0.040 / (1.4 * thermal_v)))


def test_mirror_gain_changes_with_current_by_the_fit() -> None:
    """A ratio of 1: W near 5.5 um, a third of the way from 0.5 to 15 um."""
    net = Network.from_arrays(([[1.0]], [0.0]), [], ([[1.0]], [0.0]))
    chip = ChipSettings(mirror_current=True)
    x = np.array([[1.0], [0.1], [3.0], [0.01]])
    gain = ChipBatch(net.parameters, chip, 0, [0])._affine(
        x[..., None], fabricate(net.parameters, chip, 0, [0]).pre
    )[:, 0, 0]
    width = (1 - 0.046) / 0.1742
    place = (width - 0.5) / 14.5
    low, high = 1 + 0.03 + 0.03 * place, 1 - 0.003 - 0.004 * place
    assert gain / x[:, 0] == pytest.approx([1.0, low, high, low])


def test_the_mirrors_behind_a_cell_change_with_its_current_too() -> None:
    """A cell of 0.1 nA beside 1 nA on the skip path; the classifier's mirror takes their sum."""
    width = (1 - 0.046) / 0.1742
    place = (width - 0.5) / 14.5
    low, high = 0.03 + 0.03 * place, -(0.003 + 0.004 * place)
    trace = simulate(one_cell(alpha=0.1), [[1.0]], ChipSettings(mirror_current=True))
    skip = 1.0 + 0.1 * (1 + low)
    expected = skip * (1 + high * math.log10(skip) / math.log10(3))
    assert trace.logits[0, 0] == pytest.approx(expected, rel=1e-9)


def test_a_mirror_narrower_than_any_fitted_one_changes_by_the_same_share_as_the_narrowest() -> None:
    narrowest = 0.1742 * 0.5 + 0.046  # 0.03 more of it at 0.1 nA, 0.003 less at 3 nA
    weight = np.array([[1 / 64, narrowest, -1 / 64]])
    net = Network.from_arrays((weight, np.zeros(3)), [], (np.eye(3), np.zeros(3)))
    chip = ChipSettings(mirror_current=True)
    x = np.array([[0.1], [3.0]])
    layer = fabricate(net.parameters, chip, 0, [0]).pre
    gain = ChipBatch(net.parameters, chip, 0, [0])._affine(x[..., None], layer)[..., 0] / x
    for column in (0, 1):
        share = gain[:, column] / weight[0, column] - 1
        assert share == pytest.approx(np.array([0.03, -0.003]) / narrowest)
    negative = 0.1784 * 0.5 + 0.053
    assert gain[0, 2] / weight[0, 2] - 1 == pytest.approx(0.03 / negative)


def test_settling_is_first_order_and_does_not_depend_on_the_time_step() -> None:
    net = one_cell()
    x = np.array([[1.0], [1.0], [0.0]])
    keep = math.exp(-0.01 / 0.02)
    expected = [1 - keep, 1 - keep**2, keep * (1 - keep**2)]
    for steps in (1, 7, 50):
        chip = ChipSettings(settling_s=0.02, steps_per_frame=steps)
        assert simulate(net, x, chip).candidates[0][:, 0] == pytest.approx(expected)


def test_a_cell_near_its_threshold_switches_late() -> None:
    """Crossing beta2 takes tau·ln(c/(c - beta2)): seen to one time step."""
    tau = 2e-3
    chip = ChipSettings(settling_s=tau, steps_per_frame=1000)
    for current in (1.0, 0.31, 0.301):
        batch = ChipBatch(one_cell().parameters, chip, 0, [0])
        bits = batch.run(np.full((2, 1), current), every_step=True).bits[0][:, 0, 0]
        delay = tau * math.log(current / (current - 0.3))
        assert int(bits.argmax()) == pytest.approx(delay / 1e-5, abs=1)


def test_shot_noise_has_the_size_of_its_formula() -> None:
    """One branch of weight 2 and 0.5 nA: 2·q·B·(w·I + w^2·I)."""
    chip = ChipSettings(noise_bandwidth_hz=1000)
    batch = ChipBatch(one_cell(2.0).parameters, chip, 0, range(200))
    c = batch.run(np.full((200, 1), 0.5)).candidates[0]
    expected_na = math.sqrt(2 * 1.602176634e-19 * 1000 * (2 + 4) * 0.5e-9) * 1e9
    assert c.std() == pytest.approx(expected_na, rel=0.02)
    assert c.mean() == pytest.approx(1.0, abs=expected_na / 50)


def test_a_bias_has_the_noise_of_its_two_devices() -> None:
    """A bias of 2 nA comes out of a mirror of ratio 1 for its own current: 2·q·B·(I + I)."""
    block = {"candidate": ([[0.0]], [2.0]), "post": ([[1.0]], [0.0])}
    block |= {"beta1": 0.2, "delta": 0.1, "alpha": 0.4}
    net = Network.from_arrays(([[1.0]], [0.0]), [block], ([[1.0]], [0.0]))
    batch = ChipBatch(net.parameters, ChipSettings(noise_bandwidth_hz=1000), 0, range(200))
    c = batch.run(np.zeros((200, 1))).candidates[0]
    expected_na = math.sqrt(2 * 1.602176634e-19 * 1000 * 2 * 2e-9) * 1e9
    assert c.std() == pytest.approx(expected_na, rel=0.02)


def test_noise_level_is_in_nanoamperes_whatever_the_unit() -> None:
    for unit in (1.0, 4.0):
        chip = ChipSettings(candidate_noise_na=0.02, unit_na=unit)
        batch = ChipBatch(one_cell().parameters, chip, 0, range(200))
        assert batch.run(np.ones((200, 1))).candidates[0].std() * unit == pytest.approx(
            0.02, rel=0.02
        )


def test_extrapolation_is_flagged_and_the_ideal_chip_asks_for_none() -> None:
    parameters = one_cell().parameters
    assert extrapolations(parameters, ChipSettings()) == []
    assert extrapolations(parameters, ChipSettings.typical(mismatch_percent=15)) == []
    asked = {"unit_na": 2.0, "supply_v": 1.62, "temperature_c": 85.0, "corner": "ss"}
    for name, value in asked.items():
        (note,) = extrapolations(parameters, ChipSettings(**{name: value}))
        assert name in note
    notes = extrapolations(one_cell(40.0, 0.9).parameters, ChipSettings.typical())
    assert [note for note in notes if "beta2" in note and "0.1..0.4" in note]
    assert [note for note in notes if "widths" in note and "0.5..15" in note]


@pytest.mark.parametrize("bad", [[1.0], [[1.0, 2.0]], [[math.nan]], "sound", [[1j]]])
def test_features_that_do_not_fit_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match="features"):
        simulate(one_cell(), bad)


@pytest.mark.parametrize("number", ["seed", "chip", "clip"])
def test_negative_numbers_of_chips_are_refused(number: str) -> None:
    with pytest.raises(ParameterError, match=number):
        simulate(one_cell(), [[1.0]], **{number: -1})


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_sums_run_in_index_order_whatever_part_of_the_inputs_is_zero(share):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((7, 9, 3)) * (rng.random((7, 9, 1)) < share)
    weight, bias = rng.standard_normal((9, 4, 3)), rng.standard_normal((4, 3))
    wanted = np.zeros((7, 4, 3))
    for i in range(9):
        wanted = wanted + x[:, i : i + 1] * weight[i]
    assert (ordered_sums(x, weight, bias) == wanted + bias).all()
    assert (
        ordered_sums(x[:, :, :1], weight, None)
        == ordered_sums(np.repeat(x[:, :, :1], 3, axis=2), weight, None)
    ).all()
