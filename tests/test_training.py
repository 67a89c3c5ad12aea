"""Training sees training speakers alone, learns, and can be resumed."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from safetensors.torch import load_file  # noqa: E402

from kws_stream import packs  # noqa: E402
from kws_stream.cli import main  # noqa: E402
from kws_stream.errors import DataError  # noqa: E402
from kws_stream.evaluation.speech_commands import split_of  # noqa: E402
from kws_stream.features import FeatureSettings, FrontEnd, build_bank  # noqa: E402
from kws_stream.parameters import NetworkParameters  # noqa: E402
from kws_stream.training.augment import add_noise, change_clips, condition, mask  # noqa: E402
from kws_stream.training.batches import Batches  # noqa: E402
from kws_stream.training.corpus import Corpus  # noqa: E402
from kws_stream.training.loop import Training, adjusted, sequence_loss  # noqa: E402
from kws_stream.training.packing import write_pack  # noqa: E402
from kws_stream.training.pruning import pruned  # noqa: E402
from kws_stream.training.recipe import Recipe  # noqa: E402
from kws_stream.training.sampling import Sampler, validation_clips  # noqa: E402
from kws_stream.training.teacher import new_teacher  # noqa: E402
from tests.recipe_factory import small_recipe  # noqa: E402


@pytest.mark.parametrize("hops", [1, 2])
def test_training_sees_the_features_of_the_front_end(hops: int) -> None:
    settings = FeatureSettings(hops_per_frame=hops)
    rng = np.random.default_rng(1)
    samples = (rng.standard_normal(160 * 50) * rng.uniform(0, 0.3, 8000)).astype(np.float32)
    bank = build_bank(settings)
    state = bank.start()
    envelopes = []
    padded = np.concatenate([[0.0], samples])  # the sample before the first
    for start in range(0, len(samples), bank.frame_samples):
        state = bank.step(padded[start : start + bank.frame_samples + 1], state)
        envelopes.append(state.envelope)
    # training keeps an envelope a hop, and reads the last of each frame
    batch = torch.from_numpy(np.repeat(envelopes, hops, axis=0))[None]
    conditioned = condition(batch, settings)[:, 0].numpy()
    assert np.array_equal(conditioned, FrontEnd(settings).process(samples))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few tones a word, by many speakers, and half a minute of noise."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def write(path: Path, seconds: float, tone_hz: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        time_s = np.arange(int(16_000 * seconds)) / 16_000
        sound = 0.3 * np.sin(2 * np.pi * tone_hz * time_s) * (tone_hz > 0)
        soundfile.write(path, sound + 0.01 * rng.standard_normal(len(time_s)), 16_000)

    for index, word in enumerate(("yes", "no", "up", "cat")):
        for speaker in range(30):
            name = f"{index}{speaker:07x}_nohash_0.wav"
            write(root / "speech_commands" / word / name, 0.6, 300.0 * 2**index)
    write(root / "speech_commands" / "_background_noise_" / "hiss.wav", 20, 0)
    write(root / "running_speech" / "talk" / "talk.wav", 10, 800)
    return root


@pytest.fixture(scope="module")
def corpus(data: Path) -> Corpus:
    return Corpus.from_folders(data, None, FeatureSettings(), data / "cache", jobs=1)


def test_clips_are_padded_and_keep_their_official_split(corpus: Corpus) -> None:
    clips = corpus.clips["speech_commands"]
    assert clips.envelopes.shape == (120, 100, 16)
    assert set(clips.splits) == {"training", "validation", "testing"}
    assert clips.words[0] == "cat"
    assert clips.splits[0] == split_of("30000000_nohash_0.wav")
    assert (clips.envelopes[:, :15].max(axis=(1, 2)) < 1e-6).all()  # 0.2 s before the sound


def test_sampler_draws_no_clip_of_validation_and_testing_speakers(corpus: Corpus) -> None:
    clips = corpus.clips["speech_commands"]
    training = {e.tobytes() for e in clips.envelopes[clips.splits == "training"]}
    sampler = Sampler(corpus, small_recipe(shares={"noise": 0.0, "running_speech": 0.0}))
    drawn, labels = sampler.draw(300, torch.Generator().manual_seed(0))
    assert {e.tobytes() for e in drawn.numpy()} <= training
    assert set(labels.tolist()) == {0, 1, 2, 10}  # yes, no, up, unknown


def test_a_limited_word_is_heard_that_often_and_a_word_left_out_never(corpus: Corpus) -> None:
    clips = corpus.clips["speech_commands"]
    word_of = {e.tobytes(): w for e, w in zip(clips.envelopes, clips.words, strict=True)}
    limits = {"yes": 3, "cat": 0}
    recipe = small_recipe(limits=limits, shares={"noise": 0.0, "running_speech": 0.0})
    drawn, _ = Sampler(corpus, recipe).draw(300, torch.Generator().manual_seed(0))
    heard = {e.tobytes() for e in drawn.numpy()}
    counts = {word: sum(word_of[e] == word for e in heard) for word in ("yes", "no", "cat")}
    assert counts["yes"] == 3
    assert counts["no"] > 10
    assert counts["cat"] == 0


@pytest.mark.parametrize("task", ["yes", "v2-12"])
def test_class_shares_are_how_often_each_class_is_drawn(corpus: Corpus, task: str) -> None:
    recipe = Recipe(name="t", task=task, shares={"running_speech": 2.0})
    sampler = Sampler(corpus, recipe)
    generator = torch.Generator().manual_seed(0)
    drawn = sampler.draw(20000, generator)[1]
    behind = sampler.background(40, 2, generator)[1].flatten()
    for share, labels in ((0.0, drawn), (1.0, behind)):
        counts = torch.bincount(labels, minlength=len(recipe.classes)) / len(labels)
        assert (sampler.class_shares(share) - counts).abs().max() < 0.01
    both = sampler.class_shares(0.25)
    expected = 0.75 * sampler.class_shares(0.0) + 0.25 * sampler.class_shares(1.0)
    assert torch.allclose(both, expected)


def test_validation_clips_are_those_of_validation_speakers(corpus: Corpus) -> None:
    clips = corpus.clips["speech_commands"]
    _, labels = validation_clips(corpus, small_recipe())
    assert len(labels) == (clips.splits == "validation").sum()
    _, labels = validation_clips(corpus, small_recipe(task="yes"))
    assert len(labels) == ((clips.splits == "validation") & (clips.words != "cat")).sum()


def test_all_words_are_trained_and_validated_on_words_alone(corpus: Corpus) -> None:
    recipe = small_recipe(task="v2-35")
    words = {recipe.classes.index(word) for word in ("yes", "no", "up", "cat")}
    sampler = Sampler(corpus, recipe)
    drawn, labels = sampler.draw(300, torch.Generator().manual_seed(0))
    assert set(labels.tolist()) == words
    clips = corpus.clips["speech_commands"]
    training = {e.tobytes() for e in clips.envelopes[clips.splits == "training"]}
    assert {e.tobytes() for e in drawn.numpy()} <= training
    assert len(sampler.background(2, 2, torch.Generator())[0]) == 0
    _, labels = validation_clips(corpus, recipe)
    assert len(labels) == (clips.splits == "validation").sum()
    assert set(labels.tolist()) == words


def test_augmentation_at_strength_zero_changes_nothing(corpus: Corpus) -> None:
    clips = torch.from_numpy(corpus.clips["speech_commands"].envelopes[:4])
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(change_clips(clips, 0.0, generator), clips, rtol=1e-5, atol=1e-9)


def test_masks_silence_one_stretch_and_one_band_and_nothing_else() -> None:
    clips = torch.rand(200, 100, 16, generator=torch.Generator().manual_seed(1)) + 1
    quiet = clips.flatten(1).sort(1).values[:, 159, None, None]
    assert torch.equal(mask(clips, 0.0, torch.Generator().manual_seed(0)), clips)
    masked = mask(clips, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(torch.where(masked == quiet, quiet, clips), masked)
    silent = masked == quiet
    hops, channels = silent.all(2).sum(1), silent.all(1).sum(1)
    assert sorted(set(hops.tolist())) == list(range(21))
    assert sorted(set(channels.tolist())) == list(range(4))
    expected = 100 * 16 - (100 - hops) * (16 - channels)
    by_itself = silent.sum((1, 2)) - expected  # the one value of a clip that is its quiet level
    assert set(by_itself.tolist()) == {0, 1}
    half = mask(clips, 0.5, torch.Generator().manual_seed(0)) != clips
    assert 60 < half.flatten(1).any(1).sum() < 140


def test_noise_only_adds_and_stays_under_its_loudest_level(corpus: Corpus) -> None:
    clips = torch.from_numpy(corpus.clips["speech_commands"].envelopes[:40])
    noise = torch.from_numpy(corpus.streams["noise"])
    noisy = add_noise(clips, noise, 1.0, torch.Generator().manual_seed(0))
    assert (noisy >= clips).all()
    added = (noisy.square() - clips.square()).mean((1, 2)).sqrt()
    peak = clips.flatten(1).quantile(0.98, dim=1)
    assert (added <= peak * 10 ** (-3 / 20) + 2e-3).all()
    assert (added > 0).all()


def test_as_many_sequences_have_noise_as_the_recipe_wants(corpus: Corpus) -> None:
    def heard(noise: float) -> torch.Tensor:
        recipe = small_recipe(sequences=40, augment=0.5, noise=noise)
        return Batches(corpus, recipe).draw(torch.Generator().manual_seed(0))[0]

    def noisy(noise: float) -> int:
        return int((heard(noise) != heard(0.0)).any(2).any(0).sum())

    assert noisy(2.9) == 40  # more than 0.7 * 0.5 * 2.857
    assert 7 <= noisy(1.0) <= 21


def test_loss_is_lowest_for_the_right_decision() -> None:
    recipe = small_recipe(label_smoothing=0.0)
    labels = torch.tensor([[0, 3], [11, 2]])

    def loss(classes: torch.Tensor) -> float:
        logits = torch.nn.functional.one_hot(classes.repeat_interleave(100, dim=1).t(), 12) * 8.0
        return float(sequence_loss(logits, labels, recipe))

    right = loss(labels)
    assert right < 0.05
    assert all(loss(torch.tensor(wrong)) > 1 for wrong in ([[1, 3], [11, 2]], [[0, 3], [2, 11]]))


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_balance_leaves_what_is_heard_often_without_an_advantage(balance: float) -> None:
    """With nothing to hear but how often a class comes, the best logits are equal with balance 1
    and the logarithms of the shares with 0."""
    shares = torch.tensor([0.75, 0.25])
    labels = torch.tensor([0, 0, 0, 1])
    best = ((1 - balance) * shares.log()).requires_grad_()
    logits = adjusted(best.expand(4, 2), shares, balance)
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels), best)
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("classifier_power", [0.0, 1.0])
def test_the_loss_weighs_the_power_of_the_classifier_if_told(
    corpus: Corpus, tmp_path: Path, classifier_power: float
) -> None:
    """Where nothing but its weights can move, they shrink."""
    recipe = small_recipe(
        steps=30, sequences=4, power_weight=1e3, eps_start=0.0, classifier_power=classifier_power
    )
    training = Training(recipe, corpus, tmp_path)
    weight = training.network.classifier.weight
    for parameter in training.network.parameters():
        parameter.requires_grad_(parameter is weight)
    before = weight.abs().sum().item()
    for _ in range(20):
        training.advance()
    assert (weight.abs().sum().item() < 0.9 * before) == bool(classifier_power)


@pytest.mark.parametrize("classifier_alone", [False, True])
def test_a_resumed_run_equals_one_that_never_stopped(
    corpus: Corpus, tmp_path: Path, classifier_alone: bool
) -> None:
    recipe = small_recipe(
        steps=6, sequences=4, power_weight=0.1, mismatch=0.1, classifier_alone=classifier_alone
    )
    whole = Training(recipe, corpus, tmp_path / "whole")
    for _ in range(6):
        whole.advance()
    first = Training(recipe, corpus, tmp_path / "parts")
    for _ in range(3):
        first.advance()
    first.save()
    second = Training(recipe, corpus, tmp_path / "parts")
    assert second.resume()
    for _ in range(3):
        second.advance()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    other = Training(small_recipe(steps=7, sequences=4), corpus, tmp_path / "parts")
    assert not other.resume()


def test_a_run_begins_with_the_network_of_another(corpus: Corpus, tmp_path: Path) -> None:
    first = Training(small_recipe(steps=6, sequences=4), corpus, tmp_path / "first")
    first.advance()
    first.save()
    second = Training(small_recipe(steps=9, sequences=4), corpus, tmp_path / "second")
    second.start_from(tmp_path / "first")
    assert second.step == 0
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    with pytest.raises(DataError, match="checkpoint"):
        second.start_from(tmp_path / "nowhere")
    wider = Training(small_recipe(width=8, sequences=4), corpus, tmp_path / "wider")
    with pytest.raises(DataError, match="size"):
        wider.start_from(tmp_path / "first")


def test_a_run_begins_with_the_mean_of_several_networks(corpus: Corpus, tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in range(3)]
    states = []
    for seed, folder in enumerate(folders):
        training = Training(small_recipe(steps=6, sequences=4, seed=seed), corpus, folder)
        training.advance()
        training.save()
        states.append(training.network.state_dict())
    mean = Training(small_recipe(steps=9, sequences=4, seed=7), corpus, tmp_path / "mean")
    mean.start_from(*folders)
    for name, value in mean.network.state_dict().items():
        wanted = sum(state[name].double() for state in states) / 3
        torch.testing.assert_close(value.double(), wanted, rtol=1e-6, atol=1e-7)
    with pytest.raises(DataError, match="checkpoint"):
        mean.start_from(folders[0], tmp_path / "nowhere")


def test_a_run_begins_with_the_network_of_a_pack(corpus: Corpus, tmp_path: Path) -> None:
    recipe = small_recipe(current_scale=0.25, steps=6, sequences=4)
    first = Training(recipe, corpus, tmp_path / "first")
    first.advance()
    pack = write_pack(first.network, recipe, corpus, tmp_path / "pack")
    other_seed = small_recipe(current_scale=0.25, steps=6, sequences=4, seed=5)
    second = Training(other_seed, corpus, tmp_path / "second")
    second.start_from(pack)
    again = write_pack(second.network, recipe, corpus, tmp_path / "again")
    assert (again / "network.npz").read_bytes() == (pack / "network.npz").read_bytes()


def test_a_pack_is_written_without_idle_cells_and_is_a_start_all_the_same(
    corpus: Corpus, tmp_path: Path
) -> None:
    recipe = small_recipe(current_scale=0.25, steps=6, sequences=4)
    first = Training(recipe, corpus, tmp_path / "first")
    with torch.no_grad():
        first.network.typed_blocks[0].alpha[:2] = -1.0
        first.network.typed_blocks[1].alpha[:] = -1.0
        first.network.typed_blocks[1].post.bias[:] = -1.0
    pack = write_pack(first.network, recipe, corpus, tmp_path / "pack")
    assert [block.cells for block in packs.load(pack).network.parameters.blocks] == [3]
    second = Training(recipe, corpus, tmp_path / "second")
    second.start_from(pack)
    features = second._batches.draw(torch.Generator().manual_seed(0))[0]
    with torch.no_grad():
        assert torch.equal(first.network(features), second.network(features))


@pytest.mark.parametrize("from_pack", [False, True])
@pytest.mark.parametrize("blocks", [2, 3])
def test_a_larger_network_goes_on_where_a_smaller_one_was_and_uses_its_new_cells(
    corpus: Corpus, tmp_path: Path, blocks: int, from_pack: bool
) -> None:
    small = small_recipe(current_scale=0.25, steps=6, sequences=4)
    first = Training(small, corpus, tmp_path / "first")
    with torch.no_grad():
        first.network.typed_blocks[1].alpha[:2] = -1.0
    first.save()
    start = tmp_path / "first"
    if from_pack:
        start = write_pack(first.network, small, corpus, tmp_path / "pack")
    larger = replace(small, steps=9, cells=8, blocks=blocks, wake=True, seed=1)
    second = Training(larger, corpus, tmp_path / "second")
    second.start_from(start)
    features = second._batches.draw(torch.Generator().manual_seed(0))[0]
    change = second.network(features) - first.network(features)
    step = larger.current_step * second.network.classifier.weight.abs().sum(0).max()
    assert change.abs().max() <= (step if blocks == 3 else 0)
    assert [block.cells for block in pack_of(second).blocks[:2]] == [5, 3]
    for _ in range(3):
        second.advance()
    assert [block.cells for block in pack_of(second).blocks] == [8] * blocks


def test_the_classifier_alone_is_trained_and_the_core_stays_as_it_began(
    corpus: Corpus, tmp_path: Path
) -> None:
    recipe = small_recipe(current_scale=0.25, steps=6, sequences=4)
    first = Training(recipe, corpus, tmp_path / "first")
    first.save()
    second = Training(replace(recipe, classifier_alone=True), corpus, tmp_path / "second")
    second.start_from(tmp_path / "first")
    for _ in range(3):
        second.advance()
    for name, value in first.network.state_dict().items():
        same = torch.equal(value, second.network.state_dict()[name])
        assert same != name.startswith("classifier."), name


def pack_of(training: Training) -> NetworkParameters:
    """What a pack of its network holds."""
    recipe = training.recipe
    grid = recipe.features.input_grid
    return pruned(training.network.parameters_on_grid(grid, recipe.current_scale))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 8}, "size"),
        ({"blocks": 1}, "size"),
        ({"task": "v2-35"}, "classes"),
        ({"features": FeatureSettings(agc_s=0.5)}, "front end"),
    ],
)
def test_a_pack_of_another_kind_is_no_start(
    corpus: Corpus, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    recipe = small_recipe(sequences=4)
    training = Training(recipe, corpus, tmp_path / "first")
    pack = write_pack(training.network, recipe, corpus, tmp_path / "pack")
    other = Training(replace(recipe, **changed), corpus, tmp_path / "other")
    with pytest.raises(DataError, match=message):
        other.start_from(pack)


def test_a_step_keeps_all_its_tensors_on_the_device_of_the_network(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device "meta" stands for a GPU: it computes nothing, and refuses mixed operands."""
    recipe = small_recipe(
        teacher_weight=0.5, mismatch=0.1, chip_unit_na=1.0, dropout=0.1, balance=0.5, half=True
    )
    teacher = new_teacher(recipe, recipe.classes)
    training = Training(recipe, corpus, tmp_path, teacher, device="meta")
    monkeypatch.setattr(torch.Tensor, "item", lambda self: 1.0)
    training.advance()
    assert {p.device.type for p in training.network.parameters()} == {"meta"}
    assert {p.device.type for p in teacher.parameters()} == {"meta"}
    assert all(p.grad is not None for p in training.network.parameters())


def test_training_learns_and_writes_a_pack_that_loads(corpus: Corpus, tmp_path: Path) -> None:
    recipe = small_recipe(cells=12, width=12, steps=200, sequences=16, learning_rate=0.02)
    training = Training(recipe, corpus, tmp_path / "run")
    checks = []
    training.run(checks.append, lambda step: None)
    assert checks[-1].step == 200
    assert checks[-1].fresh > 0.4  # four classes; 0.25 is chance
    assert (tmp_path / "run" / "log.csv").read_text().startswith("step,loss")
    pack = packs.load(write_pack(training.network, recipe, corpus, tmp_path / "pack"))
    assert pack.network.exactness.exact
    assert pack.manifest["data"][0]["name"].startswith("Google Speech")


TINY_RECIPE = """
name = "tiny"
task = "TASK"
steps = 4
sequences = 4
[features]
hops_per_frame = 2
"""


@pytest.mark.parametrize(("task", "figure"), [("yes", "balanced_accuracy"), ("v2-35", "accuracy")])
def test_the_command_trains_a_pack_that_hears_and_resumes(
    task: str, figure: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_RECIPE.replace("TASK", task))
    words = ["train", "tiny.toml", "--data", str(data), "--out", "pack", "--threads", "1"]
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


def test_a_recipe_of_no_steps_writes_the_mean_of_the_runs_that_it_names(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--data", str(data), "--threads", "1"]
    first = TINY_RECIPE.replace("TASK", "yes")
    recipes = {
        "tiny": first,
        "other": "seed = 5\n" + first.replace('"tiny"', '"other"'),
        "mean": 'begins_with = ["tiny", "other"]\n'
        + first.replace('"tiny"', '"mean"').replace("steps = 4", "steps = 0"),
    }
    for name, text in recipes.items():
        Path(f"{name}.toml").write_text(text)
        done = CliRunner().invoke(main, ["train", f"{name}.toml", *words, "--out", name])
        assert done.exit_code == 0, done.output
    tiny, other, mean = (load_file(f"runs/{name}/checkpoint.safetensors") for name in recipes)
    name = "network.classifier.weight"
    torch.testing.assert_close(mean[name], (tiny[name] + other[name]) / 2)
    assert not torch.equal(mean[name], tiny[name])
    assert packs.load("./mean").manifest["recipe"]["begins_with"] == ["tiny", "other"]


@pytest.mark.parametrize("starts", ['"tiny"', '["tiny", "tiny"]'])
def test_a_second_stage_begins_with_the_runs_that_its_recipe_names(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: str
) -> None:
    monkeypatch.chdir(tmp_path)
    first = TINY_RECIPE.replace("TASK", "yes")
    Path("tiny.toml").write_text(first)
    second = first.replace('"tiny"', '"second"').replace("steps = 4", "steps = 1")
    Path("second.toml").write_text(f"begins_with = {starts}\nlearning_rate = 0.0\n{second}")
    words = ["--data", str(data), "--out", "pack", "--threads", "1"]
    missing = CliRunner().invoke(main, ["train", "second.toml", *words])
    assert missing.exit_code == 1
    assert "runs/tiny: need the folder of a model pack, or of a run" in missing.stderr
    for name in ("tiny", "second"):
        done = CliRunner().invoke(main, ["train", f"{name}.toml", *words])
        assert done.exit_code == 0, done.output
    before, after = (
        load_file(f"runs/{name}/checkpoint.safetensors") for name in ("tiny", "second")
    )
    # AdamW has no rate: what it holds is the first run's
    name = "network.classifier.weight"
    assert torch.equal(before[name], after[name])


def test_the_command_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "pack")]
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
        main, ["train", str(recipe), "--data", str(data), "--out", out, "--run", run]
    )
    assert done.exit_code == 1
    assert "begins_with" in done.output


def test_a_gpu_that_is_not_there_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "tiny.toml").write_text(TINY_RECIPE.replace("TASK", "yes"))
    words = [str(tmp_path / "tiny.toml"), "--data", str(data), "--out", str(tmp_path / "pack")]
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
