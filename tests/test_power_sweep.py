"""Power against unit current and supply, and what the chip model says of it."""

import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import features, packs, power
from kws_stream.bmru.chip import ChipSettings, simulate
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
    for (unit, volts), point in points.items():
        for name in ("cells_nw", "feedforward_nw", "core_nw", "classifier_nw"):
            wanted = getattr(estimate, name) * unit * volts / 1.8
            assert getattr(point, name) == pytest.approx(wanted, rel=1e-12), name
    assert points[1.0, 1.8].core_nw == estimate.core_nw
    assert [key for key, point in points.items() if not point.extrapolated] == [(1.0, 1.8)]
    default = {(p.unit_na, p.supply_v) for p in sweep(estimate)}
    assert default == {(i, v) for i in (0.1, 0.25, 0.5, 1.0, 2.0, 4.0) for v in (1.2, 1.5, 1.8)}
    with pytest.raises(ParameterError):
        sweep(estimate, (0.0,))


def test_more_current_brings_the_chip_nearer_to_the_exact_network():
    noise = 0.1 * np.random.default_rng(0).normal(size=32_000)
    low, high = unit_current(packs.load("yes-4"), noise, (0.05, 4.0), (1.8,))
    assert low.bits_equal < high.bits_equal <= 1
    assert low.power.core_nw < high.power.core_nw
    assert any("unit_na" in text for text in low.beyond)


def test_every_point_is_the_typical_chip_at_its_unit_current_and_supply(monkeypatch):
    pack = packs.load("yes-4")
    sound = 0.1 * np.random.default_rng(1).normal(size=8_000).astype(np.float32)
    asked = []

    def noted(network, frames, chip, seed):
        asked.append(chip)
        return simulate(network, frames, chip, seed)

    monkeypatch.setattr("kws_stream.studies.unit_current.simulate", noted)
    points = unit_current(pack, sound, (0.1, 1.0), (1.5, 1.8), seed=3)
    front_end = features.build(pack.features)
    frames = front_end.process(sound)
    exact = pack.network.run(frames)
    conditions = [(v, i) for v in (1.5, 1.8) for i in (0.1, 1.0)]
    for point, given, (supply, unit) in zip(points, asked, conditions, strict=True):
        chip = ChipSettings.typical(
            unit_na=unit, supply_v=supply, frame_s=0.02, noise_bandwidth_hz=25.0
        )
        assert given == chip
        trace = simulate(pack.network, frames, chip, seed=3)
        same = [np.mean(a == b) for a, b in zip(trace.bits, exact.bits, strict=True)]
        decisions = trace.logits.argmax(axis=1) == exact.logits.argmax(axis=1)
        assert (point.power.unit_na, point.power.supply_v) == (unit, supply)
        assert point.bits_equal == pytest.approx(np.mean(same))
        assert point.decisions_equal == decisions.mean()
        assert point.power.extrapolated == ((unit, supply) != (1.0, 1.8))


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
    result = CliRunner().invoke(main, [*arguments, "--plot", str(file)])
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
