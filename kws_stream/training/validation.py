"""What validation speakers' clips say of a network: recordings and pictures, half by half.

Classes are weighed as in the official test set of twelve classes, where each word, what is unknown
and silence have about a twelfth of the clips each, and unknown clips come from 25 words evenly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kws_stream.brief import brief
from kws_stream.evaluation.speech_commands import HALVES, half_of, speaker_of
from kws_stream.training.augment import condition
from kws_stream.training.corpus import Clips, Corpus
from kws_stream.training.model import SpottingNetwork
from kws_stream.training.recipe import WAKE_PHRASE, Recipe
from kws_stream.training.sampling import OF_PHRASE, TASK_WORDS

AT_ONCE = 500
CHAINS = 40  # carried states go through this many chains of clips side by side
FEW = 20  # words with fewer clips say nothing of their own


@dataclass(frozen=True)
class ValidationClips:
    """Envelopes (n, hops, channels) of validation speakers, labels (n,), words and sources (n,).

    speakers: how many different ones; 0 where names tell none.
    """

    clips: Tensor
    labels: Tensor
    words: NDArray[np.str_]
    sources: NDArray[np.str_]
    speakers: int = 0

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.clips)

    def of(self, source: str) -> "ValidationClips":
        rows = np.flatnonzero(self.sources == source)
        return ValidationClips(
            self.clips[rows], self.labels[rows], self.words[rows], self.sources[rows]
        )


def of_half(clips: Clips, half: str | None) -> NDArray[np.bool_]:
    """Validation clips (n,) of that half; of all where names tell no speaker, or it has none."""
    held_out: NDArray[np.bool_] = clips.splits == "validation"
    if half is None or not len(clips.names):
        return held_out
    chosen = held_out & (np.array([half_of(name) for name in clips.names]) == half)
    return chosen if chosen.any() else held_out


def validation_clips(
    corpus: Corpus, recipe: Recipe, half: str | None = HALVES[0]
) -> ValidationClips:
    """The clips of the task by validation speakers, of one half (see `half_of`) or of both.

    What a training hears of itself is the half that chooses. A corpus so small that a half has no
    clip gives both.
    """
    if recipe.task == WAKE_PHRASE:
        return _of_phrase(corpus)
    classes = recipe.classes
    rest = "other" if "other" in classes else "unknown"
    parts: list[tuple[NDArray[Any], ...]] = []
    speakers: set[str] = set()
    for source in ("speech_commands", "pictures"):
        if source not in corpus.clips:
            continue
        clips = corpus.clips[source]
        chosen = of_half(clips, half)
        if recipe.task == "yes":
            chosen &= np.isin(clips.words, ("yes", *TASK_WORDS))
        if recipe.task == "v2-35":
            chosen &= np.isin(clips.words, classes)
        rows = np.flatnonzero(chosen)
        words = clips.words[rows]
        labels = np.array(
            [classes.index(w if w in recipe.keywords else rest) for w in words], np.int64
        )
        parts.append((clips.envelopes[rows], labels, words, np.full(len(rows), source)))
        speakers |= {speaker_of(name) for name in clips.names[rows]} if len(clips.names) else set()
    envelopes, numbers, names, sources = (np.concatenate(part) for part in zip(*parts, strict=True))
    told = (torch.from_numpy(envelopes), torch.from_numpy(numbers), names, sources)
    return ValidationClips(*told, len(speakers))


def _of_phrase(corpus: Corpus) -> ValidationClips:
    """Clips of a wake phrase by held-out voices, and near misses and words by them."""
    envelopes, labels, sources = [], [], []
    for source, clips in corpus.clips.items():
        held_out = clips.envelopes[clips.splits == "validation"]
        envelopes.append(torch.from_numpy(held_out))
        labels += [int(source not in OF_PHRASE)] * len(held_out)
        sources += ["speech_commands"] * len(held_out)
    names = np.array(sources)
    return ValidationClips(torch.cat(envelopes), torch.tensor(labels), names, names)


@torch.no_grad()
def called(
    network: SpottingNetwork, clips: Tensor, recipe: Recipe
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What a quantised network calls clips (n, hops, channels): fresh (n,), and carried.

    Carried: rows (m,) in the order in which they were heard, joined as envelopes in CHAINS chains,
    and what they were called (m,); m is a multiple of the number of chains. Quick and near; the
    figures of a pack come from `kws-stream evaluate`.
    """
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(0))
    chains = min(CHAINS, len(order))
    order = order[: len(order) // chains * chains]
    per_clip = clips.shape[1] // recipe.features.hops_per_frame
    start, stop = (round(s / recipe.clip_s * per_clip) for s in recipe.decision_s)
    device = network.classifier.bias.device
    fresh = torch.cat(
        [
            network(condition(part.to(device), recipe.features))[start:stop].mean(0).argmax(-1)
            for part in torch.split(clips, AT_ONCE)
        ]
    )
    joined = clips[order].to(device).view(chains, -1, clips.shape[-1])
    logits = network(condition(joined, recipe.features))
    carried = logits.view(-1, per_clip, chains, logits.shape[-1])[:, start:stop].mean(1)
    said = carried.transpose(0, 1).flatten(0, 1).argmax(-1)
    return fresh.cpu().numpy(), order.numpy(), said.cpu().numpy()


def balanced(said: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Mean recall of the classes with at least FEW clips; of all where none has so many."""
    classes, counts = np.unique(labels, return_counts=True)
    if (counts >= FEW).any():
        classes = classes[counts >= FEW]
    return float(np.mean([np.mean(said[labels == c] == c) for c in classes]))


@dataclass(frozen=True)
class Weighed:
    """Accuracy with classes weighed evenly, and its standard error; recall of each class."""

    accuracy: float
    error: float
    recalls: dict[str, float]

    __repr__ = brief

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, by the normal distribution."""
        return self.accuracy - 1.96 * self.error, self.accuracy + 1.96 * self.error


def weigh(right: NDArray[np.bool_], words: NDArray[np.str_], classes: Sequence[str]) -> Weighed:
    """Figures of clips (n,): each class as much as any other, and in it each word.

    words: a keyword, or any word of the unknown class, or "silence". The recall of a word with few
    clips is uncertain, and so is the sum: a word's part of the variance is p (1 - p) / n.
    """
    recalls, variances = {}, {}
    rest = set(np.unique(words)) - set(classes)
    for name in classes:
        of_class = sorted(rest) if name in ("unknown", "other") else [name]
        hits = [right[words == word] for word in of_class]
        hits = [of_word for of_word in hits if len(of_word)]
        if not hits:
            continue
        shares = [of_word.mean() for of_word in hits]
        recalls[name] = float(np.mean(shares))
        # Laplace's estimate: a word that was always right is not certain to be
        smooth = [(h.sum() + 1) / (len(h) + 2) for h in hits]
        spread = [p * (1 - p) / len(h) for p, h in zip(smooth, hits, strict=True)]
        variances[name] = sum(spread) / len(hits) ** 2
    count = len(recalls)
    accuracy = math.fsum(recalls.values()) / count
    return Weighed(accuracy, math.sqrt(math.fsum(variances.values())) / count, recalls)
