"""The training loop: loss, resuming, what a run begins with."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")


from kws_stream import packs  # noqa: E402
from kws_stream.errors import DataError  # noqa: E402
from kws_stream.features import FeatureSettings  # noqa: E402
from kws_stream.packs.pruning import pruned  # noqa: E402
from kws_stream.parameters import NetworkParameters  # noqa: E402
from kws_stream.training.corpus import Corpus  # noqa: E402
from kws_stream.training.loop import Training  # noqa: E402
from kws_stream.training.loss import adjusted, distilled, sequence_loss  # noqa: E402
from kws_stream.training.packing import write_pack  # noqa: E402
from kws_stream.training.teacher import new_teacher  # noqa: E402
from tests.recipe_factory import small_recipe  # noqa: E402


def test_loss_is_lowest_for_the_right_decision() -> None:
    recipe = small_recipe(label_smoothing=0.0)
    labels = torch.tensor([[0, 3], [11, 2]])

    def loss(classes: torch.Tensor) -> float:
        logits = torch.nn.functional.one_hot(classes.repeat_interleave(100, dim=1).t(), 12) * 8.0
        return float(sequence_loss(logits, labels, recipe))

    right = loss(labels)
    assert right < 0.05
    assert all(loss(torch.tensor(wrong)) > 1 for wrong in ([[1, 3], [11, 2]], [[0, 3], [2, 11]]))


def test_a_teacher_pulls_as_hard_however_soft_its_posteriors_are() -> None:
    """Hinton et al., arXiv:1503.02531: T^2 times the divergence of teacher from student, both
    softened by T; its gradient tends to the difference of the logits over K as T grows."""
    own = torch.tensor([[[1.0, -0.5, 0.25]]], dtype=torch.float64, requires_grad=True)
    other = torch.tensor([[[-0.25, 0.75, 0.5]]], dtype=torch.float64)
    for temperature in (1.0, 2.0, 5.0):
        p, q = (
            [math.exp(v / temperature) for v in logits[0, 0].tolist()] for logits in (other, own)
        )
        p, q = ([v / sum(values) for v in values] for values in (p, q))
        expected = temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert distilled(own, other, temperature).item() == pytest.approx(expected, rel=1e-9)
    (gradient,) = torch.autograd.grad(distilled(own, other, 1000.0).sum(), own)
    difference = (own - own.mean()) - (other - other.mean())
    torch.testing.assert_close(gradient, difference / 3, rtol=2e-3, atol=2e-3)


def test_a_teacher_takes_its_share_of_the_loss_where_it_says_something() -> None:
    recipe = small_recipe(between_weight=0.0, label_smoothing=0.0, teacher_weight=0.25)
    labels = torch.tensor([[0, 3]])
    logits = torch.randn(200, 1, 12, generator=torch.Generator().manual_seed(0))
    taught = torch.randn(2, 1, 12, generator=torch.Generator().manual_seed(1))
    taught[1] = torch.nan
    decisions = torch.stack([logits[40:100].mean(0), logits[140:200].mean(0)])
    own = [torch.nn.functional.cross_entropy(decisions[i], labels[:, i]) for i in range(2)]
    teacher = distilled(decisions[:1], taught[:1], recipe.temperature).mean()
    expected = (0.75 * own[0] + 0.25 * teacher + own[1]) / 2
    assert sequence_loss(logits, labels, recipe, taught).item() == pytest.approx(expected.item())
    alone = sequence_loss(logits, labels, recipe).item()
    assert alone == pytest.approx(((own[0] + own[1]) / 2).item())


def test_between_decisions_the_clips_words_and_no_keyword_are_allowed() -> None:
    """Windows of 0.6 s that end each 0.2 s: what is left to the class of the clip in which they
    end, the class before it, and "unknown" and "silence", as minus the mean logarithm."""
    labels = torch.tensor([[0, 3], [11, 2]])
    logits = torch.randn(200, 2, 12, generator=torch.Generator().manual_seed(0)).double()
    with_it = small_recipe(label_smoothing=0.0, between_weight=0.7)
    without = small_recipe(label_smoothing=0.0, between_weight=0.0)
    logs = []
    for row in range(2):
        for end in (60, 80, 120, 140, 160, 180):  # 100 and 200 are decisions
            posteriors = logits[end - 60 : end, row].mean(0).softmax(-1)
            here = min(end // 100, 1)
            allowed = {10, 11, int(labels[row, here]), int(labels[row, max(here - 1, 0)])}
            logs.append(sum(posteriors[k] for k in allowed).log().item())
    got = sequence_loss(logits, labels, with_it) - sequence_loss(logits, labels, without)
    assert got.item() == pytest.approx(-0.7 * sum(logs) / len(logs), rel=1e-9)


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
        steps=30, batch_size=4, power_weight=1e3, eps_start=0.0, classifier_power=classifier_power
    )
    training = Training(recipe, corpus, tmp_path)
    weight = training.network.classifier.weight
    for parameter in training.network.parameters():
        parameter.requires_grad_(parameter is weight)
    before = weight.abs().sum().item()
    for _ in range(20):
        training.advance()
    assert (weight.abs().sum().item() < 0.9 * before) == bool(classifier_power)


def test_the_loss_moves_thresholds_away_from_candidates_if_told(
    corpus: Corpus, tmp_path: Path
) -> None:
    """Where nothing but the width of the hysteresis can move, noise comes to switch fewer cells."""
    recipe = small_recipe(
        steps=30,
        batch_size=4,
        blocks=1,
        eps_start=0.0,
        learning_rate=0.03,
        margin_weight=1e3,
        margin_noise_na=0.1,
    )
    training = Training(recipe, corpus, tmp_path)
    (block,) = training.network.typed_blocks
    for parameter in training.network.parameters():
        parameter.requires_grad_(parameter is block.delta)
    features = training._first_features()

    def error() -> float:
        return training.network.with_power(features, noise_na=0.1).state_error.item()

    before = error()
    for _ in range(20):
        training.advance()
    assert error() < 0.8 * before


@pytest.mark.parametrize("classifier_alone", [False, True])
def test_a_resumed_run_equals_one_that_never_stopped(
    corpus: Corpus, tmp_path: Path, classifier_alone: bool
) -> None:
    recipe = small_recipe(
        steps=6, batch_size=4, power_weight=0.1, mismatch=0.1, classifier_alone=classifier_alone
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
    other = Training(small_recipe(steps=7, batch_size=4), corpus, tmp_path / "parts")
    assert not other.resume()


def test_a_run_begins_with_the_network_of_another(corpus: Corpus, tmp_path: Path) -> None:
    first = Training(small_recipe(steps=6, batch_size=4), corpus, tmp_path / "first")
    first.advance()
    first.save()
    second = Training(small_recipe(steps=9, batch_size=4), corpus, tmp_path / "second")
    second.start_from(tmp_path / "first")
    assert second.step == 0
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    with pytest.raises(DataError, match="checkpoint"):
        second.start_from(tmp_path / "nowhere")
    wider = Training(small_recipe(width=8, batch_size=4), corpus, tmp_path / "wider")
    with pytest.raises(DataError, match="size"):
        wider.start_from(tmp_path / "first")


def test_a_run_begins_with_the_mean_of_several_networks(corpus: Corpus, tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in range(3)]
    states = []
    for seed, folder in enumerate(folders):
        training = Training(small_recipe(steps=6, batch_size=4, seed=seed), corpus, folder)
        training.advance()
        training.save()
        states.append(training.network.state_dict())
    mean = Training(small_recipe(steps=9, batch_size=4, seed=7), corpus, tmp_path / "mean")
    mean.start_from(*folders)
    for name, value in mean.network.state_dict().items():
        wanted = sum(state[name].double() for state in states) / 3
        torch.testing.assert_close(value.double(), wanted, rtol=1e-6, atol=1e-7)
    with pytest.raises(DataError, match="checkpoint"):
        mean.start_from(folders[0], tmp_path / "nowhere")


def test_a_run_begins_with_the_network_of_a_pack(corpus: Corpus, tmp_path: Path) -> None:
    recipe = small_recipe(current_scale=0.25, steps=6, batch_size=4)
    first = Training(recipe, corpus, tmp_path / "first")
    first.advance()
    pack = write_pack(first.network, recipe, corpus, tmp_path / "pack")
    other_seed = small_recipe(current_scale=0.25, steps=6, batch_size=4, seed=5)
    second = Training(other_seed, corpus, tmp_path / "second")
    second.start_from(pack)
    again = write_pack(second.network, recipe, corpus, tmp_path / "again")
    assert (again / "network.npz").read_bytes() == (pack / "network.npz").read_bytes()


def test_a_pack_is_written_without_idle_cells_and_is_a_start_all_the_same(
    corpus: Corpus, tmp_path: Path
) -> None:
    recipe = small_recipe(current_scale=0.25, steps=6, batch_size=4)
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
    small = small_recipe(current_scale=0.25, steps=6, batch_size=4)
    first = Training(small, corpus, tmp_path / "first")
    with torch.no_grad():
        first.network.typed_blocks[1].alpha[:2] = -1.0
    first.save()
    start = tmp_path / "first"
    if from_pack:
        start = write_pack(first.network, small, corpus, tmp_path / "pack")
    larger = replace(small, steps=9, cells=8, blocks=blocks, reinit_dead_units=True, seed=1)
    second = Training(larger, corpus, tmp_path / "second")
    second.start_from(start)
    features = second._batches.draw(torch.Generator().manual_seed(0))[0]
    change = second.network(features) - first.network(features)
    step = larger.current_step * second.network.classifier.weight.abs().sum(0).max()
    assert change.abs().max() <= (step if blocks == 3 else 0)
    assert [block.cells for block in pack_of(second).blocks[:2]] == [5, 3]
    for _ in range(6):
        second.advance()
    assert [block.cells for block in pack_of(second).blocks] == [8] * blocks


def test_the_classifier_alone_is_trained_and_the_core_stays_as_it_began(
    corpus: Corpus, tmp_path: Path
) -> None:
    recipe = small_recipe(current_scale=0.25, steps=6, batch_size=4)
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
        ({"task": "v2-35"}, "new_classifier"),
        ({"features": FeatureSettings(agc_s=0.5)}, "front end"),
    ],
)
def test_a_pack_of_another_kind_is_no_start(
    corpus: Corpus, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    recipe = small_recipe(batch_size=4)
    training = Training(recipe, corpus, tmp_path / "first")
    pack = write_pack(training.network, recipe, corpus, tmp_path / "pack")
    other = Training(replace(recipe, **changed), corpus, tmp_path / "other")
    with pytest.raises(DataError, match=message):
        other.start_from(pack)


@pytest.mark.parametrize("from_pack", [True, False])
def test_a_new_classifier_is_all_that_begins_untrained(
    corpus: Corpus, tmp_path: Path, from_pack: bool
) -> None:
    recipe = small_recipe(batch_size=4, steps=4, current_scale=0.25)
    first = Training(recipe, corpus, tmp_path / "first")
    first.advance()
    first.save()
    start = write_pack(first.network, recipe, corpus, tmp_path / "pack")
    wanted = replace(recipe, task="v2-35", new_classifier=True)
    second = Training(wanted, corpus, tmp_path / "second")
    second.start_from(start if from_pack else tmp_path / "first")
    assert second.network.classifier.bias.shape == (36,)
    assert second.recipe.classes[-1] == "silence"
    for name, value in second.network.state_dict().items():
        if "classifier" not in name:
            torch.testing.assert_close(value, first.network.state_dict()[name], atol=8e-3, rtol=0)
    second.advance()
    pack = packs.load(write_pack(second.network, wanted, corpus, tmp_path / "all"))
    assert set(pack.keywords) == set(wanted.classes[:-1])


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
    recipe = small_recipe(cells=12, width=12, steps=200, batch_size=16, learning_rate=0.02)
    training = Training(recipe, corpus, tmp_path / "run")
    checks = []
    training.run(checks.append, lambda step: None)
    assert checks[-1].step == 200
    assert checks[-1].fresh > 0.4  # four classes; 0.25 is chance
    assert (tmp_path / "run" / "log.csv").read_text().startswith("step,loss")
    pack = packs.load(write_pack(training.network, recipe, corpus, tmp_path / "pack"))
    assert pack.network.exactness.exact
    assert pack.manifest["data"][0]["name"].startswith("Google Speech")


@pytest.mark.parametrize("kept", [0, 7, 500])
def test_a_damaged_checkpoint_is_a_sentence(corpus: Corpus, tmp_path: Path, kept: int) -> None:
    training = Training(small_recipe(steps=6, batch_size=4), corpus, tmp_path)
    training.save()
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    for act in (training.resume, lambda: training.start_from(tmp_path)):
        with pytest.raises(DataError, match=r"checkpoint\.safetensors: need an intact file"):
            act()
