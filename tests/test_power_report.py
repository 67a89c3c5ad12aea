"""The power report: rows, totals, unknown figures, batteries, and the table in a terminal."""

import io
import json

import pytest
from rich.console import Console

from kws_stream import power
from kws_stream.cli.power_table import render
from kws_stream.errors import ParameterError
from kws_stream.power.formulas import BlockCurrents, PowerEstimate
from kws_stream.power.literature import BATTERIES, PEERS
from kws_stream.power.quantity import format_quantity
from kws_stream.power.report import battery_years

ROW_KEYS = {"block", "low", "typical", "high", "status", "source"}


def make_estimate(scale=1.0, unit_na=1.0, frames=100):
    """Two blocks of four cells with currents near the published ones."""
    block = BlockCurrents(
        bias=(0.9 * scale,) * 4,
        candidate=(0.5 * scale,) * 4,
        state=(0.2 * scale,) * 4,
        positive=1.5 * scale,
        negative=0.8 * scale,
        post=0.6 * scale,
    )
    return PowerEstimate((block, block), 2.0 * scale, 1.0 * scale, frames, unit_na=unit_na)


@pytest.fixture
def report():
    return power.report(make_estimate(), n_channels=16)


def rows_by_block(report):
    return {row.block: row for row in report.rows}


def test_json_has_the_promised_names(report):
    data = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    for part in ("core", "chip", "system"):
        assert set(data[part]) == {"low", "typical", "high"}
    assert all(set(row) == ROW_KEYS for row in data["rows"])
    assert {row["status"] for row in data["rows"]} == {"silicon", "simulated", "estimated"}
    assert all(row["source"] for row in data["rows"])


def test_the_core_stands_within_the_errors_of_the_formula(report):
    estimate = make_estimate()
    cells, feedforward = report.core_rows
    assert cells.typical == estimate.cells_nw
    assert (cells.low, cells.high) == pytest.approx((cells.typical * 0.995, cells.typical * 1.005))
    assert feedforward.typical == estimate.feedforward_nw
    assert (feedforward.low, feedforward.high) == pytest.approx(
        (feedforward.typical * 0.977, feedforward.typical * 1.023)
    )
    assert report.core.typical == cells.typical + feedforward.typical == estimate.core_nw
    assert (report.core.low, report.core.high) == pytest.approx(
        (estimate.core_nw * 0.985, estimate.core_nw * 1.015)
    )


def test_chip_and_system_are_what_is_inside_them_and_their_rows(report):
    classifier, rest = report.chip_rows
    filterbank, microphone = report.system_rows
    assert report.chip.low == report.core.low + classifier.low
    assert report.chip.typical == report.core.typical + classifier.typical
    assert report.chip.high == report.core.high + classifier.high + rest.high
    for side in ("low", "typical", "high"):
        total = getattr(report.chip, side) + getattr(filterbank, side) + getattr(microphone, side)
        assert getattr(report.system, side) == pytest.approx(total, rel=1e-12)


def test_the_rest_of_the_chip_is_known_by_its_bound_alone(report):
    rest = report.chip_rows[1]
    assert rest.block == "bias generation, shift registers, routing"
    assert (rest.low, rest.typical) == (None, None)
    assert rest.high == 1000 - report.core.typical
    assert any("left out" in note for note in report.notes)


def test_a_core_above_the_published_bound_leaves_the_high_of_the_chip_unknown():
    report = power.report(make_estimate(scale=100), n_channels=16)
    assert report.core.typical > 1000
    assert report.chip_rows[1].high is None
    assert report.chip.high is report.system.high is None
    assert report.core.high is not None
    assert report.chip.typical is not None
    assert any("high of chip and system is unknown" in note for note in report.notes)
    assert "unknown" in rendered(report)


def test_the_classifier_lies_between_its_bounds(report):
    classifier = report.chip_rows[0]
    assert classifier.status == "estimated"
    assert classifier.typical == make_estimate().classifier_nw
    assert classifier.low == pytest.approx(1.8 * 3.0)
    assert classifier.high == pytest.approx(1.8 * 3.29 * 3.0)
    assert classifier.low < classifier.typical < classifier.high


@pytest.mark.parametrize("n_channels", [1, 16])
def test_the_filterbank_goes_with_its_channels(n_channels):
    row = power.report(make_estimate(), n_channels).system_rows[0]
    expected = [2.6 * n_channels, 25 * n_channels, 581 * n_channels]
    assert [row.low, row.typical, row.high] == expected
    with pytest.raises(ParameterError, match="n_channels"):
        power.report(make_estimate(), 0)


def test_the_microphone_goes_from_passive_to_active(report):
    row = rows_by_block(report)["microphone"]
    assert (row.low, row.typical, row.high) == (0, 5400, 100_000)


def test_energy_is_power_over_a_second_and_over_a_frame(report):
    for part in ("core", "chip", "system"):
        typical = getattr(report, part).typical
        assert report.energy[part].per_second_nj == typical
        assert report.energy[part].per_decision_pj == pytest.approx(typical * 10)
    longer = power.report(make_estimate(), 16, frame_s=0.02)
    assert longer.energy["core"].per_decision_pj == pytest.approx(report.core.typical * 20)


def test_battery_life_counts_load_and_self_discharge_and_ends_with_the_shelf_life():
    coin = BATTERIES[0]
    assert battery_years(coin, 0.0) == 10.0  # not the 100 years of 1 % a year
    # 18 uW / 1.8 V = 10 uA; 225 mAh · 1 % / 8766 h = 0.2567 uA
    assert battery_years(coin, 18_000) == pytest.approx(0.225 / 10.2567e-6 / 8766, rel=1e-4)


def test_battery_life_falls_from_core_to_system(report):
    for life in report.battery_life:
        assert 10 >= life.core_years >= life.chip_years >= life.system_years > 0
        assert life.battery.source


def test_another_unit_current_stands_beside_the_figure_at_1_na():
    report = power.report(make_estimate(unit_na=0.25), 16)
    at_1na = power.report(make_estimate(), 16)
    assert (report.core, report.chip, report.system) == (at_1na.core, at_1na.chip, at_1na.system)
    assert at_1na.extrapolation is None
    assert report.extrapolation.core_nw == pytest.approx(report.core.typical / 4, rel=1e-12)
    assert "not evaluated" in report.as_dict()["extrapolation"]["accuracy"]
    assert "accuracy at this current: not evaluated" in " ".join(rendered(report).split())


def test_no_audio_is_said():
    assert any("at rest" in note for note in power.report(make_estimate(frames=0), 16).notes)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (None, "unknown"),
        (0.0, "0 nW"),
        (0.0256, "0.0256 nW"),
        (2.6, "2.60 nW"),
        (82.61, "82.6 nW"),
        (999.4, "999 nW"),
        (999.6, "1.00 uW"),
        (5400.0, "5.40 uW"),
        (100_000.0, "100 uW"),
        (2.5e6, "2.50 mW"),
    ],
)
def test_quantities_have_three_digits_and_a_unit(nano, text):
    assert format_quantity(nano, "W") == text


def rendered(report):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(render(report))
    return console.file.getvalue()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 777.7])
def test_the_table_fits_80_columns_and_cuts_nothing(scale):
    report = power.report(make_estimate(scale, unit_na=0.1), n_channels=64)
    text = rendered(report)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    words = " ".join(text.split())
    for row in report.rows:
        assert row.block.split(",")[0] in words
        assert format_quantity(row.typical, "W") in words
    for total in ("= core", "= chip *", "= system *"):
        assert total in words
    for peer in PEERS:
        assert peer.figure in words


def test_sources_are_numbered_footnotes(report):
    body, footnotes = rendered(report).split("Sources")
    for number in range(1, len(report.rows) + len(report.battery_life) + 1):
        assert f"[{number}]" in body
        assert f" [{number}] " in footnotes


def test_a_verifier_takes_the_energy_of_its_decisions_spread_over_the_run():
    work = power.VerifierWork(decisions=40_000, multiplications=1_000_000)
    estimate = make_estimate(frames=1_000_000)
    row = power.report(estimate, n_channels=16, verifier=work).system_rows[-1]
    per_second = 40_000 / estimate.seconds
    assert row.block == f"verifier, {3600 * per_second:.1f} decisions per hour"
    wanted = [nj * per_second for nj in work.decision_nj]
    assert (row.low, row.typical, row.high) == pytest.approx(wanted, rel=1e-12)
