"""Two other recurrent networks of the same size, trained on the same data, for comparison.

minGRU (Feng et al., "Were RNNs all we needed?", arXiv:2410.01201) and LRU (Orvieto et al.,
"Resurrecting recurrent neural networks for long sequences", arXiv:2303.06349) take the place of the
cells in the network of `kws_stream.network`: the same pre-projection, skip paths and classifier.
`kws_stream.studies.baselines` computes them with NumPy, and holds their equations.
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kws_stream.files import replacing
from kws_stream.training.batches import Batches
from kws_stream.training.corpus import Corpus
from kws_stream.training.loss import sequence_loss
from kws_stream.training.one_cycle import OneCycle
from kws_stream.training.recipe import Recipe

FIRST_RADIUS = (0.6, 0.99)  # |lambda| of an untrained LRU: memory of 2 to 100 frames
FIRST_PHASE = math.pi / 10


def _affine(n_in: int, n_out: int) -> nn.ParameterDict:
    weight = torch.randn(n_in, n_out) / n_in**0.5
    return nn.ParameterDict({"weight": weight, "bias": torch.zeros(n_out)})


def _apply(layer: nn.ParameterDict, x: Tensor) -> Tensor:
    out: Tensor = x @ layer["weight"] + layer["bias"]
    return out


class MinGruBlock(nn.Module):
    """h = (1 - z)·h + z·g with z = sigmoid(W_z·x + b_z), g = W_h·x + b_h."""

    def __init__(self, width: int, cells: int) -> None:
        super().__init__()
        self.gate = _affine(width, cells)
        self.value = _affine(width, cells)
        self.post = _affine(cells, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = torch.sigmoid(_apply(self.gate, x)), _apply(self.value, x)
        state = torch.zeros_like(value[0])
        states = []
        for share, new in zip(gate, value, strict=True):
            state = state + share * (new - state)
            states.append(state)
        return _apply(self.post, torch.stack(states))


class LruBlock(nn.Module):
    """h = lambda·h + gamma·(B·x), complex, lambda = exp(-rate + i·phase); out = Re(C·h) + D·x + b.

    B and C are held as real and imaginary parts side by side.
    """

    def __init__(self, width: int, cells: int) -> None:
        super().__init__()
        radius = torch.empty(cells).uniform_(*FIRST_RADIUS)
        self.log_rate = nn.Parameter(torch.log(-torch.log(radius)))
        self.phase = nn.Parameter(torch.rand(cells) * FIRST_PHASE)
        self.log_gain = nn.Parameter(0.5 * torch.log(1 - radius**2))
        self.into = nn.Parameter(torch.randn(width, 2 * cells) / (2 * width) ** 0.5)
        self.out = nn.Parameter(torch.randn(2 * cells, width) / cells**0.5)
        self.through = nn.Parameter(torch.randn(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        radius = torch.exp(-torch.exp(self.log_rate))
        real, imaginary = radius * torch.cos(self.phase), radius * torch.sin(self.phase)
        driven = x @ self.into * torch.exp(self.log_gain).repeat(2)
        re = im = torch.zeros_like(driven[0, :, : len(real)])
        states = []
        for new in driven:
            new_re, new_im = new.chunk(2, dim=-1)
            re, im = real * re - imaginary * im + new_re, real * im + imaginary * re + new_im
            states.append(torch.cat([re, -im], dim=-1))
        return torch.stack(states) @ self.out + self.through * x + self.bias

    def programmed(self) -> dict[str, Tensor]:
        """What a circuit would program: decay rate, phase and gain, not their logarithms."""
        return {
            "rate": torch.exp(self.log_rate),
            "phase": self.phase,
            "gain": torch.exp(self.log_gain),
            **{name: getattr(self, name) for name in ("into", "out", "through", "bias")},
        }


class BaselineNetwork(nn.Module):
    """The skeleton of a spotting network around blocks of another kind."""

    def __init__(
        self, n_features: int, width: int, classes: int, blocks: list[MinGruBlock | LruBlock]
    ) -> None:
        super().__init__()
        self.pre = _affine(n_features, width)
        self.typed_blocks = blocks
        self.blocks = nn.ModuleList(blocks)
        self.classifier = _affine(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (T, batch, K) of features (T, batch, n_features)."""
        x = _apply(self.pre, features)
        for block in self.typed_blocks:
            x = x + torch.relu(block(x))
        return _apply(self.classifier, x)

    @torch.no_grad()
    def arrays(self) -> dict[str, Any]:
        """Programmed values by name, such as blocks.0.gate.weight."""
        named: dict[str, Tensor] = {}
        for name, layer in (("pre", self.pre), ("classifier", self.classifier)):
            named |= {f"{name}.{key}": value for key, value in layer.items()}
        for index, block in enumerate(self.typed_blocks):
            values = (
                block.programmed()
                if isinstance(block, LruBlock)
                else dict(block.named_parameters())
            )
            named |= {f"blocks.{index}.{key}": value for key, value in values.items()}
        return {name: value.double().numpy() for name, value in named.items()}


def new_baseline(kind: str, recipe: Recipe) -> BaselineNetwork:
    """An untrained "mingru" or "lru" of about the recipe's number of parameters.

    minGRU has as many cells as the recipe; LRU half as many, since each is a complex number.
    """
    features = recipe.features.n_features
    make: Callable[[], MinGruBlock | LruBlock]
    if kind == "mingru":
        make = lambda: MinGruBlock(recipe.width, recipe.cells)  # noqa: E731
    else:
        make = lambda: LruBlock(recipe.width, max(1, recipe.cells // 2))  # noqa: E731
    blocks = [make() for _ in range(recipe.blocks)]
    return BaselineNetwork(features, recipe.width, len(recipe.classes), blocks)


def train_baseline(
    kind: str,
    recipe: Recipe,
    corpus: Corpus,
    steps: int,
    learning_rate: float,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> BaselineNetwork:
    """A trained baseline: clips, changes, noise and loss of the recipe, one-cycle AdamW."""
    torch.manual_seed(recipe.seed)
    network = new_baseline(kind, recipe)
    batches = Batches(corpus, recipe)
    descent = OneCycle(network, learning_rate, steps, decay=1e-3, momentum=False)
    for step in range(1, steps + 1):
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        features, labels, _ = batches.draw(generator)
        progress(step, descent.step(sequence_loss(network(features), labels, recipe)))
    return network


def write_baselines(
    path: Path, networks: dict[str, BaselineNetwork], recipe: Recipe, **training: Any
) -> None:
    """One .npz of float32 arrays named kind/array, and the recipe as JSON text."""
    import json

    about = {
        "task": recipe.task,
        "classes": recipe.classes,
        "features": recipe.features.as_dict(),
        "decision_s": recipe.decision_s,
        "recipe": {key: value for key, value in asdict(recipe).items() if key in _SHARED},
        **training,
    }
    arrays = {
        f"{kind}/{name}": value.astype(np.float32)
        for kind, network in networks.items()
        for name, value in network.arrays().items()
    }
    with replacing(path) as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)


_SHARED = (
    "seed",
    "width",
    "cells",
    "blocks",
    "batch_size",
    "clips_per_sequence",
    "augment",
    "label_smoothing",
)
