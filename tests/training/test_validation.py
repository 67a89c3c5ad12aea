"""What a network in training is said to call its validation clips: fresh, and carried."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

from kws_stream.training.augment import condition  # noqa: E402
from kws_stream.training.loop import new_network  # noqa: E402
from kws_stream.training.validation import CHAINS, balanced, called  # noqa: E402
from tests.recipe_factory import small_recipe  # noqa: E402


def test_fresh_clips_are_heard_alone_and_carried_ones_behind_those_of_their_chain() -> None:
    recipe = small_recipe(decision_s=(0.4, 0.9))
    torch.manual_seed(0)
    network = new_network(recipe)
    generator = torch.Generator().manual_seed(1)
    loudness = 10 ** (4 * torch.rand(3 * CHAINS + 5, 1, 16, generator=generator) - 4)
    clips = loudness * torch.rand(3 * CHAINS + 5, 100, 16, generator=generator)
    with torch.no_grad():  # no class is likelier than another
        heard = network(condition(clips, recipe.features)).flatten(0, 1)
        network.classifier.weight.div_(heard.std(0))
        heard = network(condition(clips, recipe.features)).flatten(0, 1)
        network.classifier.bias.sub_(heard.mean(0))
    fresh, order, carried = called(network, clips, recipe)

    def says(envelopes: torch.Tensor, start: int) -> int:
        """The class of the mean logits of 0.4 to 0.9 s of the clip from `start` frames on."""
        with torch.no_grad():
            logits = network(condition(envelopes[None], recipe.features))[:, 0]
        return int(logits[start + 40 : start + 90].mean(0).argmax())

    assert len(fresh) == len(clips)
    assert fresh.tolist() == [says(clip, 0) for clip in clips]
    assert len(order) == len(carried) == 3 * CHAINS  # as many as fill the chains
    assert len(set(order.tolist())) == len(order)
    expected = []
    for chain in order.reshape(CHAINS, 3):
        joined = clips[torch.from_numpy(chain)].flatten(0, 1)
        expected += [says(joined, 100 * place) for place in range(3)]
    assert carried.tolist() == expected
    assert len(set(expected)) > 2
    assert carried.tolist() != fresh[order].tolist()


def test_classes_of_few_clips_do_not_count_unless_all_are() -> None:
    labels = np.repeat([0, 1, 2], [40, 60, 2])
    said = np.concatenate([np.repeat([0, 1], 20), np.full(60, 1), [0, 0]])
    assert balanced(said, labels) == (0.5 + 1.0) / 2
    few = np.array([0, 0, 1])
    assert balanced(np.array([0, 1, 1]), few) == (0.5 + 1.0) / 2
