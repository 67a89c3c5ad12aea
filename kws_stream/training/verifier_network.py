"""Training of a verifier for microcontrollers: a small convolutional network over time.

It hears what the first stage hears, sequences of joined clips and running speech, and is asked at
every fourth frame whether a keyword has just been said. Batch normalisation helps at first; then it
becomes part of the weights, and the network goes on with weights and values rounded as integers
round them (quantisation-aware training, Jacob et al., arXiv:1712.05877), with scales that are
powers of two.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from kws_stream import packs
from kws_stream.brief import changed
from kws_stream.errors import DataError, ParameterError
from kws_stream.settings import Count, NotNegative, Share, Whole, set_checked
from kws_stream.training.augment import condition
from kws_stream.training.batches import Batches
from kws_stream.training.corpus import Corpus
from kws_stream.training.one_cycle import OneCycle
from kws_stream.training.recipe import CLASSES, Recipe
from kws_stream.training.validation import ValidationClips, validation_clips
from kws_stream.training.verifying import Taught
from kws_stream.verifier import Convolution, VerifierNetwork, network_bytes
from kws_stream.verifier.mcu import KIND
from kws_stream.verifier.network import SCORE_BITS, SCORE_SPAN_BITS, TOP

VALUE_BITS = 5  # below the binary point of what layers give each other: 0 to 8 in steps of 1/32
WINDOW_S = 1.5
LOOKS_S = (0.0, 0.2, 0.4)
CONFIRM_S = (-0.2, 0.45)  # when a window ends, after the end of a clip, it holds the whole word
UNCLEAR_S = (-0.6, 1.0)  # it holds some of it
NEGATIVES = 3  # windows without the keyword that count for each with it: those that score highest
FINE_SHARE = 0.35  # of the steps, with rounding
LOST_SHARE = 0.01  # of validation words that the threshold rejects


@dataclass(frozen=True)
class NetworkSettings:
    """widths: of the first layer and of each pair of a depthwise and a pointwise one. sequences: in
    a step."""

    steps: Whole = 4000
    sequences: Count = 48
    widths: tuple[Count, ...] = (64, 96, 128, 128, 128)
    learning_rate: NotNegative = 4e-3
    fine_rate: NotNegative = 1e-3
    decay: NotNegative = 1e-2
    dropped: Share = 0.1
    seed: Whole = 0

    __repr__ = changed

    def __post_init__(self) -> None:
        set_checked(self, "verifier network")


DEFAULT = NetworkSettings()


def lesson(recipe: Recipe, sequences: int) -> Recipe:
    """The recipe of a network as its verifier is taught: more running speech, bolder changes."""
    more = {"running_speech": 1.0, "noise": 0.4} | recipe.shares
    phrase = {"running": 1.0}
    shares = more | phrase if recipe.phrase else more
    return replace(
        recipe,
        clips_per_sequence=4,
        batch_size=sequences,
        augment=max(recipe.augment, 0.6),
        masks=max(recipe.masks, 0.2),
        background_share=0.35,
        shares=shares,
    )


class _Layer(nn.Module):
    """A convolution that is normalised until `fold` makes that a part of its weights."""

    def __init__(self, n_in: int, n_out: int, taps: int, stride: int, *, fraction: int) -> None:
        """n_in: 0 for a depthwise one. fraction: bits below the binary point of its inputs."""
        super().__init__()
        self.fraction, self.stride, self.groups = fraction, stride, n_out if n_in == 0 else 1
        weight = torch.empty(n_out, n_in or 1, taps)
        self.weight = nn.Parameter(nn.init.kaiming_normal_(weight, nonlinearity="relu"))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.norm: nn.BatchNorm1d | None = nn.BatchNorm1d(n_out)

    least_bits = 0

    @property
    def bits(self) -> Tensor:
        """Bits below the binary point of each output's weights: as many as 8 bits hold."""
        largest = self.weight.detach().flatten(1).abs().amax(1).clamp(min=1e-6)
        bits: Tensor = torch.floor(torch.log2(127 / largest)).clamp(self.least_bits, 20)
        return bits

    def rounded(self) -> tuple[Tensor, Tensor]:
        """Weights and biases as integers have them; gradients pass."""
        unit = 2.0 ** self.bits[:, None, None]
        weight = _through((self.weight * unit).round().clamp(-127, 127) / unit, self.weight)
        unit = 2.0 ** (self.bits + self.fraction)
        bias = _through((self.bias * unit).round() / unit, self.bias)
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (self.weight, self.bias) if self.norm is not None else self.rounded()
        x = functional.conv1d(x, weight, bias, self.stride, groups=self.groups)
        return x if self.norm is None else self.norm(x)

    @torch.no_grad()
    def fold(self) -> None:
        """Normalisation as weights and biases."""
        norm = self.norm
        assert norm is not None
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        self.bias.copy_((self.bias - norm.running_mean) * scale + norm.bias)
        self.weight.mul_(scale[:, None, None])
        self.norm = None

    def integers(self, out_bits: int) -> Convolution:
        """out_bits: bits below the binary point of what it gives."""
        weight, bias = (each.detach().double() for each in self.rounded())
        bits = self.bits.double()
        codes = (weight * 2 ** bits[:, None, None]).round().to(torch.int8).numpy()
        codes = codes[:, 0].T if self.groups > 1 else np.transpose(codes, (2, 1, 0))
        biases = (bias * 2 ** (bits + self.fraction)).round().to(torch.int32).numpy()
        shift = (bits + self.fraction - out_bits).to(torch.uint8).numpy()
        return Convolution(np.ascontiguousarray(codes), biases, shift, self.stride)


class _Last(_Layer):
    least_bits = SCORE_BITS - SCORE_SPAN_BITS - VALUE_BITS  # so that its shift is none to the left


def _through(rounded: Tensor, exact: Tensor) -> Tensor:
    """The rounded values, with the gradient of the exact ones."""
    return exact + (rounded - exact).detach()


class VerifierTrainee(nn.Module):
    """The network while it learns: logits at every fourth frame of whole sequences."""

    def __init__(self, recipe: Recipe, settings: NetworkSettings = DEFAULT) -> None:
        super().__init__()
        torch.manual_seed(settings.seed)
        features = recipe.features
        self.channels, self.keywords = features.channels, recipe.keywords
        self.frames = round(WINDOW_S / features.frame_s)
        self.looks = tuple(round(look / features.frame_s) for look in LOOKS_S)
        self.dropped = settings.dropped
        fraction = round(-np.log2(features.step))
        stride = max(1, round(0.04 / features.frame_s))
        self.hop = 2 * stride
        first, *widths = settings.widths
        layers = [_Layer(self.channels, first, 2 * stride + 1, stride, fraction=fraction)]
        left, before = (self.frames - 2 * stride - 1) // stride + 1, first
        for number, width in enumerate(widths):
            step = 2 if number == 1 else 1
            layers.append(_Layer(0, before, 5, step, fraction=VALUE_BITS))
            layers.append(_Layer(before, width, 1, 1, fraction=VALUE_BITS))
            left, before = (left - 5) // step + 1, width
        last = _Last(before, len(self.keywords), left, 1, fraction=VALUE_BITS)
        last.norm = None
        nn.init.normal_(last.weight, std=(before * left) ** -0.5)
        self.layers = nn.ModuleList([*layers, last])

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, outputs, K) of features (T, n, n_features): windows that end with frame
        `frames`, and every `hop` behind it."""
        x = features[..., : self.channels].permute(1, 2, 0)
        *layers, last = self.layers
        for layer in layers:
            x = layer(x)
            top = TOP / 2.0**VALUE_BITS
            kept = x.clamp(0, top)
            if layer.norm is None:
                kept = _through((kept * 2.0**VALUE_BITS + 0.5).floor() / 2.0**VALUE_BITS, kept)
                kept = kept.clamp(max=top)
            thinned = self.training and isinstance(layer, _Layer) and layer.groups == 1
            x = functional.dropout1d(kept, self.dropped, thinned)
        logits: Tensor = last(x)
        return logits.transpose(1, 2)

    def fold(self) -> None:
        """From here on weights and values are rounded."""
        for layer in self.layers:
            if isinstance(layer, _Layer) and layer.norm is not None:
                layer.fold()

    def integers(self) -> VerifierNetwork:
        """The network in integers; raises ParameterError where it breaks a bound."""
        *inner, last = [layer for layer in self.layers if isinstance(layer, _Layer)]
        layers = [layer.integers(VALUE_BITS) for layer in inner]
        layers.append(last.integers(SCORE_BITS - SCORE_SPAN_BITS))
        return VerifierNetwork(tuple(layers), self.frames, self.looks)


def recipe_of(pack: packs.Pack) -> Recipe:
    """What a verifier needs of the recipe of a pack of words.

    Raises ParameterError for a pack of a wake phrase, and for one that tells no task.
    """
    task = pack.manifest["recipe"].get("task")
    if task not in CLASSES:
        raise ParameterError(
            f"{pack.name}: need a model of words ({', '.join(CLASSES)}) to train a verifier for, "
            f"got {task!r:.80}; for a wake phrase: kws-stream train --wake-phrase --verifier mcu"
        )
    settings = {"name": pack.name, "task": task, "features": pack.features}
    recipe = Recipe.from_settings(settings)
    if recipe.keywords != pack.keywords:
        raise ParameterError(
            f"{pack.name}: need the keywords of the task {task}, got {' '.join(pack.keywords)}"
        )
    return recipe


def targets(labels: Tensor, ends_s: Tensor, clip_s: float, keywords: int) -> tuple[Tensor, Tensor]:
    """Which windows (n, outputs, K) hold a keyword that has just been said, and which count.

    labels: of the joined clips (n, joined); ends_s: of the windows (outputs,). A window that holds
    some of a word does not count for that word.
    """
    ends = clip_s * torch.arange(1, labels.shape[1] + 1)
    late = ends_s[:, None] - ends  # (outputs, joined)
    spoken = functional.one_hot(labels, max(keywords, int(labels.max()) + 1))[..., :keywords]

    def within(span: tuple[float, float]) -> Tensor:
        near = ((late >= span[0]) & (late <= span[1])).float()
        return torch.einsum("oj,njk->nok", near, spoken.float()) > 0

    said = within(CONFIRM_S)
    return said, said | ~within(UNCLEAR_S)


def verifier_loss(logits: Tensor, said: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of windows with a keyword, and of those without one that score highest."""
    losses = functional.binary_cross_entropy_with_logits(logits, said.float(), reduction="none")
    with_it, without = losses[said], losses[counts & ~said]
    hardest = without.topk(min(len(without), max(32, NEGATIVES * len(with_it)))).values
    return with_it.sum() / max(1, len(with_it)) + hardest.mean() + without.mean()


def train_network(
    corpus: Corpus,
    recipe: Recipe,
    settings: NetworkSettings = DEFAULT,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> VerifierTrainee:
    """A network taught from the corpus of the first stage; its keywords are the recipe's.

    progress: hears of the steps done, and of the loss. Raises DataError for a corpus without clips,
    ParameterError for a network that breaks a bound.
    """
    if not corpus.clips:
        raise DataError("verifier: need clips to learn from, got none")
    untaught = VerifierTrainee(recipe, settings)
    untaught.fold()
    untaught.integers()  # a network that would be too large is refused before it is taught
    taught = lesson(recipe, settings.sequences)
    batches = Batches(corpus, taught)
    trainee = VerifierTrainee(recipe, settings).train()
    rows = [recipe.classes.index(name) for name in recipe.keywords]
    place = torch.full((len(recipe.classes),), len(rows))
    place[rows] = torch.arange(len(rows))
    coarse = round(settings.steps * (1 - FINE_SHARE))
    for phase, first, last in ((0, 0, coarse), (1, coarse, settings.steps)):
        if phase:
            trainee.fold()
        rate = settings.fine_rate if phase else settings.learning_rate
        descent = OneCycle(trainee, rate, last - first, decay=settings.decay, rise=0.1)
        for step in range(first, last):
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
            features, labels, _ = batches.draw(generator)
            logits = trainee(features)
            ends = trainee.frames + trainee.hop * torch.arange(logits.shape[1])
            said, counts = targets(
                place[labels], ends * recipe.features.frame_s, recipe.clip_s, len(rows)
            )
            progress(step + 1, descent.step(verifier_loss(logits, said, counts)))
    return trainee.eval()


def teach(
    corpus: Corpus,
    recipe: Recipe,
    settings: NetworkSettings = DEFAULT,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Taught:
    """A verifier, with a threshold for validation words; arguments as of `train_network`."""
    trainee = train_network(corpus, recipe, settings, progress)
    threshold = threshold_for(trainee, corpus, recipe)
    return Taught(
        network_bytes(trainee.integers()), {"kind": KIND, "threshold": threshold, "needs": {}}
    )


@torch.no_grad()
def threshold_for(trainee: VerifierTrainee, corpus: Corpus, recipe: Recipe) -> float:
    """The highest threshold, to 0.005, that rejects at most a hundredth of the validation words.

    Each is heard at the end of a sequence of other clips, at the windows in which it is whole.
    """
    held_out = validation_clips(corpus, recipe)
    rows = [recipe.classes.index(name) for name in recipe.keywords]
    spoken = torch.isin(held_out.labels, torch.tensor(rows))
    if not spoken.any():
        return 0.5
    best = _best(trainee, held_out, recipe, spoken)
    scores = 0.5 + best / 2.0**SCORE_SPAN_BITS
    threshold = torch.quantile(scores, LOST_SHARE).item()
    return float(np.floor(min(max(threshold, 0.0), 1.0) * 200) / 200)


@torch.no_grad()
def _best(
    trainee: VerifierTrainee, held_out: ValidationClips, recipe: Recipe, spoken: Tensor
) -> Tensor:
    """The highest logit of its own word that each spoken clip (n,) gets."""
    others = held_out.clips[~spoken]
    quiet = others if len(others) else held_out.clips
    clips, labels = held_out.clips[spoken], held_out.labels[spoken]
    found = []
    for part in torch.split(torch.arange(len(clips)), 256):
        before = quiet[part % len(quiet)]
        after = torch.roll(before, 1, 0)
        joined = torch.cat([before, clips[part], after], 1)
        logits = trainee(condition(joined, recipe.features))
        ends = (trainee.frames + trainee.hop * torch.arange(logits.shape[1])).float()
        late = ends * recipe.features.frame_s - 2 * recipe.clip_s
        inside = (late >= CONFIRM_S[0]) & (late <= CONFIRM_S[1])
        own = torch.tensor([recipe.keywords.index(recipe.classes[int(i)]) for i in labels[part]])
        of_word = logits[:, inside].gather(2, own[:, None, None].expand(-1, int(inside.sum()), 1))
        found.append(of_word[..., 0].amax(1))
    return torch.cat(found)
