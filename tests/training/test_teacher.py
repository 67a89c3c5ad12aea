"""A teacher learns, is read again in every bit, and what it says takes its share of the loss."""

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from kws_stream.errors import DataError  # noqa: E402
from kws_stream.evaluation.speech_commands import TASKS  # noqa: E402
from kws_stream.training.augment import condition  # noqa: E402
from kws_stream.training.loop import Training  # noqa: E402
from kws_stream.training.loss import distilled, sequence_loss  # noqa: E402
from kws_stream.training.teacher import (  # noqa: E402
    accuracy,
    in_classes,
    load_teacher,
    new_teacher,
    save_teacher,
    train_teacher,
)
from kws_stream.training.validation import validation_clips  # noqa: E402
from tests.tiny_corpus import RECIPE, corpus  # noqa: E402


def test_a_teacher_learns_and_is_read_again_in_every_bit(tmp_path: Path) -> None:
    data = corpus()
    teacher = train_teacher(RECIPE, data, 30)
    held_out = validation_clips(data, RECIPE)
    features = condition(held_out.clips, RECIPE.features)
    assert accuracy(teacher, features, held_out.labels) == 1.0
    save_teacher(teacher, RECIPE, tmp_path)
    again = load_teacher(tmp_path, RECIPE)
    assert torch.equal(again(features, 1), teacher(features, 1))


def test_a_teacher_hears_each_clip_of_a_sequence_by_itself() -> None:
    torch.manual_seed(0)
    teacher = new_teacher(RECIPE, RECIPE.classes).eval()
    features = torch.rand(300, 2, 4)
    parts = torch.cat([teacher(part, 1) for part in features.split(100)])
    torch.testing.assert_close(teacher(features, 3), parts)


def test_a_teacher_of_other_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        load_teacher(tmp_path, RECIPE)
    save_teacher(new_teacher(RECIPE, RECIPE.classes), RECIPE, tmp_path)
    slower = replace(RECIPE, features=replace(RECIPE.features, agc_s=0.5))
    with pytest.raises(DataError, match="features"):
        load_teacher(tmp_path, slower)
    with pytest.raises(DataError, match="knows down"):
        load_teacher(tmp_path, replace(RECIPE, task="v2-12"))


def test_a_recipe_that_learns_from_a_teacher_needs_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--teacher"):
        Training(replace(RECIPE, teacher_weight=0.5), corpus(), tmp_path)


def test_nothing_is_lost_where_network_and_teacher_agree_and_something_elsewhere() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 5)
    assert float(distilled(logits, logits + 1.5, 2.0).abs().max()) < 1e-6
    assert float(distilled(logits, logits.flip(-1), 2.0).mean()) > 0.1


def test_the_teacher_takes_its_share_of_the_loss() -> None:
    torch.manual_seed(0)
    recipe = replace(RECIPE, between_weight=0.0, teacher_weight=0.25)
    logits, labels = torch.randn(100, 3, 2), torch.tensor([[0], [1], [1]])
    taught = torch.randn(1, 3, 2)
    alone = sequence_loss(logits, labels, recipe)
    decisions = logits[40:].mean(0, keepdim=True)
    wanted = 0.75 * alone + 0.25 * distilled(decisions, taught, recipe.temperature).mean()
    torch.testing.assert_close(sequence_loss(logits, labels, recipe, taught), wanted)


def test_a_teacher_of_more_words_teaches_fewer() -> None:
    logits = torch.randn(3, 4, 12, generator=torch.Generator().manual_seed(0))
    known, wanted = TASKS["v2-12"], ("yes", "other")
    posteriors = in_classes(logits, known, wanted).softmax(-1)
    torch.testing.assert_close(posteriors[..., 0], logits.softmax(-1)[..., known.index("yes")])
    assert torch.equal(in_classes(logits, known, known), logits)
