"""One trial of a search: a recipe in, its validation accuracy and core power out."""

import math
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from kws_stream.brief import brief
from kws_stream.errors import KwsStreamError, MissingExtraError
from kws_stream.features import FeatureSettings
from kws_stream.features.conditioning import ConditioningSettings
from kws_stream.training.corpus import Corpus
from kws_stream.training.extra import training_extra
from kws_stream.training.recipe import Recipe
from kws_stream.workers import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from kws_stream.training.model import SpottingNetwork

CLIPS_AT_ONCE = 500


@dataclass(frozen=True)
class Outcome:
    """Balanced accuracy fresh and carried, 0..1, as `training.loop.validate` gives it, and the mean
    core power over the validation clips in nW at 1 nA; or, of a trial that failed, why."""

    seconds: float
    fresh: float | None = None
    carried: float | None = None
    core_power_nw: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Train:
    """Trains a recipe on the recordings of these folders; the same outcome wherever it is called.

    data, synthetic, pictures: as of `Corpus.from_folders`; cache: where envelopes are kept;
    teachers: folder or file of each, for recipes that learn from one. Accuracy is that on
    recordings.
    Each trial has one thread, since the order of PyTorch's sums depends on their number.

    Raises MissingExtraError without PyTorch, DataError where recordings are missing: no other
    recipe would change that. What a recipe cannot do is told by its outcome.
    """

    data: Path
    synthetic: Path | None
    cache: Path
    teachers: tuple[Path, ...] = ()
    pictures: Path | None = None

    __repr__ = brief

    def __call__(self, recipe: Recipe) -> Outcome:
        with training_extra():
            import torch
        with _one_at_a_time:  # PyTorch's global random numbers are those of the process
            began = time.monotonic()
            corpus = self.corpus(recipe.features)
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                fresh, carried, core_nw = _train(recipe, corpus, self.teachers)
            except MissingExtraError:
                raise
            except Exception as error:  # whatever settings do to PyTorch: the next are others
                return Outcome(time.monotonic() - began, error=_sentence(error))
            finally:
                torch.set_num_threads(threads)
        return Outcome(time.monotonic() - began, fresh, carried, core_nw)

    def corpus(
        self,
        features: FeatureSettings,
        jobs: int = 1,
        notes: list[str] | None = None,
        progress: Progress | None = None,
    ) -> Corpus:
        """The recordings' envelopes; kept for the next trial with the same filterbank.

        notes, progress: as of `Corpus.from_folders`.
        """
        conditioning = {f.name for f in fields(ConditioningSettings)}
        names = [f.name for f in fields(features) if f.name not in conditioning]
        bank = FeatureSettings(**{name: getattr(features, name) for name in names})
        key = (self.data, self.synthetic, bank, self.cache, self.pictures)
        if key not in _kept:
            corpus = Corpus.from_folders(
                *(self.data, self.synthetic, bank, self.cache, jobs, self.pictures),
                notes=notes,
                progress=progress,
            )
            _kept.clear()  # one is large
            _kept[key] = corpus
        return _kept[key]


_kept: dict[tuple[object, ...], Corpus] = {}
_one_at_a_time = threading.Lock()


def _sentence(error: Exception) -> str:
    kind = "" if isinstance(error, KwsStreamError) else f"{type(error).__name__}: "
    return f"{' '.join(f'{kind}{error}'.split()):.300}"


def _train(
    recipe: Recipe, corpus: Corpus, teachers: tuple[Path, ...]
) -> tuple[float, float, float]:
    """Accuracy fresh and carried, and core power in nW, of a network trained to the end."""
    from kws_stream.training.loop import Training, validate
    from kws_stream.training.posteriors import taught_by
    from kws_stream.training.validation import validation_clips

    corpus, network_teacher = taught_by(teachers if recipe.teacher_weight else (), recipe, corpus)
    with TemporaryDirectory() as folder:
        training = Training(recipe, corpus, Path(folder), network_teacher)
        for _ in range(recipe.steps):
            training.advance()
    network = training.network.eval()
    held_out = validation_clips(corpus, recipe).of("speech_commands")
    fresh, carried = validate(network, held_out, recipe)
    core_nw = core_power_nw(network, held_out.clips, recipe)
    if not math.isfinite(core_nw):
        raise ArithmeticError(f"training diverged: core power {core_nw} nW")
    return fresh, carried, core_nw


def core_power_nw(network: "SpottingNetwork", clips: "Tensor", recipe: Recipe) -> float:
    """Mean core power in nW at 1 nA over clips (n, hops, channels), each from silence."""
    import torch

    from kws_stream.training.augment import condition

    total = 0.0
    with torch.no_grad():
        for part in torch.split(clips, CLIPS_AT_ONCE):
            features = condition(part, recipe.features)
            power_nw = network.with_power(features, current_scale=recipe.current_scale).core_nw
            total += float(power_nw) * len(part)
    return total / len(clips)
