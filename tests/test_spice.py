"""Transistors in ngspice agree with the emulator; what is missing is said."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kws_stream import spice
from kws_stream.cli import main
from kws_stream.errors import MissingExtraError, ParameterError
from kws_stream.network import Network
from kws_stream.spice import figures as spice_figure
from kws_stream.spice import studies
from kws_stream.spice.circuit import UNITS, Circuit
from kws_stream.spice.differences import crossings, differences
from kws_stream.spice.network import build
from kws_stream.spice.processes import PROCESSES
from tests.test_power import random_network


@pytest.fixture(scope="module")
def simulator():
    try:
        return spice.find()
    except MissingExtraError as error:
        pytest.skip(str(error))


def small_network():
    """One block of two cells: a positive and a negative weight, a relu, a skip path."""
    return Network.from_arrays(
        pre=(np.eye(2), [0.0, 0.0]),
        blocks=[
            {
                "candidate": ([[1.0, -0.5], [0.5, 1.0]], [0.125, 0.0]),
                "beta1": [0.5, 0.25],
                "delta": [0.5, 0.25],
                "alpha": [1.0, 0.5],
                "post": ([[1.0, 0.0], [-0.5, 1.5]], [0.0, 0.25]),
            }
        ],
        classifier=([[1.0, -1.0], [0.5, -2.0]], [0.0, 0.5]),
    )


FEATURES = [[0.1, 0.0], [1.5, 0.1], [0.6, 0.2], [0.0, 1.2], [-0.5, 0.35], [0.1, -0.3], [2.0, 1.0]]


def test_a_cell_has_the_thresholds_of_the_published_table(simulator):
    # the study of this project with the same models: 0.963, 0.486, 1.002 nA; 6.3 nW when on
    cell = spice.cell(simulator, 1.0, 0.5, 1.0).result
    assert cell.beta2_na == pytest.approx(0.963, abs=0.003)
    assert cell.beta1_na == pytest.approx(0.486, abs=0.003)
    assert cell.alpha_na == pytest.approx(1.002, abs=0.002)
    assert cell.high_nw == pytest.approx(6.3, abs=0.1)
    assert 0.8e-6 < cell.off_na < 1.2e-6  # without areas of the diffusions the model gives 1.1e-5


def test_a_loop_of_the_typical_chip_lies_on_that_of_the_transistors(simulator):
    loop = spice.cell(simulator, 1.0, 0.5, 1.0)
    on, fitted, programmed = (
        states > 0.5 for states in (loop.states, loop.fitted, loop.programmed)
    )
    assert set(np.unique(loop.programmed)) == {0.0, 1.0}
    edges = np.abs(np.subtract.outer(loop.candidates, [0.9636, 0.4856])).min(axis=1)
    assert (on == fitted)[edges > 0.003].all()
    assert (on != programmed)[(loop.candidates > 0.97) & (loop.candidates < 0.999)].any()


def test_the_same_cell_in_another_process_is_a_cell_with_thresholds_of_its_own():
    try:
        simulator = spice.find(process="sky130")
    except MissingExtraError as error:
        pytest.skip(str(error))
    loop = spice.cell(simulator, 1.0, 0.5, 1.0)
    assert loop.fitted is None  # nothing was fitted to it
    cell = loop.result
    assert cell.beta2_na == pytest.approx(0.903, abs=0.003)
    assert cell.beta1_na == pytest.approx(0.444, abs=0.003)
    assert cell.off_na == pytest.approx(2.4e-4, rel=0.1)
    with pytest.raises(ParameterError, match="statistics"):
        spice.cell(replace(simulator, seed=0), 1.0, 0.5, 1.0)


def test_mismatch_is_drawn_where_the_models_have_statistics_and_nowhere_else():
    decks = {name: one.head(Path("there"), mismatch=False) for name, one in PROCESSES.items()}
    assert not [name for name, deck in decks.items() if "sw_stat_mismatch" in deck]
    assert "sw_stat_mismatch=1" in PROCESSES["gf180mcu"].head(Path("there"), mismatch=True)
    assert ".include 'there/C4M.Sky130_logic_tt_model.spice'" in decks["sky130"]
    assert "M1 d g s b sky130_fd_pr__nfet_01v8__model w={w} l={l} as={as}" in decks["sky130"]
    with pytest.raises(ParameterError, match="got sky130"):
        PROCESSES["sky130"].head(Path("there"), mismatch=True)
    with pytest.raises(ParameterError, match="got 'ihp'"):
        spice.find(process="ihp")


def test_a_weight_of_zero_needs_no_mirror_and_counts_as_none(monkeypatch):
    class Ran(Exception):
        pass

    class Simulated:
        def run(self, *_):
            raise Ran

    net = small_network()  # 11 weights behind the pre-projection, and one of zero
    trace = net.run(FEATURES)
    monkeypatch.setattr(studies, "MAX_MIRRORS", 33)
    with pytest.raises(Ran):
        spice.network(Simulated(), net, trace, 0.02)
    monkeypatch.setattr(studies, "MAX_MIRRORS", 32)
    with pytest.raises(ParameterError, match="at most 32 mirrors, got about 33"):
        spice.network(Simulated(), net, trace, 0.02)


def test_what_is_negative_is_drawn_from_a_wire_by_a_mirror():
    net = small_network()
    text = build(net.parameters, net.run(FEATURES).inputs[0], 0.02).circuit.text()
    for line in text.splitlines():
        if "PWL(" in line:  # an ideal current comes from a supply and ends in a diode
            _, plus, minus, *_ = line.split()
            assert (plus, minus.split("_")[0]) in {("vddx", n) for n in ("x0", "above", "below")}
    mirrors = [line.split() for line in text.splitlines() if line.startswith("XM")]
    drawn = [words for words in mirrors if words[2] == "x0_0_against" != words[1]]
    assert [words[1] for words in drawn] == ["x0_0_n"]


def test_loops_are_drawn_a_panel_a_cell(monkeypatch):
    figures = pytest.importorskip("matplotlib.figure", reason="needs the extra report")
    figure = figures.Figure()

    @contextlib.contextmanager
    def kept(path, width, height):
        yield figure

    monkeypatch.setattr(spice_figure, "figure_file", kept)
    result = spice.CellResult(1, 0.5, 1, 0.96, 0.49, 1, 0, 3, 6, 1)
    x = np.array([0.0, 1.0, 0.0])
    spice_figure.draw_loops([spice.Loop(result, x, x + 1, x + 2, x + 3)] * 4, Path("unused.png"))
    shown = [panel for panel in figure.axes if panel.axison]
    assert len(shown) == 4
    for panel in shown:
        assert "1, 0.5, 1 nA" in (panel.get_title(), panel.get_title(loc="left"))
        lines = {line.get_label(): line.get_ydata().tolist() for line in panel.get_lines()}
        assert lines == {
            "transistors": [1, 2, 1],
            "emulator, as programmed": [2, 3, 2],
            "emulator, typical chip of the process": [3, 4, 3],
        }


def test_every_transistor_has_the_regions_of_its_drain_and_source():
    net = small_network()
    built = build(net.parameters, net.run(FEATURES).inputs[0], 0.02)
    devices = [line for line in built.circuit.text().splitlines() if "fet_03v3" in line]
    assert devices
    for line in devices:
        given = dict(word.split("=") for word in line.split() if "=" in word)
        width = float(given["w"].removesuffix("u"))
        for side in "sd":
            assert float(given[f"a{side}"].removesuffix("p")) == pytest.approx(0.6 * width)
            assert float(given[f"p{side}"].removesuffix("u")) == pytest.approx(2 * (0.6 + width))


def test_cells_in_transistors_have_the_bits_of_the_emulator(simulator):
    net = small_network()
    result = spice.layer(simulator, net, net.run(FEATURES), 0.02, cells=2).agreement
    assert (result.cells, result.frames, result.bits_equal) == (2, len(FEATURES), 1.0)
    assert result.state_error_pa < 5


def test_a_network_in_transistors_decides_as_the_emulator_does(simulator):
    net = small_network()
    trace = net.run(FEATURES)
    assert trace.bits[0].any(axis=0).all()  # both cells set, and one is reset
    assert not trace.bits[0][1:].all()
    comparison = spice.network(simulator, net, trace, 0.02)
    assert comparison.names == ("1.1", "1.2")
    assert comparison.states == pytest.approx(trace.states[0], abs=0.01)
    result = comparison.agreement
    assert result.bits_equal == result.bits_given == result.decisions_equal == 1.0
    assert result.candidate_error_pa < 30
    assert result.circuit_nw == pytest.approx(result.model_nw, rel=0.5)
    assert 0 < result.bias_nw < result.circuit_nw


def drawn(comparison, monkeypatch):
    """The figure of a comparison, before it is written."""
    figures = pytest.importorskip("matplotlib.figure", reason="needs the extra report")

    @contextlib.contextmanager
    def kept(path, width, height):
        yield figure

    figure = figures.Figure()
    monkeypatch.setattr(spice_figure, "figure_file", kept)
    spice_figure.draw(comparison, Path("unused.png"), "which model on what", 4.0, 0.02)
    return figure


@pytest.mark.parametrize("own_candidates", [False, True])
def test_a_figure_has_one_scale_and_the_thresholds_and_draws_bits_as_steps(
    own_candidates, monkeypatch
):
    frames = 30
    off, on = np.zeros((frames, 2)), np.zeros((frames, 2))
    on[10:20, 0] = 0.5
    leakage = np.linspace(0, 1e-5, 2 * frames).reshape(frames, 2)
    comparison = spice.Comparison(
        agreement=None,
        times_s=np.arange(1, frames + 1) * 0.02,
        names=("1.1", "1.2"),
        beta1=np.array([0.1, 0.2]),
        beta2=np.array([0.3, 0.25]),
        alpha=np.array([0.5, 0.125]),
        candidates=leakage if own_candidates else None,
        ideal_candidates=off,
        states=on + leakage,
        ideal_states=on,
    )
    figure = drawn(comparison, monkeypatch)
    assert figure.get_suptitle() == "which model on what"
    axes = np.array(figure.axes).reshape(2, 2)
    for row, (left, right) in enumerate(axes):
        assert left.get_ylim() == axes[0, 0].get_ylim()
        assert right.get_ylim() == axes[0, 1].get_ylim()
        low, high = right.get_ylim()
        assert low < 0
        assert 0.5 < high < 0.7  # alpha, not the leakage that was drawn
        assert 0.3 < left.get_ylim()[1] < 0.4
        levels = [line.get_ydata()[0] for line in left.get_lines()]
        assert levels == [comparison.beta2[row], comparison.beta1[row]]
        assert len(left.patches) == 1 + own_candidates
        assert len(right.patches) == 2
        for patch, values in zip(right.patches, (on, on + leakage), strict=True):
            heights, edges, _ = patch.get_data()  # a step a frame
            assert np.array_equal(heights, values[:, row])
            assert edges == pytest.approx(4.0 + 0.02 * np.arange(frames + 1))


def test_every_weight_is_a_mirror_of_unit_devices():
    net = small_network()
    built = build(net.parameters, net.run(FEATURES).inputs[0], 0.02)
    lines = built.circuit.text().splitlines()
    mirrors = [line for line in lines if line.startswith("XM") and " m=" in line]
    sizes = [line.split("m=")[1].split()[0] for line in mirrors if " c0_0_q " in line]
    # the diode, its copy for the cell, two weights and the bias
    assert sorted(map(float, sizes)) == sorted([UNITS, UNITS, UNITS, 0.5 * UNITS, 0.125 * UNITS])
    assert sum(line.startswith("Xb0_") for line in lines) == 2


def test_a_ratio_of_zero_is_no_device():
    circuit = Circuit()
    circuit.sink("out", "gate", 0.0)
    assert circuit.devices == 0


def test_a_network_that_would_take_hours_is_refused(simulator):
    net = random_network(0, width=40, cells=(40,))
    with pytest.raises(ParameterError, match="smaller model"):
        spice.network(simulator, net, net.run(np.zeros((1, 6))), 0.02)


def test_what_is_missing_is_said_with_the_command_that_brings_it(monkeypatch, tmp_path):
    result = CliRunner().invoke(main, ["spice", "cell", "--models", str(tmp_path)])
    assert result.exit_code == 1
    assert "install" in result.stderr
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(main, ["spice", "network"])
    assert result.exit_code == 1
    assert "need ngspice" in result.stderr


def test_other_model_files_are_refused(simulator, tmp_path):
    for name in ("design.ngspice", "sm141064.ngspice"):
        (tmp_path / name).write_text("changed", encoding="utf-8")
    with pytest.raises(MissingExtraError, match="need the file of version"):
        spice.find(tmp_path)


@pytest.mark.parametrize("bias", [(0.0, 0.0, 1.0), (1.0, 2.0, 1.0), (1.0, 0.5, float("nan"))])
def test_biases_that_make_no_cell_are_refused(simulator, bias):
    with pytest.raises(ParameterError, match="cell"):
        spice.cell(simulator, *bias)


def test_mismatch_of_a_mirror_falls_with_the_root_of_its_unit_devices(simulator):
    one, many = spice.mirrors(simulator, draws=60, seed=3, units=(1, UNITS))
    assert one.deviation == pytest.approx(0.086, rel=0.3)  # the sampling error is 9 %
    assert many.deviation == pytest.approx(one.deviation / np.sqrt(UNITS), rel=0.05)


def test_a_seed_is_a_chip_and_without_one_all_chips_are_equal(simulator):
    def beta2(seed):
        return spice.cell(replace(simulator, seed=seed), 1.0, 0.5, 1.0).result.beta2_na

    assert beta2(0) == beta2(0)
    assert len({beta2(None), beta2(0), beta2(1)}) == 3


def test_noise_of_a_candidate_is_a_fixed_multiple_of_the_formula(simulator):
    # five devices, each of twice the shot noise in this model, where the formula counts two
    found = [spice.candidate_noise(simulator, input_na, 1.0) for input_na in (0.1, 0.4)]
    for one in found:
        assert (one.white_fa / one.formula_fa) ** 2 == pytest.approx(4.9, rel=0.05)
    assert found[1].white_fa == pytest.approx(2 * found[0].white_fa, rel=0.05)
    assert found[1].total_pa == pytest.approx(4 * found[0].total_pa, rel=0.3)


OFF, ON = False, True


@pytest.mark.parametrize(
    ("wanted", "bits", "crossings_s", "expected"),
    [
        ([OFF, ON, ON], [OFF, OFF, ON], [0.0205], ("beta2", 1, 1, 10.5)),
        ([OFF, OFF, ON], [OFF, ON, ON], [0.0125], ("beta2", 1, 1, -7.5)),
        ([ON, ON, OFF], [ON, OFF, OFF], [0.001, 0.018], ("beta1", 1, 1, -2.0)),
        ([OFF, ON, OFF], [OFF, OFF, OFF], [], ("beta2", 1, 1, None)),
        ([OFF, ON, ON], [OFF, OFF, OFF], [], ("beta2", 1, 2, None)),
    ],
)
def test_a_bit_that_differs_is_told_with_its_threshold_and_its_delay(
    wanted, bits, crossings_s, expected
):
    candidates = np.array([0.1, 0.3, 0.2])
    (one,) = differences(
        "1.1",
        0.01,
        (0.25, 0.5),
        OFF,
        (np.array(wanted), candidates),
        (np.array(bits), candidates + 0.25),
        np.array(crossings_s),
    )
    threshold, frame, frames, late_ms = expected
    assert (one.threshold, one.frame, one.frames) == (threshold, frame, frames)
    assert one.late_ms == (None if late_ms is None else pytest.approx(late_ms))
    away = 50.0 if threshold == "beta1" else -200.0
    assert one.ideal_pa == pytest.approx(away)
    assert one.circuit_pa == pytest.approx(away + 250.0)


def test_equal_bits_have_no_differences_and_crossings_lie_between_samples():
    bits, candidates = np.array([OFF, ON]), np.zeros(2)
    assert not differences("1.1", 0.01, (0.1, 0.2), OFF, (bits, candidates), (bits, None), bits)
    assert crossings(np.array([0.0, 1.0, 2.0]), np.array([0.0, 4.0, 0.0]), 1.0) == pytest.approx(
        [0.25, 1.75]
    )


def test_commands_of_parts_print_a_line_each(simulator):
    for arguments, lines in (
        (["mirror", "--draws", "3"], 5),
        (
            [
                "cell",
                *["--thresh", "1", "--width", "0.5", "--gain", "1", "--mismatch", "--draws", "2"],
            ],
            4,
        ),
    ):
        result = CliRunner().invoke(main, ["spice", *arguments])
        assert result.exit_code == 0, result.stderr
        assert len(result.stdout.splitlines()) == lines
    result = CliRunner().invoke(main, ["spice", "cell", "--draws", "3"])
    assert result.exit_code == 2
    assert "--draws needs --mismatch" in result.stderr
