"""Power against unit current and supply, and what the chip model says of it."""

import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import packs, power
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.errors import InputError, ParameterError
from kws_stream.power.sweep import sweep
from kws_stream.studies.unit_current import unit_current
from tests.test_power import random_features, random_network


def test_power_goes_with_unit_current_and_supply():
    net = random_network(1)
    estimate = power.estimate(net, net.run(random_features(net, 20)))
    points = {(p.unit_na, p.supply_v): p for p in sweep(estimate, (0.5, 1.0), (0.9, 1.8))}
    assert points[1.0, 1.8].core_nw == estimate.core_nw
    assert points[0.5, 0.9].core_nw == pytest.approx(estimate.core_nw / 4)
    assert [key for key, point in points.items() if not point.extrapolated] == [(1.0, 1.8)]
    with pytest.raises(ParameterError):
        sweep(estimate, (0.0,))


def test_more_current_brings_the_chip_nearer_to_the_exact_network():
    noise = 0.1 * np.random.default_rng(0).normal(size=32_000)
    low, high = unit_current(packs.load("yes-4"), noise, (0.05, 4.0), (1.8,))
    assert low.bits_equal < high.bits_equal <= 1
    assert low.power.core_nw < high.power.core_nw
    assert any("unit_na" in text for text in low.beyond)


def test_less_than_a_frame_of_sound_is_refused():
    with pytest.raises(InputError, match="frame"):
        unit_current(packs.load("yes-4"), np.zeros(3))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Three seconds of the packaged recording."""
    file = tmp_path_factory.mktemp("sound") / "short.wav"
    samples, rate = soundfile.read(RECORDING, frames=48_000, start=48_000)
    soundfile.write(file, samples, rate)
    return str(file)


def test_the_command_prints_a_table_json_and_a_figure(tmp_path, recording):
    pytest.importorskip("matplotlib")
    file = tmp_path / "sweep.png"
    arguments = ["power", "yes-4", recording, "--sweep", "--units", "0.5,1", "--supplies", "1.8"]
    result = CliRunner().invoke(main, [*arguments, "--figure", str(file)])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    extrapolated, fitted = [line for line in result.stdout.splitlines() if "1.8 V  " in line]
    assert "*" in extrapolated
    assert "*" not in fitted
    assert file.read_bytes().startswith(b"\x89PNG")
    points = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)["points"]
    assert [point["extrapolated"] for point in points] == [True, False]
    assert all(0 < point["bits_equal"] <= 1 for point in points)


def test_the_report_of_a_model_on_a_file_and_wrong_use(recording):
    result = CliRunner().invoke(main, ["power", "yes-4", recording, "--json"])
    assert list(json.loads(result.stdout))[:4] == ["core", "chip", "system", "rows"]
    for wrong in (["--units", "1"], ["--sweep", "--units", "one"]):
        assert CliRunner().invoke(main, ["power", "yes-4", *wrong]).exit_code == 2
    for unit in ("0", "nan", "1e9"):
        result = CliRunner().invoke(main, ["power", "yes-4", recording, "--sweep", "--units", unit])
        assert result.exit_code == 1
    assert CliRunner().invoke(main, ["power", "yes-4", "missing.wav"]).exit_code == 1
