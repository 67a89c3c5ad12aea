"""Envelopes of two words, told by which channel is loud, and a network's recipe for them."""

import numpy as np

from kws_stream.features import FeatureSettings
from kws_stream.training.corpus import Clips, Corpus
from kws_stream.training.recipe import Recipe

RECIPE = Recipe(
    "tiny",
    "yes",
    batch_size=8,
    clips_per_sequence=1,
    features=FeatureSettings(channels=4, slow_s=()),
)


def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    words = np.array(["yes", "no"] * 20)
    envelopes = rng.uniform(0.001, 0.002, (40, 100, 4)).astype(np.float32)
    envelopes[words == "yes", 30:70, 0] += 0.1
    envelopes[words == "no", 30:70, 2] += 0.1
    splits = np.array(["training"] * 30 + ["validation"] * 10)
    noise = rng.uniform(0.001, 0.002, (300, 4)).astype(np.float32)
    return Corpus({"speech_commands": Clips(envelopes, words, splits)}, {"noise": noise})
