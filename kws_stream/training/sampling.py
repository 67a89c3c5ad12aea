"""Which clips a training step sees, and what they are called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kws_stream.names import known_name
from kws_stream.training.corpus import Corpus
from kws_stream.training.recipe import WAKE_PHRASE, Recipe
from kws_stream.training.shares import SHARES

OF_PHRASE = ("phrase", "recordings")
OF_WORDS = ("speech_commands", "pictures")
RARE = 100
TASK_WORDS = ("no", "up", "down", "left", "right")  # against yes, in arXiv:2605.15216


@dataclass(frozen=True)
class _Group:
    label: int
    share: float
    envelopes: Tensor  # clips (n, hops, channels), or one long recording (hops, channels)
    members: Tensor | None  # rows of `envelopes`; None: draw a second from the recording
    logits: Tensor | None = None  # a teacher's, of each row of `envelopes`


class Drawn(NamedTuple):
    """Clips (n, hops, channels), labels (n,), and what a teacher says of them (n, K).

    taught: logits, NaN where no teacher was asked, or where it calls the clip something else than
    its label.
    """

    clips: Tensor
    labels: Tensor
    taught: Tensor


_Add = Callable[[int, float, str, np.ndarray], None]


class _Words:
    """Words of training speakers, as recordings and as pictures of clips.

    Both serve every word, so that coming from a picture speaks for no class.
    """

    def __init__(self, corpus: Corpus, recipe: Recipe, of_pictures: float, add: _Add) -> None:
        real, pictures = corpus.clips["speech_commands"], corpus.clips.get("pictures")
        self._words = {"speech_commands": real.words}
        self._training = {"speech_commands": real.splits == "training"}
        if pictures is not None:
            self._words["pictures"] = pictures.words
            self._training["pictures"] = pictures.splits == "training"
        for name, limit in recipe.limits.items():
            word = known_name(name, self.names)
            of_word = np.flatnonzero(self._training["speech_commands"] & (real.words == word))
            self._training["speech_commands"][of_word[limit:]] = False
            if pictures is not None:
                self._training["pictures"] &= pictures.words != word
        self._of_pictures, self._add = of_pictures, add

    @property
    def names(self) -> list[str]:
        """Every word that there are clips of, by any speaker."""
        return sorted(set(np.concatenate(list(self._words.values())).tolist()))

    def _of(self, word: str) -> dict[str, np.ndarray]:
        return {source: self._training[source] & (w == word) for source, w in self._words.items()}

    def count(self, word: str) -> int:
        """Clips of the word that training hears."""
        return sum(int(mask.sum()) for mask in self._of(word).values())

    def add(self, label: int, share: float, word: str) -> None:
        masks = self._of(word)
        counts = {source: int(mask.sum()) for source, mask in masks.items()}
        made = 0.0
        if counts.get("pictures"):
            made = max(self._of_pictures, counts["pictures"] / sum(counts.values()))
            if not counts["speech_commands"]:
                made = 1.0
        self._add(label, share * (1 - made), "speech_commands", masks["speech_commands"])
        if made:
            self._add(label, share * made, "pictures", masks["pictures"])

    def add_rest(self, label: int, share: float, known: list[str]) -> None:
        """Every word but those: with pictures each as often, without them each clip."""
        if "pictures" not in self._words:
            others = self._training["speech_commands"] & ~np.isin(
                self._words["speech_commands"], known
            )
            self._add(label, share, "speech_commands", others)
            return
        heard = [word for word in self.names if word not in known and self.count(word)]
        for word in heard:
            self.add(label, share / len(heard), word)


class Sampler:
    """Draws clips with their labels: class by class in fixed shares, from training speakers alone.

    Noise becomes "silence" where the task has that class, at levels from -50 to +10 dB of the
    recording's. Every other sound without a keyword is the task's "unknown" or "other"; v2-35 has
    no such class and hears its words and noise alone.
    """

    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        self.classes = recipe.classes
        self._hops = recipe.clip_hops
        shares = SHARES[recipe.task] | recipe.shares
        tensors = {name: torch.from_numpy(c.envelopes) for name, c in corpus.clips.items()}
        logits = {n: torch.from_numpy(c.logits) for n, c in corpus.clips.items() if len(c.logits)}
        self._groups: list[_Group] = []

        def add(label: int, share: float, source: str, mask: np.ndarray) -> None:
            rows = np.flatnonzero(mask)
            if len(rows) and share > 0:
                members = torch.from_numpy(rows)
                group = _Group(label, share, tensors[source], members, logits.get(source))
                self._groups.append(group)

        if recipe.task == WAKE_PHRASE:
            self._add_phrase(corpus, shares, add)
        else:
            self._add_words(corpus, recipe, shares, add)
        self._shares = torch.tensor([group.share for group in self._groups])

    def _add_phrase(self, corpus: Corpus, shares: dict[str, float], add: _Add) -> None:
        """A wake phrase and the rest: each source with its share."""
        for source, clips in corpus.clips.items():
            label = int(source not in OF_PHRASE)
            add(label, shares[source], source, clips.splits == "training")
        for source, envelopes in corpus.streams.items():
            stream = torch.from_numpy(envelopes)
            self._groups.append(_Group(1, shares[source], stream, None))

    def _add_words(
        self, corpus: Corpus, recipe: Recipe, shares: dict[str, float], add: _Add
    ) -> None:
        """The words of the task, and what is none of them."""
        words = _Words(corpus, recipe, shares["of_pictures"], add)
        synthetic = corpus.clips.get("synthetic")
        for label, word in enumerate(self.classes):
            if word not in recipe.keywords:
                continue
            rare = words.count(word) < RARE
            made = shares["rare_keyword_synthetic" if rare else "keyword_synthetic"]
            if synthetic is None:
                made = 0.0
            weight = shares.get("keyword", 1.0) * (shares.get("rare_keyword", 1.0) if rare else 1)
            words.add(label, weight * (1 - made), word)
            if synthetic is not None:
                add(label, weight * made, "synthetic", synthetic.words == word)
        if recipe.task != "v2-35":
            self._add_others(corpus, recipe, shares, words, add)
        silence = next((n for n in ("silence", "other") if n in self.classes), "unknown")
        self._add_stream(corpus, "noise", shares, self.classes.index(silence))

    def _add_stream(
        self, corpus: Corpus, source: str, shares: dict[str, float], label: int
    ) -> None:
        if source in corpus.streams:
            stream = torch.from_numpy(corpus.streams[source])
            self._groups.append(_Group(label, shares[source], stream, None))

    def _add_others(
        self,
        corpus: Corpus,
        recipe: Recipe,
        shares: dict[str, float],
        words: "_Words",
        add: _Add,
    ) -> None:
        """Speech without a keyword."""
        rest = self.classes.index("other" if "other" in self.classes else "unknown")
        heard = words.names
        left_out = [known_name(word, heard) for word, limit in recipe.limits.items() if limit == 0]
        known = [*recipe.keywords, *left_out]
        task_words = TASK_WORDS if recipe.task == "yes" else ()
        for word in task_words:
            words.add(rest, shares["task_words"] / len(TASK_WORDS), word)
        words.add_rest(rest, shares["speech_commands"], [*known, *task_words])
        for source, clips in corpus.clips.items():
            if source in OF_WORDS:
                continue
            others = ~np.isin(clips.words, known)
            if source != "synthetic":
                others &= clips.splits == "training"
            add(rest, shares[source], source, others)
        self._add_stream(corpus, "running_speech", shares, rest)

    def class_shares(self, background_share: float) -> Tensor:
        """How often each class is heard, (K,), adding up to 1, with that share of `background`."""
        labels = torch.tensor([group.label for group in self._groups])
        heard = torch.zeros(len(self.classes)).index_add_(0, labels, self._shares)
        heard /= heard.sum()
        streams = torch.tensor([group.label for group in self._groups if group.members is None])
        if not len(streams):
            return heard
        behind = torch.bincount(streams, minlength=len(self.classes)) / len(streams)
        return (1 - background_share) * heard + background_share * behind

    def draw(self, count: int, generator: torch.Generator) -> Drawn:
        """Clips with their labels, and a teacher's logits where the corpus has them."""
        chosen = torch.multinomial(self._shares, count, True, generator=generator)
        channels = self._groups[0].envelopes.shape[-1]
        clips = torch.empty(count, self._hops, channels)
        labels = torch.empty(count, dtype=torch.long)
        taught = torch.full((count, len(self.classes)), torch.nan)
        for index, group in enumerate(self._groups):
            rows = torch.nonzero(chosen == index).flatten()
            if not len(rows):
                continue
            labels[rows] = group.label
            if group.members is not None:
                picked = torch.randint(0, len(group.members), (len(rows),), generator=generator)
                members = group.members[picked]
                clips[rows] = group.envelopes[members]
                if group.logits is not None:
                    taught[rows] = group.logits[members]
                continue
            last = len(group.envelopes) - self._hops
            starts = torch.randint(0, last, (len(rows),), generator=generator)
            second = group.envelopes[starts[:, None] + torch.arange(self._hops)]
            if self.classes[group.label] == "silence":
                level_db = 60 * torch.rand(len(rows), 1, 1, generator=generator) - 50
                second = second * 10 ** (level_db / 20)
            clips[rows] = second
        taught[taught.argmax(-1) != labels] = torch.nan
        return Drawn(clips, labels, taught)

    def background(
        self, count: int, clips: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Unbroken stretches (count, clips · hops, channels) of the long recordings, and labels.

        In a stream mostly nobody says a keyword, and gain control settles on what is there.
        Labels are (count, clips); zero sequences where the corpus has no long recordings.
        """
        streams = [g for g in self._groups if g.members is None]
        if not streams:
            channels = self._groups[0].envelopes.shape[-1]
            return torch.empty(0, clips * self._hops, channels), torch.empty(0, clips).long()
        hops = clips * self._hops
        sequences, labels = [], []
        for index in range(count):
            group = streams[index % len(streams)]
            last = len(group.envelopes) - hops
            start = int(torch.randint(0, last, (1,), generator=generator))
            sequences.append(group.envelopes[start : start + hops])
            labels.append(torch.full((clips,), group.label))
        return torch.stack(sequences), torch.stack(labels)
