"""One to one: every parameter of a network is an element of the chip, or 0."""

import numpy as np
import pytest
from click.testing import CliRunner

from kws_stream import packs
from kws_stream.bmru.elements import elements
from kws_stream.cli import main


@pytest.mark.parametrize("name", ["yes-4", "yes-8", "commands-12-small"])
def test_elements_hold_every_parameter_and_nothing_else(name: str) -> None:
    parameters = packs.load(name).network.parameters
    found = elements(parameters, unit_na=2.0)
    layers = {"pre": parameters.pre, "classifier": parameters.classifier}
    for number, block in enumerate(parameters.blocks, 1):
        layers |= {f"block {number} candidate": block.candidate, f"block {number} post": block.post}
        for kind, values in (
            ("I_thresh", block.beta2),
            ("I_width", block.delta),
            ("I_gain", block.alpha),
        ):
            got = np.zeros(block.cells)
            for one in found:
                if (one.place, one.kind) == (f"block {number} cell", kind):
                    got[one.target] = one.value
            assert np.array_equal(got, 2 * values)
    for place, layer in layers.items():
        weight, bias = np.zeros_like(layer.weight), np.zeros_like(layer.bias)
        for one in (one for one in found if one.place == place):
            signed = one.value if one.rail == "P" else -one.value
            if one.source is None:
                bias[one.target] = signed / 2
            else:
                weight[one.source, one.target] = signed
        assert np.array_equal(weight, layer.weight)
        assert np.array_equal(bias, layer.bias)


def test_mirrors_that_cannot_be_drawn_are_marked() -> None:
    found = elements(packs.load("yes-4").network.parameters)
    for one in found:
        slope, offset = (0.1742, 0.046) if one.rail == "P" else (0.1784, 0.053)
        if one.width_um is not None:
            assert slope * one.width_um + offset == pytest.approx(one.value)
            assert one.too_narrow == (one.width_um < 0.22)
    assert any(one.too_narrow for one in found)


def test_chip_info_lists_the_currents_of_a_model() -> None:
    shown = CliRunner().invoke(main, ["chip-info", "yes-4", "--currents", "--unit", "2"])
    assert shown.exit_code == 0, shown.output
    (line,) = [line for line in shown.output.splitlines() if "I_thresh" in line and " 2  P" in line]
    beta2 = packs.load("yes-4").network.parameters.blocks[0].beta2[1]
    assert line.split()[-1] == f"{2 * beta2:.5g}"
    assert CliRunner().invoke(main, ["chip-info", "yes-4", "--unit", "2"]).exit_code == 2
    assert CliRunner().invoke(main, ["chip-info", "no-model", "--currents"]).exit_code == 1
