"""What the studies listen to: features of labelled seconds, computed once for all chips."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream import features, packs
from kws_stream.audio import FileSource
from kws_stream.brief import brief
from kws_stream.errors import ParameterError, TaskError
from kws_stream.evaluation import read_clip, select
from kws_stream.evaluation.clips import decision_frames
from kws_stream.evaluation.speech_commands import CLIP_SAMPLES, COMMANDS, SILENCE, Clip
from kws_stream.parameters import FloatArray
from kws_stream.pipeline import KeywordSpotter
from kws_stream.workers import Progress, Workers

PACKAGED = Path(__file__).parents[1] / "_data" / "clips.opus"
DEFAULT_CLIPS = 500
FILES_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Utterances:
    """Features (n, T, n_features) of n seconds, their labels (n,) as rows of `classes`.

    window: the frames from..to, without the last, whose mean logits decide. headline: the
    accuracy that counts, "balanced_accuracy" for one word against the rest, else "accuracy".
    """

    features: NDArray[np.floating]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    window: tuple[int, int]
    frame_s: float
    source: str
    notes: tuple[str, ...] = ()  # what the data set lacks, and what of it was left out
    names: tuple[str, ...] = ()  # WORD/FILE of each clip, no suffix; none of packaged ones

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def headline(self) -> str:
        return "balanced_accuracy" if "other" in self.classes else "accuracy"

    def first(self, clips: int) -> "Utterances":
        """The same with the first clips alone."""
        return replace(
            self,
            features=self.features[:clips],
            labels=self.labels[:clips],
            names=self.names[:clips],
        )

    def frames_of(self, clip: int) -> FloatArray:
        """Features (T, n_features) of a clip as float64."""
        frames: FloatArray = self.features[clip].astype(np.float64)
        return frames


def load_utterances(
    pack: packs.Pack,
    data: str | os.PathLike[str] | None = None,
    *,
    split: str = "validation",
    clips: int | None = DEFAULT_CLIPS,
    seed: int = 0,
    front_end: Mapping[str, Any] | None = None,
    need_a_word: bool = True,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Utterances:
    """Features of the packaged clips, or of a Speech Commands folder, for the front end of `pack`.

    data: a folder that `evaluation.select` reads; None: the packaged clips, which are synthetic.
    clips: how many at most, drawn by `seed` in equal shares of the classes where a folder has more;
    None: all. A word that is none of the pack's classes is its `unknown` or `other`. front_end:
    settings of another front end, for a network that is compared with the pack's. need_a_word:
    whether the pack has to know one of the words and decide within a second; a study of currents
    alone needs neither, and its window is the whole clip.

    Raises TaskError for a pack that has none of the commands where it needs one, and what `select`
    raises.
    """
    if clips is not None and clips < 1:
        raise ParameterError(f"clips: need 1 or more, got {clips}")
    if need_a_word and not set(pack.classes) & set(COMMANDS):
        raise TaskError(
            f"need a model with one of the words {', '.join(COMMANDS)}, but {pack.name} has "
            f"{', '.join(pack.classes)}; choose another model"
        )
    spotter = KeywordSpotter(pack, verify=False)
    settings = pack.features if front_end is None else front_end
    if data is None:
        samples, words = _packaged(clips)
        rows = [_of_samples(settings, clip) for clip in samples]
        labels, source = _labels(pack, words), "packaged synthetic clips"
        notes: tuple[str, ...] = ()
        names: tuple[str, ...] = ()
    else:
        selection = select(data, _task(pack), split, seed)
        every = _labels(pack, [clip.word for clip in selection.clips])
        chosen = _drawn(every, clips, seed)
        workers = workers or Workers(1)
        read = partial(_of_clip, settings)
        wanted = [selection.clips[row] for row in chosen]
        rows = list(workers.map(read, wanted, at_once=FILES_AT_ONCE, progress=progress))
        whole = selection.split == "all"
        where = "the official test set" if whole else f"split {selection.split}"
        labels, source = every[chosen], f"{os.fspath(data)}, {where}"
        notes = selection.notes
        names = tuple(f"{clip.path.parent.name}/{clip.path.stem}" for clip in wanted)
    stacked = np.stack(rows)
    frames = stacked.shape[1]
    return Utterances(
        features=_compact(stacked),
        labels=labels,
        classes=pack.classes,
        window=decision_frames(spotter, frames) if need_a_word else (0, frames),
        frame_s=features.build(settings).frame_s,
        source=source,
        notes=notes,
        names=names,
    )


def _task(pack: packs.Pack) -> str:
    return "yes" if "other" in pack.classes else "v2-12"


def _packaged(limit: int | None) -> tuple[NDArray[np.float32], list[str]]:
    """Samples (n, 16000) and words of the first packaged clips; they are in random order."""
    words: list[str] = json.loads(PACKAGED.with_suffix(".json").read_text("utf-8"))["words"][:limit]
    parts, wanted = [], len(words) * CLIP_SAMPLES
    with FileSource(PACKAGED) as source:
        for block in source.blocks():
            parts.append(np.asarray(block, np.float32))
            wanted -= len(block)
            if wanted <= 0:
                break
    samples = np.concatenate(parts)[: len(words) * CLIP_SAMPLES]
    return samples.reshape(len(words), CLIP_SAMPLES), words


def _labels(pack: packs.Pack, words: Sequence[str]) -> NDArray[np.int64]:
    """The class of every word: itself, silence, or what the pack calls all the rest."""
    rest = next((name for name in ("unknown", "other") if name in pack.classes), None)
    rows = []
    for word in words:
        own = "silence" if word == SILENCE else word
        name = own if own in pack.classes else rest
        if name is None:
            raise TaskError(
                f"need a model with a class for all other words, unknown or other, but "
                f"{pack.name} has {', '.join(pack.classes)}; choose another model"
            )
        rows.append(pack.classes.index(name))
    return np.array(rows)


def _drawn(labels: NDArray[np.int64], clips: int | None, seed: int) -> list[int]:
    """Rows of the clips used, in random order: of each class its share, or all it has."""
    rng = np.random.default_rng([seed, 3])
    order = rng.permutation(len(labels))
    if clips is None or clips >= len(labels):
        return [int(row) for row in order]
    # the k-th clip of each class comes before the (k+1)-th of any
    places = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        places[mine] = np.arange(len(mine))
    by_place = order[np.argsort(places[order], kind="stable")]
    return [int(row) for row in by_place[:clips]]


def _of_clip(settings: Mapping[str, Any], clip: Clip) -> FloatArray:
    return _of_samples(settings, read_clip(clip))


def _of_samples(settings: Mapping[str, Any], samples: NDArray[np.float32]) -> FloatArray:
    frames: FloatArray = features.build(settings).process(samples)
    return frames


def _compact(stacked: FloatArray) -> NDArray[np.floating]:
    """In float32 where that rounds nothing, as on the grids of packs: half to send to workers."""
    small = stacked.astype(np.float32)
    return small if np.array_equal(small, stacked) else stacked
