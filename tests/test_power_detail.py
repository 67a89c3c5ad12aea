"""The power report in detail: what was heard, layers, cells, words, processors, the figure."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from kws_stream import KeywordSpotter, power
from kws_stream.audio import FileSource
from kws_stream.cli import main
from kws_stream.cli.power_report import RECORDING
from kws_stream.errors import InputError, ParameterError
from kws_stream.evaluation import evaluate_clips, power_of_clips
from kws_stream.live import PowerMeter
from kws_stream.live.meter import levels_dbfs
from kws_stream.network import Network
from kws_stream.power.averages import mean
from kws_stream.power.by_activity import HELD_FRAMES, ByActivity, frame_power
from kws_stream.power.mcu import CYCLES_PER_INSTRUCTION, MCUS, Count, compare
from tests.clip_folders import build_words
from tests.test_power import random_features, random_network


@pytest.fixture(scope="module")
def samples():
    with FileSource(RECORDING) as source:
        return np.concatenate(list(source.blocks()))


@pytest.fixture(scope="module")
def meter(samples):
    meter = PowerMeter(eager())
    meter.process(samples)
    assert meter.report().words.words
    return meter


def eager():
    """A spotter that hears words in the packaged recording whatever its model's threshold."""
    return KeywordSpotter("yes-4", threshold=0.3)


def test_the_power_of_frames_averages_to_the_estimate():
    net = random_network(3, width=5, cells=(3, 7))
    trace = net.run(random_features(net, 50))
    frames = frame_power(net.parameters, trace.inputs, trace.candidates, trace.states)
    estimate = power.estimate(net, trace)
    assert frames.mean(axis=0) == pytest.approx(
        [estimate.cells_nw, estimate.feedforward_nw], rel=1e-12
    )
    one = [[a[7:8] for a in wires] for wires in (trace.inputs, trace.candidates, trace.states)]
    assert np.array_equal(frame_power(net.parameters, *one)[0], frames[7])


def test_the_power_of_frames_has_no_bias_current_of_a_threshold_below_zero():
    """Nor one of 0: what always sets needs none, as in the estimate."""
    block = {"candidate": ([[1.0, -1.0, 2.0]], [0.25, 0.0, -0.5]), "post": (np.ones((3, 1)), [0.5])}
    block |= {"beta1": [-3.0, -0.5, 0.25], "delta": [0.5, 0.5, 0.5], "alpha": [0.25, 0.5, 1.0]}
    net = Network.from_arrays(([[1.0]], [0.0]), [block], ([[1.0]], [0.0]))
    trace = net.run([[1.0], [-1.0], [0.5]])
    frames = frame_power(net.parameters, trace.inputs, trace.candidates, trace.states)
    rest = 1.8 * 1.033 * (0.25 + 0.5 + 1.0 + 3 * 0.5 + 0.75)
    active = [
        1.8 * (0.36 * c.sum() + 2.92 * h.sum())
        for c, h in zip(trace.candidates[0], trace.states[0], strict=True)
    ]
    assert frames[:, 0] == pytest.approx([rest + nw for nw in active], rel=1e-12)
    estimate = power.estimate(net, trace)
    assert frames.mean(axis=0) == pytest.approx(
        [estimate.cells_nw, estimate.feedforward_nw], rel=1e-12
    )


def test_silence_speech_and_hits_add_up_to_the_core(meter):
    report = meter.report()
    frames = sum(kind.frames for kind in report.activity)
    mean = sum(kind.frames * (kind.core_nw or 0) for kind in report.activity) / frames
    assert mean == pytest.approx(report.core.typical, rel=1e-9)
    assert sum(kind.seconds for kind in report.activity) == pytest.approx(report.seconds)


@pytest.mark.parametrize("size", [160, 777, 40_000])
def test_no_split_of_the_stream_changes_a_figure(meter, samples, size):
    other = PowerMeter(eager())
    for at in range(0, len(samples), size):
        other.process(samples[at : at + size])
    assert other.report() == meter.report()


def test_the_meter_hears_the_events_of_the_spotter(samples):
    events = KeywordSpotter("yes-4").process(samples)
    meter = PowerMeter(KeywordSpotter("yes-4"))
    assert meter.process(samples) == events
    assert meter.report().words.words == len(events)


def by_kind(activity):
    return {kind.kind: kind for kind in activity.power()}


def test_levels_part_silence_from_speech_and_hits_go_before_both():
    activity = ByActivity(random_network(0).parameters, 0.01)
    nw = np.column_stack([np.arange(40.0), np.zeros(40)])
    levels = np.array([-50.0] * 20 + [-30.0] * 20)
    activity.add(nw, levels, [(15, 25)])
    kinds = by_kind(activity)
    assert activity.threshold_dbfs() == -40
    assert kinds["hit"].core_nw == np.mean(np.arange(15, 25))
    assert kinds["silence"].core_nw == np.mean(np.arange(15))
    assert kinds["speech"].core_nw == np.mean(np.arange(25, 40))


def test_a_hit_reaches_back_no_further_than_the_frames_that_are_held():
    activity = ByActivity(random_network(0).parameters, 0.01)
    frames = 3 * HELD_FRAMES
    activity.add(np.ones((frames, 2)), np.full(frames, -40.0), [(0, frames)])
    assert by_kind(activity)["hit"].frames == HELD_FRAMES


def test_no_frames_have_no_power_and_digital_silence_is_silence():
    activity = ByActivity(random_network(0).parameters, 0.01)
    assert all(kind.core_nw is None for kind in activity.power())
    activity.add(np.ones((9, 2)), levels_dbfs(np.zeros((9, 160), np.float32)))
    assert by_kind(activity)["silence"].frames == 9
    with pytest.raises(InputError, match="levels"):
        activity.add(np.ones((9, 2)), np.zeros(8))


def test_blocks_and_cells_add_up_to_the_core(meter):
    report = meter.report()
    estimate = meter.spotter.power()
    assert sum(block.total_nw for block in report.blocks) == pytest.approx(estimate.core_nw)
    for block, cells in zip(report.blocks, estimate.per_cell_nw, strict=True):
        assert [cell.total_nw for cell in block.cells] == pytest.approx(cells.tolist())


def test_a_detected_word_pays_for_all_that_was_heard(meter):
    report = meter.report()
    words = report.words
    assert words.core_nj == pytest.approx(report.core.typical * report.seconds / words.words)
    assert words.spoken_core_nj < words.core_nj < words.chip_nj < words.system_nj
    quiet = PowerMeter(KeywordSpotter("yes-4"))
    quiet.process(np.zeros(1600, np.float32))
    assert quiet.report().words.core_nj is None


def test_processors_burn_instructions_times_cycles_times_energy():
    parameters = random_network(0).parameters
    counted = Count("x", parameters.multiply_accumulates, 1000.0, "counted by hand")
    comparison = compare(parameters, 0.02, 16, (counted,))
    assert comparison.instructions == pytest.approx((1000, 1000, 1000))
    row = comparison.rows[0]
    nj = 1000 * CYCLES_PER_INSTRUCTION[1] * MCUS[0].current_ua_per_mhz * MCUS[0].supply_v / 1000
    assert row.frame_nj[1] == pytest.approx(nj)
    assert row.average_nw[1] == pytest.approx(nj / 0.02)
    # 73,590 instructions were counted for a frame of 20 ms with 16 channels
    assert row.front_end_nw == pytest.approx(nj / 1000 * 73_590 / 0.02)
    other = Count("y", 10 * parameters.multiply_accumulates, 50_000.0, "counted elsewhere")
    low, typical, high = compare(parameters, 0.02, 16, (other,)).instructions
    assert low == typical == high == pytest.approx(5000)
    assert "estimated" in compare(parameters, 0.02, 16, ()).basis


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_figure_is_drawn_and_is_the_same_each_time(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for file in files:
        arguments = ["detect", "-m", "yes-4", "--json", "--plot", str(file), str(RECORDING)]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0
        assert json.loads(result.stdout.splitlines()[-1])["type"] == "power"
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_a_figure_that_cannot_be_drawn_is_refused_first(tmp_path):
    for name in ("power.txt", "missing/power.png"):
        result = CliRunner().invoke(main, ["--plot", str(tmp_path / name)])
        assert result.exit_code == 2
        assert "--plot" in result.stderr


def test_the_power_of_a_data_set_is_the_mean_over_its_clips(tmp_path):
    build_words(tmp_path)
    run = evaluate_clips(tmp_path, "yes", model="yes-4", jobs=1)
    report = power_of_clips(run, jobs=1)
    assert report.core.typical == pytest.approx(run.result.core_power_nw["mean"])
    kinds = {kind.kind: kind for kind in report.activity}
    called = [
        (clip.label, clip.word, score.called)
        for clip, score in zip(run.clips, run.scores, strict=True)
    ]
    silent = sum(word == "_silence_" for _, word, _ in called)
    assert report.words.words == sum(label == name == "yes" for label, _, name in called)
    assert kinds["silence"].seconds == pytest.approx(silent)
    assert sum(kind.seconds for kind in kinds.values()) == pytest.approx(len(run.clips))


def test_evaluate_prints_the_report_and_adds_it_to_its_json(tmp_path):
    build_words(tmp_path)
    arguments = ["evaluate", str(tmp_path), "--task", "yes", "-m", "yes-4", "--jobs", "1"]
    result = CliRunner().invoke(main, [*arguments, "--power-report"])
    assert result.exit_code == 0
    assert "= core" in result.stdout
    data = json.loads(CliRunner().invoke(main, [*arguments, "--power-report", "--json"]).stdout)
    assert data["power"]["core"]["typical"] == pytest.approx(data["core_power_nw"]["mean"])


def test_the_mean_of_runs_is_the_estimate_of_the_joined_run():
    net = random_network(5)
    features = random_features(net, 30)
    whole = net.run(features)
    stream = net.stream()
    parts = [power.estimate(net, stream.advance(part)) for part in (features[:7], features[7:])]
    joined = mean(parts)
    estimate = power.estimate(net, whole)
    assert joined.frames == 30
    assert joined.core_nw == pytest.approx(estimate.core_nw, rel=1e-12)
    assert joined.classifier_nw == pytest.approx(estimate.classifier_nw, rel=1e-12)
    assert mean([estimate]).core_nw == pytest.approx(estimate.core_nw, rel=1e-12)
    with pytest.raises(ParameterError, match="mean"):
        mean([])
    other = random_network(5, cells=(3, 4))
    with pytest.raises(ParameterError, match="mean"):
        mean([estimate, power.estimate(other, other.run(features))])
