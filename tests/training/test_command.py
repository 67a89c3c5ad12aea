"""`kws-stream train`: recipe and recordings in, pack out."""

import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from safetensors.torch import load_file  # noqa: E402

from kws_stream import packs  # noqa: E402
from kws_stream.cli import main  # noqa: E402
from kws_stream.errors import DataError  # noqa: E402
from kws_stream.evaluation.speech_commands import split_of  # noqa: E402
from kws_stream.features import FeatureSettings  # noqa: E402
from kws_stream.training.corpus import Corpus  # noqa: E402
from kws_stream.training.stages import stages_from_toml  # noqa: E402

ROOT = Path(__file__).parents[2]
TINY_RECIPE = """
name = "tiny"
task = "TASK"
steps = 4
batch_size = 4
[features]
hops_per_frame = 2
"""


@pytest.mark.parametrize(("task", "figure"), [("yes", "balanced_accuracy"), ("v2-35", "accuracy")])
def test_the_command_trains_a_pack_that_hears_and_resumes(
    task: str, figure: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_RECIPE.replace("TASK", task))
    words = ["train", "tiny.toml", "--data", str(data), "--output", "pack", "--threads", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert f"{figure}_carried: " in done.stdout
    assert Path("runs/tiny/curves.png").exists()
    pack = packs.load("pack")
    assert pack.manifest["metrics"][figure]["command"].startswith("kws-stream evaluate")
    first = Path("pack/network.npz").read_bytes()
    again = CliRunner().invoke(main, [*words, "--resume"])
    assert again.exit_code == 0, again.output
    assert "resumed at step 4" in again.stderr
    assert Path("pack/network.npz").read_bytes() == first


def test_the_documented_function_trains_a_pack_from_python(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_RECIPE.replace("TASK", "yes"))
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    (shown,) = re.findall(r"^```python\n([^`]*def train_model.*?)^```", page, re.M | re.S)
    names: dict[str, Any] = {}
    exec(shown, names)
    figures = names["train_model"]("tiny.toml", str(data), "pack")
    written = packs.load("pack").manifest["metrics"]
    assert figures == {name: metric["value"] for name, metric in written.items()}
    assert 0 <= figures["balanced_accuracy"] <= 1


STAGES = """
[[stage]]
name = "first"
[[stage]]
name = "other"
extends = "first"
init_from = "first"
seed = 5
learning_rate = 0.0
[[stage]]
name = "mean"
init_from = ["first", "other"]
steps = 0
"""


def test_one_command_trains_all_stages_each_from_what_it_begins_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_RECIPE.replace("TASK", "yes") + STAGES)
    words = ["train", "tiny.toml", "--data", str(data), "--threads", "1", "--output", "pack"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    names = ("first", "other", "mean")
    first, other, mean = (load_file(f"runs/tiny/{n}/checkpoint.safetensors") for n in names)
    # AdamW has no rate in the second: what it holds is the first one's
    name = "network.classifier.weight"
    assert torch.equal(first[name], other[name])
    name = "network.pre.weight"
    assert not torch.equal(first[name], other[name])
    torch.testing.assert_close(mean[name], (first[name] + other[name]) / 2)
    written = Path("pack/network.npz").read_bytes()
    Path("runs/tiny/mean/checkpoint.safetensors").unlink()
    again = CliRunner().invoke(main, [*words, "--resume"])
    assert again.exit_code == 0, again.output
    assert again.stderr.count("resumed at step 4") == 2
    assert Path("pack/network.npz").read_bytes() == written


STALE = """
[[stage]]
name = "first"
seed = 1
[[stage]]
name = "second"
seed = 2
"""


def test_a_stage_is_not_resumed_from_before_the_stage_that_it_begins_with_was_trained_anew(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "tiny.toml", "--data", str(data), "--threads", "1", "--output", "pack"]
    recipe = TINY_RECIPE.replace("TASK", "yes") + STALE
    Path("tiny.toml").write_text(recipe)
    assert CliRunner().invoke(main, words).exit_code == 0
    before = Path("pack/network.npz").read_bytes()
    Path("tiny.toml").write_text(recipe.replace("seed = 1", "seed = 9"))
    again = CliRunner().invoke(main, [*words, "--resume"])
    assert again.exit_code == 0, again.output
    for stage in ("first", "second"):
        assert f"the checkpoint in runs/tiny/{stage} is of other settings, or be" in again.stderr
    resumed = Path("pack/network.npz").read_bytes()
    assert resumed != before
    unbroken = CliRunner().invoke(main, [*words, "--run", "runs/unbroken"])
    assert unbroken.exit_code == 0, unbroken.output
    assert Path("pack/network.npz").read_bytes() == resumed
    # what is not named now is taken as it was
    alone = ["--run", "runs/alone"]
    Path("tiny.toml").write_text(TINY_RECIPE.replace("TASK", "yes"))
    start = ["--start-from", "runs/unbroken/first"]
    assert CliRunner().invoke(main, [*words, *alone, *start]).exit_code == 0
    shutil.copytree("pack", "other")
    for options, said in (
        ([], "resumed at step 4"),
        (["--start-from", "other"], "began with another network: from step 0"),
        (["--start-from", "other"], "resumed at step 4"),
    ):
        result = CliRunner().invoke(main, [*words, *alone, *options, "--resume"])
        assert said in result.stderr, (options, result.stderr)


def test_start_from_trains_the_last_stage_alone_and_from_stage_those_that_follow(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_RECIPE.replace("TASK", "yes") + STAGES)
    words = ["train", "tiny.toml", "--data", str(data), "--threads", "1", "--output", "pack"]
    early = CliRunner().invoke(main, [*words, "--from-stage", "other"])
    assert early.exit_code == 1
    assert "first: need the folder of a model pack, or of a run" in early.stderr
    unknown = CliRunner().invoke(main, [*words, "--from-stage", "othr"])
    assert unknown.exit_code == 1
    assert "first, other, mean" in unknown.stderr
    assert CliRunner().invoke(main, words).exit_code == 0
    for stage in ("other", "mean"):
        Path(f"runs/tiny/{stage}/checkpoint.safetensors").unlink()
    on = CliRunner().invoke(main, [*words, "--from-stage", "other"])
    assert on.exit_code == 0, on.output
    alone = ["--start-from", "runs/tiny/first", "--run", "runs/alone"]
    last = CliRunner().invoke(main, [*words, *alone])
    assert last.exit_code == 0, last.output
    assert [path.name for path in Path("runs/alone").iterdir()] == ["mean"]
    name = "network.pre.weight"
    runs = [
        load_file(f"runs/{n}/checkpoint.safetensors")[name] for n in ("tiny/first", "alone/mean")
    ]
    assert torch.equal(*runs)


def test_show_prints_the_stages_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_RECIPE.replace("TASK", "yes") + STAGES)
    done = CliRunner().invoke(main, ["train", "tiny.toml", "--show"])
    assert done.exit_code == 0, done.output
    Path("shown.toml").write_text(done.stdout)
    assert stages_from_toml("shown.toml") == stages_from_toml("tiny.toml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shown.toml", "tiny.toml"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('steps = "abc"', "steps: need a whole number"),
        ("dropout = -3", "dropout: need a number >= 0"),
        ("learning_rate = nan", "learning_rate"),
        ("teacher_weight = 0.5", "learns from a teacher"),
    ],
)
def test_settings_are_checked_before_anything_is_read(tmp_path: Path, line: str, says: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'name = "x"\ntask = "yes"\n{line}')
    words = ["--data", str(tmp_path / "nowhere"), "--output", str(tmp_path / "pack")]
    done = CliRunner().invoke(main, ["train", str(recipe), *words])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert says in done.stderr


def test_the_command_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    words = ["--data", str(tmp_path), "--output", str(tmp_path / "pack")]
    recipe = tmp_path / "tiny.toml"
    missing = CliRunner().invoke(main, ["train", str(recipe), *words])
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)
    assert "need a recipe" in missing.stderr
    recipe.write_text(TINY_RECIPE.replace("TASK", "yes"))
    empty = CliRunner().invoke(main, ["train", str(recipe), *words])
    assert empty.exit_code == 1
    assert "need a folder speech_commands" in empty.stderr
    assert not (tmp_path / "pack").exists()


def test_a_classifier_alone_needs_a_network_to_begin_with(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "x"\ntask = "yes"\nclassifier_alone = true')
    out, run = str(tmp_path / "out"), str(tmp_path / "run")
    done = CliRunner().invoke(
        main, ["train", str(recipe), "--data", str(data), "--output", out, "--run", run]
    )
    assert done.exit_code == 1
    assert "--start-from" in done.output


def test_a_gpu_that_is_not_there_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "tiny.toml").write_text(TINY_RECIPE.replace("TASK", "yes"))
    words = [str(tmp_path / "tiny.toml"), "--data", str(data), "--output", str(tmp_path / "pack")]
    refused = CliRunner().invoke(main, ["train", *words, "--device", "cuda"])
    assert refused.exit_code == 1
    assert (
        "need a GPU and a build of PyTorch for it with --device cuda, found none" in refused.stderr
    )
    assert not (tmp_path / "pack").exists()


def test_a_folder_without_speech_commands_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="speech_commands"):
        Corpus.from_folders(tmp_path, None, FeatureSettings(), tmp_path / "cache")


def test_recordings_of_other_splits_are_not_trained_on(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "speech_commands" / "yes", tmp_path / "speech_commands" / "yes")
    load = partial(Corpus.from_folders, tmp_path, None, FeatureSettings())
    names = [f"n{i}.wav" for i in range(40)]
    held_out = next(name for name in names if split_of(name) != "training")
    heard = next(name for name in names if split_of(name) == "training")
    noise = tmp_path / "noise"
    noise.mkdir()
    for name in (heard, held_out):
        shutil.copy(data / "speech_commands" / "_background_noise_" / "hiss.wav", noise / name)
    alone = load(tmp_path / "cache", jobs=1).streams["noise"]
    (noise / held_out).unlink()
    assert np.array_equal(alone, load(tmp_path / "cache", jobs=1).streams["noise"])


def test_clips_without_any_noise_are_refused(data: Path, tmp_path: Path) -> None:
    words = tmp_path / "speech_commands"
    words.mkdir()
    with pytest.raises(DataError, match="clips"):
        Corpus.from_folders(tmp_path, None, FeatureSettings(), tmp_path / "cache", jobs=1)
    shutil.copytree(data / "speech_commands" / "yes", words / "yes")
    with pytest.raises(DataError, match="noise"):
        Corpus.from_folders(tmp_path, None, FeatureSettings(), tmp_path / "cache", jobs=1)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"\0" * 4096, b"cut"])
def test_a_damaged_cache_is_made_anew(data: Path, tmp_path: Path, damage: bytes) -> None:
    load = partial(Corpus.from_folders, data, None, FeatureSettings(), tmp_path, jobs=1)
    whole = load()
    for path in tmp_path.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:5000] if damage == b"cut" else damage)
    again = load()
    for name, clips in whole.clips.items():
        assert np.array_equal(clips.envelopes, again.clips[name].envelopes)
    assert np.array_equal(whole.streams["noise"], again.streams["noise"])
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())


def test_reading_recordings_tells_how_far_it_is(data: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    Corpus.from_folders(
        *(data, None, FeatureSettings(), tmp_path),
        jobs=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(0, 120), (120, 120), (0, 1), (1, 1), (0, 1), (1, 1)]
