"""A convolutional network that no chip could hold, whose posteriors smaller networks learn from.

Distillation: Hinton et al., "Distilling the knowledge in a neural network", arXiv:1503.02531. The
network is a temporal one after TC-ResNet (Choi et al., "Temporal convolution for real-time keyword
spotting on mobile devices", arXiv:1904.03814): channels are features, convolutions run over time.
"""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from kws_stream.errors import DataError
from kws_stream.files import write
from kws_stream.training.batches import Batches
from kws_stream.training.corpus import Corpus
from kws_stream.training.one_cycle import OneCycle
from kws_stream.training.recipe import Recipe

WIDTHS = (48, 72, 96, 144)
KERNEL = 9
DROPOUT = 0.2
LEARNING_RATE = 4e-3
FILE = "teacher.safetensors"


class _Residual(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(n_in, n_out, KERNEL, 2, KERNEL // 2, bias=False)
        self.second = nn.Conv1d(n_out, n_out, KERNEL, 1, KERNEL // 2, bias=False)
        self.around = nn.Conv1d(n_in, n_out, 1, 2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_out) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first, second, around = self.norms
        inner = second(self.second(torch.relu(first(self.first(x)))))
        return torch.relu(inner + around(self.around(x)))


class Teacher(nn.Module):
    """Logits of whole clips; it sees a clip's future and is never part of a pack."""

    def __init__(self, n_features: int, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.classes = classes
        self.first = nn.Conv1d(n_features, WIDTHS[0], 3, padding=1)
        pairs = itertools.pairwise(WIDTHS)
        self.blocks = nn.Sequential(*(_Residual(n_in, n_out) for n_in, n_out in pairs))
        self.classifier = nn.Linear(WIDTHS[-1], len(classes))

    def forward(self, features: Tensor, joined: int) -> Tensor:
        """Logits (joined, batch, K) of features (T, batch, n_features) of joined clips."""
        frames, batch, n = features.shape
        clips = features.view(joined, frames // joined, batch, n).permute(0, 2, 3, 1)
        x = self.blocks(self.first(clips.flatten(0, 1))).mean(-1)
        x = functional.dropout(x, DROPOUT, self.training)
        logits: Tensor = self.classifier(x)
        return logits.view(joined, batch, -1)


def new_teacher(recipe: Recipe, classes: tuple[str, ...]) -> Teacher:
    """An untrained teacher of those classes, for the recipe's features."""
    return Teacher(recipe.features.n_features, classes)


def in_classes(logits: Tensor, known: tuple[str, ...], wanted: tuple[str, ...]) -> Tensor:
    """Logits (..., K) over the classes `known` as logits over `wanted`, whose last takes the rest.

    A teacher of twelve words can teach yes and other: posteriors of what is not wanted add up.
    """
    if known == wanted:
        return logits
    own = [known.index(name) for name in wanted[:-1]]
    rest = [index for index in range(len(known)) if index not in own]
    return torch.cat([logits[..., own], logits[..., rest].logsumexp(-1, keepdim=True)], -1)


def train_teacher(
    recipe: Recipe,
    corpus: Corpus,
    steps: int,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Teacher:
    """A teacher trained on the recipe's own batches, one-cycle AdamW; progress hears the loss."""
    torch.manual_seed(recipe.seed)
    teacher = new_teacher(recipe, recipe.classes)
    batches = Batches(corpus, recipe)
    descent = OneCycle(teacher, LEARNING_RATE, steps, decay=0.01, longest=None)
    for step in range(1, steps + 1):
        # other batches than those that the recipe's own network will hear
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 - step)
        features, labels, _ = batches.draw(generator)
        logits = teacher(features, recipe.clips_per_sequence)
        loss = functional.cross_entropy(
            logits.flatten(0, 1), labels.t().flatten(), label_smoothing=recipe.label_smoothing
        )
        progress(step, descent.step(loss))
    return teacher.eval()


@torch.no_grad()
def accuracy(teacher: Teacher, features: Tensor, labels: Tensor) -> float:
    """Share of clips (T, n, n_features) with labels (n,) that the teacher calls right."""
    calls = torch.cat([teacher(part, 1)[0] for part in torch.split(features, 500, 1)]).argmax(-1)
    return float((calls == labels).float().mean())


def save_teacher(teacher: Teacher, recipe: Recipe, folder: Path) -> Path:
    """Write weights, features and classes to `folder`; an older teacher there is replaced."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in teacher.state_dict().items()}
    about = {"network": _network(recipe), "classes": teacher.classes}
    write(folder / FILE, save(tensors, {"about": json.dumps(about)}))
    return folder / FILE


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; raises DataError for one that is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path}: need an intact file of tensors, got: {error!s:.200}; remove it"
        ) from error


def load_teacher(folder: Path, recipe: Recipe) -> Teacher:
    """The teacher in `folder`, for a network of the recipe's features and classes.

    Raises DataError if there is none, if it hears other features, or if it does not know a class.
    """
    path = folder / FILE
    if not path.exists():
        raise DataError(f"{folder}: need a teacher ({FILE}), found none; see `kws-stream teach`")
    tensors, metadata = read_tensors(path)
    try:
        about = json.loads(metadata["about"])
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: need a teacher made by `kws-stream teach`, got another"
        ) from error
    if about["network"] != _network(recipe):
        raise DataError(f"{path}: need a teacher of the recipe's features, got one of others")
    classes = tuple(about["classes"])
    missing = sorted(set(recipe.classes[:-1]) - set(classes))
    if missing and classes != recipe.classes:
        raise DataError(f"{path}: need a teacher that knows {', '.join(missing)}; got {classes}")
    teacher = new_teacher(recipe, classes)
    teacher.load_state_dict(tensors)
    return teacher.eval()


def _network(recipe: Recipe) -> dict[str, object]:
    """What has to be equal for weights to fit, as JSON gives it back."""
    features = recipe.features.as_dict()
    return {"features": features, "widths": list(WIDTHS), "kernel": KERNEL}
