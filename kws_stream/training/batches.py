"""What one training step hears: sequences of joined clips, changed at random, as features."""

from typing import NamedTuple

import torch
from torch import Tensor

from kws_stream.training.augment import NOISY, add_noise, change_clips, condition, mask, quieten
from kws_stream.training.corpus import Corpus
from kws_stream.training.recipe import Recipe
from kws_stream.training.sampling import Sampler


class Batch(NamedTuple):
    """Features (T, batch, n_features), labels (batch, clips), and a teacher's logits.

    taught: (batch, clips, K), NaN where no teacher says anything (see `sampling.Drawn`).
    """

    features: Tensor
    labels: Tensor
    taught: Tensor


class Batches:
    """Draws batches by a recipe; the same generator gives the same batch."""

    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        self._recipe = recipe
        self._sampler = Sampler(corpus, recipe)
        self._noise = torch.from_numpy(corpus.streams["noise"])

    def class_shares(self) -> Tensor:
        """How often each class is heard, (K,), adding up to 1."""
        return self._sampler.class_shares(self._recipe.background_share)

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch."""
        recipe = self._recipe
        clips, labels, taught = self._sampler.draw(
            recipe.batch_size * recipe.clips_per_sequence, generator
        )
        hop_s = recipe.features.hop_samples / recipe.features.rate_hz
        clips = change_clips(clips, recipe.augment, generator, hop_s)
        if recipe.masks:
            clips = mask(clips, recipe.masks, generator)
        if recipe.quiet:
            clips = quieten(clips, recipe.quiet, generator)
        sequences = clips.view(recipe.batch_size, -1, clips.shape[-1])
        labels = labels.view(recipe.batch_size, recipe.clips_per_sequence)
        taught = taught.view(recipe.batch_size, recipe.clips_per_sequence, -1)
        count = round(recipe.background_share * recipe.batch_size)
        if count:
            background, background_labels = self._sampler.background(
                count, recipe.clips_per_sequence, generator
            )
            sequences = torch.cat([background, sequences[len(background) :]])
            labels = torch.cat([background_labels, labels[len(background) :]])
            taught[: len(background)] = torch.nan
        noisy = NOISY * recipe.augment * recipe.noise
        sequences = add_noise(sequences, self._noise, noisy, generator)
        return Batch(condition(sequences, recipe.features), labels, taught)
