"""A verifier in integers is taught from the corpus of the words; its rounding is the trainee's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from kws_stream import KeywordSpotter, packs  # noqa: E402
from kws_stream.cli import main  # noqa: E402
from kws_stream.errors import ParameterError  # noqa: E402
from kws_stream.training import verifier_network as training  # noqa: E402
from kws_stream.training.augment import condition  # noqa: E402
from kws_stream.training.corpus import Corpus  # noqa: E402
from kws_stream.training.validation import validation_clips  # noqa: E402
from kws_stream.verifier import McuVerifier, parse_network  # noqa: E402
from tests.pack_factory import build_pack  # noqa: E402
from tests.tiny_corpus import RECIPE, corpus  # noqa: E402

SMALL = training.NetworkSettings(steps=80, sequences=8, widths=(8, 12, 12, 12))


@pytest.fixture(scope="module")
def heard() -> Corpus:
    rng = np.random.default_rng(1)
    noise = rng.uniform(0.001, 0.002, (1500, 4)).astype(np.float32)
    return Corpus(corpus().clips, {"noise": noise})


@pytest.fixture(scope="module")
def trainee(heard: Corpus) -> training.VerifierTrainee:
    return training.train_network(heard, RECIPE, SMALL)


def test_integers_give_what_the_trainee_gives(trainee: training.VerifierTrainee) -> None:
    network = trainee.integers()
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (6, trainee.frames, 4)).astype(np.uint8)
    features = torch.from_numpy(codes * np.float32(2**-6)).transpose(0, 1)
    with torch.no_grad():
        logits = trainee(features)[:, 0].numpy()
    for row, window in zip(logits, codes, strict=True):
        scores = np.array(network.scores(window)) / 2**16
        np.testing.assert_allclose(scores, np.clip(0.5 + row / 16, 0, 1), atol=2**-15)


def test_a_network_that_is_too_large_is_refused_before_it_is_taught(heard: Corpus) -> None:
    steps: list[int] = []
    large = replace(SMALL, widths=(8, 512, 512, 512))
    with pytest.raises(ParameterError, match="need at most 3000000 multiplications a decision"):
        training.train_network(heard, RECIPE, large, lambda step, loss: steps.append(step))
    assert not steps


def test_it_learns_which_word_was_said(trainee: training.VerifierTrainee, heard: Corpus) -> None:
    network = trainee.integers()
    held_out = validation_clips(heard, RECIPE)
    quiet = torch.full_like(held_out.clips, 0.0015)
    features = condition(torch.cat([quiet, held_out.clips], 1), RECIPE.features)
    codes = (features[-network.frames :, :, :4] * 64).to(torch.uint8).numpy()
    scores = np.array([network.scores(codes[:, row])[0] for row in range(codes.shape[1])])
    spoken = held_out.labels.numpy() == 0
    threshold = training.threshold_for(trainee, heard, RECIPE)
    assert scores[spoken].min() > scores[~spoken].max()
    best = training._best(trainee, held_out, RECIPE, torch.from_numpy(spoken)).numpy()
    assert (0.5 + best / 16 >= threshold).mean() >= 0.8
    assert (0.5 + best / 16 >= threshold + 0.02).mean() < 1


def test_the_last_looks_fit_the_wait_and_the_budget() -> None:
    for hops, channels in ((1, 16), (2, 16), (2, 24)):
        features = replace(RECIPE.features, hops_per_frame=hops, channels=channels)
        recipe = replace(RECIPE, task="v2-12", features=features)
        network = training.VerifierTrainee(recipe)
        network.fold()
        made = network.integers()
        assert made.frames * features.frame_s == pytest.approx(1.5)
        assert made.looks[-1] * features.frame_s == pytest.approx(0.4)
        assert made.multiplications < 3_000_000


def test_windows_hold_a_word_from_a_little_before_its_clip_ends() -> None:
    labels = torch.tensor([[2, 0, 1]])  # 2: no keyword
    ends = torch.arange(15, 36) / 10 + 0.01
    said, counts = training.targets(labels, ends, 1.0, 2)
    assert said.shape == counts.shape == (1, 21, 2)
    assert ends[said[0, :, 0]].tolist() == pytest.approx([1.81, 1.91, 2.01, 2.11, 2.21, 2.31, 2.41])
    assert ends[said[0, :, 1]].tolist() == pytest.approx([2.81, 2.91, 3.01, 3.11, 3.21, 3.31, 3.41])
    unclear = ends[~counts[0, :, 0]].tolist()
    assert unclear == pytest.approx([1.51, 1.61, 1.71, 2.51, 2.61, 2.71, 2.81, 2.91])


def test_the_loss_looks_at_what_scores_highest() -> None:
    said = torch.zeros(1, 100, 1, dtype=torch.bool)
    said[0, 0] = True
    logits = torch.zeros(1, 100, 1, requires_grad=True)
    loud = logits.detach().clone()
    loud[0, 50] = 3.0
    loud.requires_grad_(True)
    training.verifier_loss(loud, said, torch.ones_like(said)).backward()
    assert loud.grad is not None
    gradient = loud.grad.flatten()
    assert gradient[0] < 0
    assert gradient[50] > 1.5 * gradient[51]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    settings = {"channels": 4, "slow_s": [], "selectivity": 6.0}
    return build_pack(
        tmp_path / "words",
        graphs=False,
        classes=("yes", "other"),
        keywords=("yes",),
        feature_settings=settings,
        recipe={"task": "yes"},
    )


def test_the_command_writes_a_copy_with_a_verifier(
    pack: Path, tmp_path: Path, heard: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kws_stream.training.runs.read_corpus", lambda *given: heard)
    words = [
        "train-verifier",
        str(pack),
        "--data",
        str(tmp_path),
        "--output",
        str(tmp_path / "new"),
    ]
    done = CliRunner().invoke(main, [*words, "--steps", "12", "--threads", "1"])
    assert done.exit_code == 0, done.output
    copy = packs.load(tmp_path / "new")
    assert copy.verifier is not None
    assert (copy.name, copy.verifier.kind) == ("new", "mcu")
    assert f"threshold {copy.verifier.threshold:g}" in done.stdout
    assert copy.network.parameters.n_classes == 2
    spotter = KeywordSpotter(copy)
    assert isinstance(spotter.verifier, McuVerifier)
    assert parse_network(copy.verifier.head).multiplications == spotter.verifier.multiplications
    names = [source["name"] for source in copy.manifest["data"]]
    assert any("Speech Commands" in name for name in names)
    packs.verify(tmp_path / "new")


def test_a_pack_of_a_phrase_is_told_the_other_command(pack: Path) -> None:
    loaded = packs.load(pack)
    assert training.recipe_of(loaded).keywords == ("yes",)
    manifest = {**loaded.manifest, "recipe": {"task": "wake-phrase"}}
    with pytest.raises(ParameterError, match="train --wake-phrase --verifier mcu"):
        training.recipe_of(replace(loaded, manifest=manifest))
    manifest = {**loaded.manifest, "recipe": {"task": "v2-12"}}
    with pytest.raises(ParameterError, match="keywords of the task v2-12"):
        training.recipe_of(replace(loaded, manifest=manifest))
