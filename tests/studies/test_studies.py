"""Studies of virtual chips: ideal chips are the exact model, and workers change no number."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kws_stream import packs, power, studies
from kws_stream.bmru.chip import ChipSettings, simulate
from kws_stream.errors import DataError, ParameterError, TaskError
from kws_stream.evaluation import Clip, score_clips
from kws_stream.evaluation.speech_commands import select
from kws_stream.packs import Pack
from kws_stream.studies.clips import Utterances, load_utterances
from kws_stream.studies.noise import BlockErrors, NoiseStudy
from kws_stream.studies.scaling import Size, _exponent
from kws_stream.studies.simulation import exact, joined, listen, scores, tasks_of
from kws_stream.workers import Workers
from tests.clip_folders import build_words
from tests.pack_factory import build_pack

NOISY = ChipSettings(mismatch_percent=10, candidate_noise_na=0.02)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_words(tmp_path_factory.mktemp("data") / "words")


def test_packaged_clips_are_504_words_and_silences_with_every_command() -> None:
    labels = json.loads(studies.clips.PACKAGED.with_suffix(".json").read_text("utf-8"))
    counts = {word: labels["words"].count(word) for word in set(labels["words"])}
    assert len(labels["words"]) == 504
    assert counts["yes"] == counts["_silence_"] == 72
    assert all(counts[word] == 32 for word in studies.clips.COMMANDS if word != "yes")
    assert studies.clips.PACKAGED.stat().st_size < 1_000_000


def test_clips_of_a_folder_are_scored_as_evaluate_scores_them(pack: Pack, words: Path) -> None:
    heard = load_utterances(pack, words, clips=None, seed=5)
    clips: tuple[Clip, ...] = select(words, "yes", "validation", 5).clips
    called = [score.called for score in score_clips(pack, clips, jobs=1)]
    order = np.random.default_rng([5, 3]).permutation(len(clips))
    assert [pack.classes[row] for row in heard.labels] == [clips[row].label for row in order]
    nominal = exact(pack, heard).called[0]
    assert [pack.classes[row] for row in nominal] == [called[row] for row in order]


def test_fewer_clips_of_a_folder_have_equal_shares_of_the_classes(pack: Pack, words: Path) -> None:
    heard = load_utterances(pack, words, clips=6)
    assert np.bincount(heard.labels).tolist() == [3, 3]


def test_features_lose_nothing_in_float32(pack: Pack, utterances: Utterances) -> None:
    assert utterances.features.dtype == np.float32
    grid = pack.network.parameters.input_grid
    assert grid is not None
    steps = utterances.features.astype(np.float64) / grid.step
    assert (steps == np.rint(steps)).all()


@pytest.mark.parametrize("name", ["yes-4", "commands-12"])
def test_ideal_chips_call_every_clip_as_the_exact_network(name: str) -> None:
    pack = packs.load(name)
    heard = load_utterances(pack, clips=12)
    ideal = joined(listen(pack, heard, tasks_of(ChipSettings(), 3)))
    nominal = exact(pack, heard)
    assert np.array_equal(ideal.called, nominal.called)
    assert np.array_equal(ideal.frames, nominal.frames)


def test_the_same_numbers_for_1_2_and_7_workers(pack: Pack, utterances: Utterances) -> None:
    few = utterances.first(6)

    def study(jobs: int) -> list[dict[str, Any]]:
        with Workers(jobs) as workers:
            one = studies.montecarlo(pack, few, NOISY, 120, seed=4, workers=workers).as_dict()
            two = studies.noise(pack, few, NOISY, levels=[0.01, 0.1], workers=workers).as_dict()
        return [one, two]

    first = study(1)
    assert first[0]["frame_flips"]["std"] > 0
    assert study(2) == first
    assert study(7) == first


def test_montecarlo_of_the_ideal_chip_is_the_exact_accuracy(
    pack: Pack, utterances: Utterances
) -> None:
    figures = studies.montecarlo(pack, utterances, ChipSettings(), 100).as_dict()
    assert figures["accuracies"] == [figures["exact"]]
    assert figures["flips"]["max"] == figures["frame_flips"]["max"] == 0
    assert figures["extrapolations"] == []


def test_yield_is_the_share_of_chips_that_reach_the_accuracy(
    pack: Pack, utterances: Utterances
) -> None:
    study = studies.montecarlo(pack, utterances, NOISY, 60, wanted=0.85)
    figures = study.as_dict()
    good = np.mean(np.array(figures["accuracies"]) >= 0.85)
    assert figures["yield"][0]["accuracy"] == 0.85
    assert figures["yield"][0]["share"] == good
    low, high = figures["yield"][0]["interval"]
    assert low < good < high or good in (0, 1)
    assert study.share_above(0.0)[0] == 1


def test_more_chips_of_a_seed_contain_the_fewer(pack: Pack, utterances: Utterances) -> None:
    few = utterances.first(8)
    many = studies.montecarlo(pack, few, NOISY, 70).frame_flips
    assert np.array_equal(studies.montecarlo(pack, few, NOISY, 60).frame_flips, many[:60])
    assert not np.array_equal(
        studies.montecarlo(pack, few, NOISY, 60, seed=1).frame_flips, many[:60]
    )


def test_scores_are_accuracy_and_mean_recall(utterances: Utterances) -> None:
    labelled = replace(utterances, labels=np.array([0, 0, 0, 1]), features=utterances.features[:4])
    figures = scores(np.array([[0, 0, 1, 1]], np.int16), labelled)
    assert figures["accuracy"].tolist() == [0.75]
    assert figures["balanced_accuracy"] == pytest.approx([(2 / 3 + 1) / 2])


def test_levels_beyond_what_is_known_are_named(pack: Pack, utterances: Utterances) -> None:
    few = utterances.first(2)
    within = studies.noise(pack, few, ChipSettings(), "mismatch", [15.0], draws=1)
    beyond = studies.noise(pack, few, ChipSettings(), "mismatch", [15.0, 30.0], draws=1)
    assert within.head["extrapolations"] == []
    assert "mismatch_percent = 30" in beyond.head["extrapolations"][0]


def test_noise_of_the_ideal_chip_has_no_error(pack: Pack, utterances: Utterances) -> None:
    study = studies.noise(pack, utterances.first(5), ChipSettings(), levels=[0.0])
    for row in (*study.rows, *study.overall):
        assert (row.candidate_na, row.state_na, row.bits_agree) == (0, 0, 1)
        assert row.factor is row.interval is None


@pytest.mark.parametrize("source", ["noise", "mismatch"])
def test_noise_factor_is_the_ratio_of_errors_and_lies_in_its_interval(source: str) -> None:
    of_two_blocks = packs.load("yes-8")
    utterances = load_utterances(of_two_blocks, clips=12)
    study = studies.noise(of_two_blocks, utterances, ChipSettings(), source)
    assert len(study.overall) == len(study.levels) == len(study.rows) / 2
    errors = [row.candidate_na for row in study.overall]
    assert errors == sorted(errors)
    for row in (*study.rows, *study.overall):
        if row.factor is not None:
            assert row.factor == row.candidate_na / row.state_na
            assert row.interval is not None
            assert row.interval[0] <= row.factor
            assert row.interval[1] is None or row.factor <= row.interval[1]
    assert "suppression" in study.verdict.lower() or "no state differs" in study.verdict


def test_the_published_question_is_asked_of_the_typical_circuit_at_every_unit_current(
    pack: Pack, utterances: Utterances
) -> None:
    few = utterances.first(6)
    study = studies.noise(pack, few, ChipSettings.typical(), "circuit", [1.0, 4.0])
    assert [row.level for row in study.overall] == [1.0, 4.0]
    chip = ChipSettings.typical(unit_na=4.0, frame_s=few.frame_s)
    errors = []
    for clip in range(len(few)):
        frames = few.frames_of(clip)
        ideal, real = pack.network.run(frames), simulate(pack.network, frames, chip)
        wires = zip(
            (real.candidates[0], real.states[0]),
            (ideal.candidates[0], ideal.states[0]),
            strict=True,
        )
        errors.append([4.0 * np.abs(one - other).mean() for one, other in wires])
    candidate, state = np.mean(errors, axis=0)
    assert study.overall[1].factor == pytest.approx(candidate / state)
    ideal_study = studies.noise(pack, few, ChipSettings(), "circuit")
    assert all(row.factor is None for row in ideal_study.overall)


def test_a_model_of_a_wake_phrase_has_currents_if_no_words() -> None:
    pack = packs.load("hey-computer")
    heard = load_utterances(pack, clips=2, need_a_word=False)
    study = studies.noise(pack, heard, ChipSettings(), levels=[0.1], draws=1)
    assert len(study.rows) == len(pack.network.parameters.blocks)
    with pytest.raises(TaskError, match="hey_computer"):
        load_utterances(pack, clips=2)


@pytest.mark.parametrize(
    ("lows", "said"),
    [
        ([20.0, 25.0], "at every level: it is 25 to 30."),
        ([20.0, 19.0], "at 1 of 2"),
        ([2.0, 19.0], "not shown for this model: it is 7 to 24."),
        ([2.0, 9.0], "contradicted for this model: it is 7 to 14."),
        ([2.0, 2.0], "contradicted for this model: it is 7."),
    ],
)
def test_a_suppression_is_shown_where_its_whole_interval_is_above_the_claim(
    lows: list[float], said: str
) -> None:
    rows = tuple(BlockErrors(-1, 1.0, 1.0, 1.0, 1.0, low + 5, (low, None)) for low in lows)
    assert said in NoiseStudy({"source": "noise"}, (1.0, 2.0), (), rows).verdict


def test_one_clip_has_a_factor_and_no_interval(pack: Pack, utterances: Utterances) -> None:
    one, two = (
        studies.noise(pack, utterances.first(count), ChipSettings(), levels=[0.1])
        for count in (1, 2)
    )
    assert one.overall[0].factor is not None
    assert (one.overall[0].interval, one.as_dict()["overall"][0]["interval"]) == (None, None)
    assert two.overall[0].interval is not None


def test_candidate_error_of_the_first_block_is_the_noise_itself(
    pack: Pack, utterances: Utterances
) -> None:
    """Mean of |normal| is sqrt(2/pi) sigma where a candidate is above 0, and 0 where it is cut."""
    few = utterances.first(12)
    study = studies.noise(pack, few, ChipSettings(), levels=[1e-4])
    traces = [pack.network.run(few.frames_of(clip)) for clip in range(len(few))]
    share = np.mean([trace.candidates[0] > 0 for trace in traces])
    whole = 1e-4 * np.sqrt(2 / np.pi)
    assert 0.9 * share * whole < study.rows[0].candidate_na < 1.1 * whole


def test_what_makes_no_study_is_refused(pack: Pack, utterances: Utterances, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="chips"):
        studies.montecarlo(pack, utterances, NOISY, 0)
    with pytest.raises(ParameterError, match="wanted"):
        studies.montecarlo(pack, utterances, NOISY, 1, wanted=2)
    with pytest.raises(ParameterError, match="draws"):
        studies.noise(pack, utterances, NOISY, draws=0)
    with pytest.raises(ParameterError, match="source"):
        studies.noise(pack, utterances, NOISY, "hum")
    with pytest.raises(ParameterError, match="candidate_noise_na"):
        studies.noise(pack, utterances, NOISY, levels=[-1.0])
    with pytest.raises(ParameterError, match="clips"):
        load_utterances(pack, clips=0)
    with pytest.raises(DataError):
        load_utterances(pack, tmp_path)
    other = build_pack(tmp_path / "hey", classes=("hey", "other"), keywords=("hey",))
    with pytest.raises(TaskError, match="hey"):
        load_utterances(packs.load(other))


def test_pvt_of_the_ideal_chip_is_exact_at_nominal_conditions(
    pack: Pack, utterances: Utterances
) -> None:
    study = studies.pvt(pack, utterances, ChipSettings(), corners=["tt", "ff"])
    nominal = study.at(corner="tt", supply_v=1.8, temperature_c=27.0)
    assert nominal.accuracies.tolist() == [study.exact]
    traces = [pack.network.run(utterances.frames_of(clip)) for clip in range(len(utterances))]
    core = np.mean([power.estimate(pack.network, trace).core_nw for trace in traces])
    assert nominal.core_nw == pytest.approx(core)
    assert any("corner = ff" in note for note in study.head["extrapolations"])
    high = study.at(corner="tt", supply_v=1.98, temperature_c=27.0)
    assert high.core_nw > nominal.core_nw


def test_quantise_in_the_bits_of_the_pack_is_exact(pack: Pack, utterances: Utterances) -> None:
    study = studies.quantise(
        pack, utterances, ChipSettings(), weight_bits=[2, 12, 0], bias_bits=[12, 0]
    )
    for bits in (12, 0):
        for biases in (12, 0):
            one = study.at(weight_bits=bits, bias_bits=biases)
            assert one.accuracies.tolist() == [study.exact]
    few, all_bits = (study.at(weight_bits=bits, bias_bits=0) for bits in (2, 0))
    assert few.core_nw != all_bits.core_nw


def test_a_requantised_pack_is_the_quantised_chip(
    pack: Pack, utterances: Utterances, tmp_path: Path
) -> None:
    made = packs.load(studies.requantised_pack(pack, tmp_path / "yes-4-5bit", 5, 6))
    assert made.network.exactness.exact
    chip = tasks_of(ChipSettings(weight_bits=5, bias_bits=6), 1)
    quantised = joined(listen(pack, utterances, chip))
    assert np.array_equal(exact(made, utterances).called, quantised.called)
    assert made.name == "yes-4-5bit"
    assert made.manifest["metrics"] == {}


def test_lower_states_are_the_same_network_with_smaller_state_errors(
    pack: Pack, utterances: Utterances, tmp_path: Path
) -> None:
    few = utterances.first(10)
    study = studies.frontier([(pack, few)], ChipSettings(), [1, 16], 1)
    whole, low = study.rows
    assert whole.accuracy == low.accuracy == whole.exact  # of the ideal chip
    assert whole.suppression is not None
    assert low.suppression == pytest.approx(16 * whole.suppression)
    assert low.bits_agree == whole.bits_agree < 1
    assert low.state_na == whole.state_na / 16
    assert low.core_nw < whole.core_nw
    assert low.widest_um > 15 * whole.widest_um
    made = packs.load(studies.lowered_pack(pack, tmp_path / "low", 16))
    assert made.network.exactness.exact
    for clip in range(3):
        one, other = (p.network.run(few.frames_of(clip)) for p in (pack, made))
        assert np.array_equal(one.logits, other.logits)
        assert np.array_equal(one.states[0], 16 * other.states[0])
    with pytest.raises(ParameterError, match="power of two"):
        studies.frontier([(pack, few)], ChipSettings(), [3])


def test_scaling_counts_linear_cells_and_quadratic_mirrors(
    pack: Pack, utterances: Utterances
) -> None:
    large = packs.load("commands-12")
    heard = [(pack, utterances.first(5)), (large, load_utterances(large, clips=5))]
    study = studies.scaling(heard)
    widths = [
        round(np.mean([block.cells for block in one.network.parameters.blocks])) for one, _ in heard
    ]
    beyond = [d for d in (128, 256, 512, 1024) if d > max(widths)]
    assert [size.d for size in study.sizes] == [*widths, *beyond]
    found = study.exponents
    assert found["cells_nw_counted"] is not None
    assert found["cells_nw_counted"].value == pytest.approx(1)
    assert found["feedforward_nw_counted"] is not None
    assert found["feedforward_nw_counted"].value == pytest.approx(2, abs=0.01)
    small, wide = study.sizes[:2]
    trained = found["cells_nw_trained"]
    assert trained is not None
    grown = np.log(wide.cells_nw / small.cells_nw) / np.log(wide.d / small.d)
    assert trained.value == pytest.approx(grown)
    assert small.parameters == pack.network.parameters.parameter_count
    with pytest.raises(ParameterError, match="two sizes"):
        studies.scaling(heard[:1])


def test_an_exponent_is_found_again() -> None:
    sizes = [Size("", d, 2, 0, 0.0, 3.0 * d**1.25, 1.0, None, True) for d in (4, 8, 16, 32, 64)]
    found = _exponent(sizes, "cells_nw")
    assert found is not None
    assert (found.value, found.error) == (pytest.approx(1.25), pytest.approx(0, abs=1e-9))
