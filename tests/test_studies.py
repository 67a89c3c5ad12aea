"""Studies of virtual chips: ideal chips are the exact model, and workers change no number."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kws_stream import packs, studies
from kws_stream.bmru.chip import ChipSettings
from kws_stream.cli import main
from kws_stream.errors import DataError, ParameterError, TaskError
from kws_stream.evaluation import Clip, score_clips
from kws_stream.evaluation.speech_commands import select
from kws_stream.packs import Pack
from kws_stream.studies.clips import Utterances, load_utterances
from kws_stream.studies.simulation import exact, joined, listen, scores, tasks_of
from kws_stream.workers import Workers
from tests.clip_folders import build_words
from tests.pack_factory import build_pack

NOISY = ChipSettings(mismatch_percent=10, candidate_noise_na=0.02)


@pytest.fixture(scope="module")
def pack() -> Pack:
    return packs.load("yes-4")


@pytest.fixture(scope="module")
def utterances(pack: Pack) -> Utterances:
    return load_utterances(pack, clips=40)


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
    assert first[0]["accuracy"]["std"] > 0
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
    many = studies.montecarlo(pack, few, NOISY, 70).accuracies
    assert np.array_equal(studies.montecarlo(pack, few, NOISY, 60).accuracies, many[:60])
    assert not np.array_equal(
        studies.montecarlo(pack, few, NOISY, 60, seed=1).accuracies, many[:60]
    )


def test_scores_are_accuracy_and_mean_recall(utterances: Utterances) -> None:
    labelled = replace(utterances, labels=np.array([0, 0, 0, 1]), features=utterances.features[:4])
    figures = scores(np.array([[0, 0, 1, 1]], np.int16), labelled)
    assert figures["accuracy"].tolist() == [0.75]
    assert figures["balanced_accuracy"] == pytest.approx([(2 / 3 + 1) / 2])


def test_noise_of_the_ideal_chip_has_no_error(pack: Pack, utterances: Utterances) -> None:
    study = studies.noise(pack, utterances.first(5), ChipSettings(), levels=[0.0])
    for row in (*study.rows, *study.overall):
        assert (row.candidate_na, row.state_na, row.bits_agree) == (0, 0, 1)
        assert row.factor is row.interval is None


@pytest.mark.parametrize("source", ["noise", "mismatch"])
def test_noise_factor_is_the_ratio_of_errors_and_lies_in_its_interval(
    pack: Pack, utterances: Utterances, source: str
) -> None:
    study = studies.noise(pack, utterances.first(12), ChipSettings(), source)
    assert len(study.overall) == len(study.levels) == len(study.rows) / 2
    errors = [row.candidate_na for row in study.overall]
    assert errors == sorted(errors)
    for row in (*study.rows, *study.overall):
        if row.factor is not None:
            assert row.factor == row.candidate_na / row.state_na
            assert row.interval is not None
            assert row.interval[0] <= row.factor
            assert row.interval[1] is None or row.factor <= row.interval[1]
    assert "suppression" in study.verdict


def test_candidate_error_of_the_first_block_is_the_noise_itself(
    pack: Pack, utterances: Utterances
) -> None:
    """Mean of |normal| is sqrt(2/pi) sigma; less where the candidate is near 0 and cut."""
    study = studies.noise(pack, utterances.first(12), ChipSettings(), levels=[1e-4])
    assert study.rows[0].candidate_na == pytest.approx(1e-4 * np.sqrt(2 / np.pi), rel=0.15)


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


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["chip", *arguments])


STUDIES = {
    "montecarlo": ["--chips", "20"],
    "noise": ["--draws", "2", "--level", "0.05"],
}


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_writes_table_json_and_figure(study: str, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"study.{kind}" for kind in ("json", "png")}
    where = ["--json", str(files["json"]), "--plot", str(files["png"])]
    done = run(study, "--clips", "12", "--jobs", "1", *STUDIES[study], *where)
    assert done.exit_code == 0, done.output
    assert "yes-4" in done.output
    figures = json.loads(files["json"].read_text("utf-8"))
    assert (figures["study"], figures["model"], figures["clips"]) == (study, "yes-4", 12)
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    printed = run(study, "--clips", "12", "--jobs", "1", *STUDIES[study], "--json", "-")
    assert json.loads(printed.stdout) == figures


def test_settings_are_listed_and_can_be_given_as_file_and_option(tmp_path: Path) -> None:
    listed = run("settings")
    assert all(row["name"] in listed.output for row in ChipSettings.table())
    file = tmp_path / "chip.json"
    file.write_text('{"unit_na": 2, "transfer": true}', "utf-8")
    given = run("settings", "--json", "--settings", str(file), "--set", "unit_na=3")
    assert json.loads(given.stdout) == ChipSettings(unit_na=3, transfer=True).as_dict()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["montecarlo", "--set", "volume=11"], 1, "volume"),
        (["montecarlo", "--set", "unit_na=-1"], 1, "unit_na"),
        (["montecarlo", "--set", "unit_na"], 2, "NAME=VALUE"),
        (["montecarlo", "--settings", "missing.json"], 1, "missing.json"),
        (["montecarlo", "--data", "missing"], 1, "missing"),
        (["montecarlo", "-m", "nothing"], 1, "nothing"),
        (["montecarlo", "--plot", "figure.txt"], 2, ".png"),
        (["montecarlo", "--jobs", "2", "--cluster", "tcp://x:1"], 2, "--cluster"),
        (["noise", "--level", "99"], 1, "candidate_noise_na"),
    ],
)
def test_wrong_use_is_one_sentence(arguments: list[str], code: int, said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == code
    assert said in done.output
    assert "Traceback" not in done.output
