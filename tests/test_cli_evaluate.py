"""`evaluate`: the table, the JSON file, and wrong use."""

import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import evaluation
from kws_stream.cli import main
from kws_stream.cli.evaluate_table import table
from kws_stream.evaluation.speech_commands import TASKS
from tests.pack_factory import build_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    path = tmp_path_factory.mktemp("packs") / "tiny"
    return build_pack(path, graphs=False, classes=("yes", "other"), keywords=("yes",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An official test set in little, so that every clip counts."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for word in ("yes", "no", "up", "down", "left", "right", "_silence_", "_unknown_"):
        (root / word).mkdir()
        for name in ("a", "b"):
            sound = 0.1 * rng.standard_normal(16_000)
            soundfile.write(root / word / f"{name}_nohash_0.wav", sound, 16_000)
    return root


def run(*words):
    result = CliRunner().invoke(main, ["evaluate", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_json_file_holds_the_figures_of_the_library(pack, folder, tmp_path):
    file = tmp_path / "figures.json"
    file.write_text("old")
    words = (folder, "--task", "yes", "-m", pack, "--jobs", "1")
    result = run(*words, "--json-file", file)
    assert result.exit_code == 0
    expected = evaluation.evaluate(folder, "yes", "validation", pack, 1, 0, False, None)
    assert json.loads(file.read_text("utf-8")) == json.loads(json.dumps(expected.as_dict()))
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert result.stdout == table(expected) + "\n"
    assert json.loads(run(*words, "--json").stdout) == expected.as_dict() | {
        "classes": ["yes", "other"]
    }


def test_the_csv_file_holds_the_rows_of_the_library(pack, folder, tmp_path):
    file = tmp_path / "clips.csv"
    words = (folder, "--task", "yes", "-m", pack, "--jobs", "1")
    assert run(*words, "--csv", file).exit_code == 0
    expected = evaluation.clip_table(evaluation.evaluate_clips(folder, "yes", model=pack, jobs=1))
    assert file.read_bytes().decode() == expected
    assert run(*words, "--csv", "-").stdout == expected


def test_noise_and_streaming_are_told_where_they_are_asked_for(pack, folder, tmp_path):
    noise = tmp_path / "noise"
    noise.mkdir()
    soundfile.write(
        noise / "hiss.wav", 0.1 * np.random.default_rng(1).standard_normal(40_000), 16_000
    )
    words = (folder, "--task", "yes", "-m", pack, "--jobs", "1")
    result = run(
        *words, "--snr", "--noise", noise, "--check-streaming", "--json-file", tmp_path / "j"
    )
    assert "in noise, at an SNR of      clean    20 dB    10 dB     5 dB     0 dB" in result.stdout
    assert "14 of 14 clips have the same score in every bit" in result.stdout
    figures = json.loads((tmp_path / "j").read_text("utf-8"))
    assert list(figures["accuracy_by_snr"]) == ["clean", "20", "10", "5", "0"]
    assert figures["same_when_streamed"] == 14


def test_noise_that_is_missing_is_said_before_the_work(pack, folder):
    result = run(folder, "--task", "yes", "-m", pack, "--snr")
    assert result.exit_code == 1
    assert "_background_noise_: need a folder with recordings of noise" in result.stderr
    assert "--noise" in result.stderr


@pytest.mark.parametrize(
    "options", [("--json", "--csv", "-"), ("--noise", "."), ("--csv", "missing/file.csv")]
)
def test_options_that_do_not_go_together_are_wrong_usage(pack, folder, options):
    assert run(folder, "--task", "yes", "-m", pack, *options).exit_code == 2


def test_a_yes_model_asked_for_twelve_classes_is_wrong_usage(pack, folder):
    result = run(folder, "--task", "v2-12", "-m", pack)
    assert result.exit_code == 2
    assert "choose another model or task" in result.stderr


def test_a_folder_without_the_data_is_a_sentence(pack, tmp_path):
    result = run(tmp_path, "--task", "yes", "-m", pack)
    assert result.exit_code == 1
    assert result.stderr.startswith("kws-stream: error: ")


def test_an_official_test_set_is_called_one_whatever_split_was_asked_for(pack, folder):
    words = (folder, "--task", "yes", "-m", pack, "--jobs", "1")
    for split in ("testing", "validation"):
        result = run(*words, "--split", split)
        assert "on task yes, the official test set: 14 clips" in result.stdout
        assert "split all" not in result.stdout
        assert ("no validation split" in result.stderr) == (split == "validation")
    assert "split" not in run(*words).stderr


@pytest.mark.parametrize("task", ["yes", "v2-12", "v2-35"])
def test_the_table_fits_80_columns(task):
    classes = TASKS[task]
    n = len(classes)
    result = evaluation.Result(
        clips=4890,
        accuracy=0.9512,
        balanced_accuracy=0.9444,
        classes=classes,
        per_class_recall=dict.fromkeys(classes[:-1], 1.0) | {classes[-1]: None},
        confusion=[[4000 if i == j else i for j in range(n)] for i in range(n)],
        core_power_nw={"mean": 1234.5, "min": 900.0, "max": 2345.6},
        model="commands-12",
        task=task,
        seed=0,
        split="testing",
        carry=True,
        interval=(0.945, 0.957),
        eight_words=0.96,
        per_class_precision=dict.fromkeys(classes[1:], 1.0) | {classes[0]: None},
        notes=("something was missing",),
        accuracy_by_snr={"clean": 0.9512, "20": 1.0, "10": 0.8, "5": 0.7, "0": 0.5},
        balanced_accuracy_by_snr={"clean": 0.9444, "20": 1.0, "10": 0.8, "5": 0.7, "0": 0.5},
        same_when_streamed=4890,
    )
    text = table(result)
    assert max(map(len, text.splitlines())) <= 80
    for words in ("95.12 %", "94.50 to 95.70", "94.44 %", "1234.5 nW", "Note: something"):
        assert words in text
    for row, name in enumerate(classes):
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name:<9}"))
        if n <= 12:
            edge = line.index("4000") + 4  # the name ends, whole, where the counts of its column do
            heads = text.splitlines()[: text.splitlines().index(line)]
            assert any(head[:edge].endswith(f" {name}") for head in heads)
        if n > 12:
            assert int(line.split()[1]) == sum(result.confusion[row])
            continue
        counts = line.split()[1:-1]
        assert [0 if c == "." else int(c) for c in counts] == result.confusion[row]
