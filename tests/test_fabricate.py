"""Chips as they are made: what mismatch, fits and quantisation do to a network's parameters."""

import math
from typing import Any

import numpy as np
import pytest

from kws_stream.bmru.chip import ChipSettings
from kws_stream.bmru.fabricate import fabricate, quantised, to_codes
from kws_stream.network import Network
from tests.pack_factory import one_cell, random_network


@pytest.mark.parametrize("percent", [5.0, 15.0])
def test_mismatch_is_three_sigma_of_every_programmed_parameter(percent: float) -> None:
    net = random_network(5)
    chips = range(4000)
    arrays = fabricate(net.parameters, ChipSettings(mismatch_percent=percent), 0, chips)
    block, given_block = arrays.blocks[0], net.parameters.blocks[0]
    pairs = [
        (arrays.pre.weight, net.parameters.pre.weight),
        (arrays.pre.bias, net.parameters.pre.bias),
        (block.candidate.weight, given_block.candidate.weight),
        (block.post.bias, given_block.post.bias),
        (arrays.classifier.weight, net.parameters.classifier.weight),
        (block.alpha, given_block.alpha),
        (block.beta2, given_block.beta2),
        (block.beta2 - block.beta1, given_block.delta),
    ]
    for got, wanted in pairs:
        used = wanted != 0
        errors = got[used] / wanted[used][:, None] - 1
        assert errors.std() * 300 == pytest.approx(percent, rel=0.05)
        assert abs(errors.mean()) < 0.01 * percent / 3
        assert (got[~used] == 0).all()


def test_pelgrom_errors_fall_with_area_and_a_mirrors_outputs_share_its_input() -> None:
    net = Network.from_arrays(([[1.0, 4.0]], [0.0, 0.0]), [], ([[1.0], [1.0]], [0.0]))
    sigmas = []
    for area in (10.0, 40.0):
        chip = ChipSettings(avt_mv_um=3.5, unit_area_um2=area)
        weight = fabricate(net.parameters, chip, 0, range(4000)).pre.weight[0]
        errors = weight / np.array([[1.0], [4.0]]) - 1
        sigmas.append(errors.std(axis=1))
        device = 3.5e-3 / math.sqrt(area) / (1.4 * chip.thermal_voltage_v)
        device *= 2 / (1 + math.sqrt(1 + 4 * 0.01))
        assert sigmas[-1] == pytest.approx(device * np.sqrt([2, 1.25]), rel=0.05)
        shared = np.cov(errors)[0, 1]
        assert shared == pytest.approx(device**2, rel=0.1)
    assert sigmas[0] / sigmas[1] == pytest.approx([2, 2], rel=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_thresholds_of_a_cell_are_correlated_as_asked(share: float) -> None:
    chip = ChipSettings(avt_mv_um=3.5, threshold_correlation=share)
    block = fabricate(one_cell().parameters, chip, 0, range(4000)).blocks[0]
    seen = np.corrcoef(block.beta2[0], (block.beta2 - block.beta1)[0])[0, 1]
    assert seen == pytest.approx(share, abs=0.05)


def test_less_current_is_more_mismatch_and_a_larger_share_of_leakage() -> None:
    parameters = one_cell().parameters
    spread, off = [], []
    for unit in (0.1, 1.0, 100.0):
        chip = ChipSettings(unit_na=unit, avt_mv_um=3.5, off_state_na=0.0046)
        arrays = fabricate(parameters, chip, 0, range(500))
        spread.append(float(arrays.blocks[0].alpha.std()))
        off.append(arrays.off_state)
    assert spread[0] > spread[1] > spread[2]
    assert off == pytest.approx([0.046, 0.0046, 0.000046])


def test_effective_currents_follow_the_published_fits() -> None:
    chip = ChipSettings(transfer=True, alpha_transfer=True)
    block = fabricate(one_cell().parameters, chip, 0, [0]).blocks[0]
    assert block.alpha[0, 0] == pytest.approx(1.0167 * 0.4 + 0.0060)
    assert block.beta2[0, 0] == pytest.approx(0.9829 * 0.3 - 0.0110)
    assert (block.beta2 - block.beta1)[0, 0] == pytest.approx(0.9911 * 0.1 - 0.0132)


def test_effective_currents_of_the_open_process_are_those_of_its_table() -> None:
    """The five cells of `kws-stream spice cell`, in docs/spice.md: beta2, beta1, alpha in nA."""
    table = [
        ((1.0, 0.5, 1.0), (0.9636, 0.4856, 1.0017)),
        ((0.1, 0.05, 0.1), (0.0960, 0.0475, 0.1003)),
        ((0.5, 0.25, 1.0), (0.4810, 0.2415, 1.0017)),
        ((1.0, 0.1, 1.0), (0.9637, 0.8775, 1.0017)),
        ((1.5, 0.5, 1.0), (1.4473, 0.9769, 1.0017)),
    ]
    for (thresh, width, gain), effective in table:
        net = one_cell(1.0, thresh - width, width, gain)
        chip = ChipSettings.typical("gf180mcu")
        block = fabricate(net.parameters, chip, 0, [0]).blocks[0]
        got = [float(wire[0, 0]) for wire in (block.beta2, block.beta1, block.alpha)]
        assert got == pytest.approx(effective, abs=0.003)


def test_drawn_widths_are_multiples_of_the_step_and_too_small_weights_vanish() -> None:
    net = Network.from_arrays(([[1.0, -2.0, 0.001]], [0, 0, 0]), [], (np.eye(3), [0, 0, 0]))
    weight = quantised(net.parameters, ChipSettings(width_step_um=0.5)).pre.weight[0]
    assert weight == pytest.approx([0.1742 * 5.5 + 0.046, -(0.1784 * 11 + 0.053), 0])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_codes_fit_their_bits_and_err_by_half_a_step(bits: int, signed: bool) -> None:
    values = np.random.default_rng(0).uniform(-3 if signed else 0, 3, 100)
    coded = to_codes(values, bits, signed)
    codes = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    if codes == 0:
        assert (coded == 0).all()
        return
    step = 2.0 ** math.ceil(math.log2(np.abs(values).max() / codes))
    assert np.abs(coded / step).max() <= codes
    assert (coded / step == np.rint(coded / step)).all()
    assert np.abs(coded - values).max() <= step / 2
    assert np.array_equal(to_codes(coded, bits, signed), coded)


def test_a_requantised_network_stays_exact() -> None:
    net = random_network(5)
    fewer = quantised(net.parameters, ChipSettings(weight_bits=3, bias_bits=3))
    arrays = network_arrays(fewer)
    again = Network.from_arrays(**arrays, input_grid=net.parameters.input_grid)
    assert again.exactness.exact


def network_arrays(parameters: Any) -> dict[str, Any]:
    def pair(layer: Any) -> tuple[np.ndarray, np.ndarray]:
        return layer.weight, layer.bias

    return {
        "pre": pair(parameters.pre),
        "blocks": [
            {
                "candidate": pair(b.candidate),
                "post": pair(b.post),
                **{name: getattr(b, name) for name in ("beta1", "delta", "alpha")},
            }
            for b in parameters.blocks
        ],
        "classifier": pair(parameters.classifier),
    }
