"""What a classifier of whole clips says of each of them, asked once and kept to learn from.

The classifier is a TensorFlow Lite graph: a second of samples in, logits out. Keyword Transformers
(Berg et al., "Keyword Transformer: A Self-Attention Model for Keyword Spotting", arXiv:2104.00769)
are published so. Clips of which there is a picture alone are heard as sound made from it.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio import read_whole
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError, MissingExtraError
from kws_stream.files import write
from kws_stream.training.corpus import Clips, Corpus, clip_files
from kws_stream.training.picture_sound import SoundOfPictures
from kws_stream.training.pictures import Pictures
from kws_stream.training.recipe import Recipe
from kws_stream.training.teacher import Teacher, load_teacher

# in the order of the data set's own tools (TensorFlow's speech_commands example)
SPEECH_COMMANDS_CLASSES = (
    *("silence", "unknown", "yes", "no", "up", "down"),
    *("left", "right", "on", "off", "stop", "go"),
)
AT_ONCE = 64  # pictures made sound at once
MOST_PAIRS = 4000  # clips that the map from pictures to sound is fitted on

Logits = NDArray[np.float32]
Ask = Callable[[NDArray[np.float32]], Logits]


@dataclass(frozen=True)
class Posteriors:
    """Logits (n, K) of clips over `classes`, by source, "recordings" or "pictures", and word/name.

    They hold what the graph gives: a softmax makes them posteriors.
    """

    classes: tuple[str, ...]
    keys: dict[str, list[str]]
    logits: dict[str, Logits]

    __repr__ = brief

    def save(self, path: Path) -> None:
        """One file of arrays; it is there whole or not at all."""
        arrays: dict[str, NDArray[np.generic]] = {"classes": np.array(self.classes)}
        for source, keys in self.keys.items():
            arrays[f"{source}_keys"] = np.array(keys)
            arrays[f"{source}_logits"] = self.logits[source]
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        write(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Posteriors":
        """Those that `save` wrote; raises DataError for any other file."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                classes = tuple(str(name) for name in arrays["classes"])
                sources = [n.removesuffix("_keys") for n in arrays.files if n.endswith("_keys")]
                keys = {s: [str(key) for key in arrays[f"{s}_keys"]] for s in sources}
                logits = {s: arrays[f"{s}_logits"].astype(np.float32) for s in sources}
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(
                f"{path}: need posteriors made by `kws-stream data ask-teacher`, got: {error}"
            ) from error
        for source in sources:
            if logits[source].shape != (len(keys[source]), len(classes)):
                raise DataError(
                    f"{path}: need {len(classes)} logits for each of {len(keys[source])} "
                    f"{source}, got an array of {logits[source].shape}; make the file again"
                )
        return cls(classes, keys, logits)

    def teach(self, corpus: Corpus, classes: tuple[str, ...]) -> Corpus:
        """The corpus with logits over `classes` at each clip that was asked about, NaN elsewhere.

        What is not a class of the network adds up in its last class, as in `in_classes`. Raises
        DataError where a class is not known, or no clip of the corpus was asked about.
        """
        missing = sorted(set(classes[:-1]) - set(self.classes))
        if missing:
            raise DataError(
                f"need a teacher that knows {', '.join(missing)}; "
                f"got one of {', '.join(self.classes)}"
            )
        taught = dict(corpus.clips)
        found = 0
        for name, source in (("speech_commands", "recordings"), ("pictures", "pictures")):
            if name in taught and source in self.keys:
                taught[name] = self._at(taught[name], source, classes)
                found += int((~np.isnan(taught[name].logits[:, 0])).sum())
        if not found:
            raise DataError("need posteriors of the clips that are trained on, got those of others")
        return replace(corpus, clips=taught)

    def _at(self, clips: Clips, source: str, classes: tuple[str, ...]) -> Clips:
        own = [self.classes.index(name) for name in classes[:-1]]
        rest = [index for index in range(len(self.classes)) if index not in own]
        known = self.logits[source]
        of_rest = np.logaddexp.reduce(known[:, rest], axis=1, keepdims=True)
        logits = np.concatenate([known[:, own], of_rest], axis=1).astype(np.float32)
        row_of = {key: row for row, key in enumerate(self.keys[source])}
        rows = np.array([row_of.get(key, -1) for key in clips.keys])
        at_clips = np.full((len(rows), len(classes)), np.nan, np.float32)
        at_clips[rows >= 0] = logits[rows[rows >= 0]]
        return replace(clips, logits=at_clips)


def taught_by(
    teachers: Sequence[Path], recipe: Recipe, corpus: Corpus
) -> tuple[Corpus, Teacher | None]:
    """The corpus, and the network, that a recipe learns with from --teacher.

    teachers: the folder of a network (see `teacher`), a file of posteriors, which become the
    corpus's own, or both. Raises DataError for one that does not fit.
    """
    network = None
    for path in teachers:
        if path.is_dir():
            network = load_teacher(path, recipe)
        else:
            corpus = Posteriors.load(path).teach(corpus, recipe.classes)
    return corpus, network


def tflite(path: Path) -> Ask:
    """The classifier in a TensorFlow Lite file: logits (K,) of a second (16000,), full scale 1.

    Raises MissingExtraError without the extra teacher, and DataError for a file of another kind.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingExtraError(
            "asking a TensorFlow Lite teacher needs the package ai-edge-litert, which is not "
            "installed; pip install 'kws-stream[teacher]'"
        ) from error
    try:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, OSError) as error:
        raise DataError(f"{path}: need a TensorFlow Lite model, got: {error!s:.200}") from error
    (took, *more), (gave, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    if more or int(np.prod(took["shape"])) != SAMPLE_RATE_HZ or took["dtype"] != np.float32:
        raise DataError(
            f"{path}: need a model that takes {SAMPLE_RATE_HZ} samples as float32, got one that "
            f"takes {took['shape'].tolist()} of {np.dtype(took['dtype'])}"
        )

    def ask(samples: NDArray[np.float32]) -> Logits:
        interpreter.set_tensor(took["index"], samples.reshape(took["shape"]))
        interpreter.invoke()
        logits: Logits = interpreter.get_tensor(gave["index"])[0].copy()
        return logits

    return ask


def ask_about(
    ask: Ask,
    classes: tuple[str, ...],
    data: Path,
    pictures: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Posteriors:
    """Posteriors of every clip of data/speech_commands, and of `pictures`, of any speaker.

    Raises DataError where the classifier has another number of classes, or data no clips.
    """
    files = clip_files(data)
    shown = Pictures.load(pictures) if pictures is not None else None
    total = len(files) + (len(shown.words) if shown is not None else 0)
    keys, logits = {"recordings": list(files)}, {"recordings": list[Logits]()}
    row_of = _rows_to_fit_on(shown, files) if shown is not None else {}
    pairs: list[tuple[int, NDArray[np.float32]]] = []
    for done, (key, path) in enumerate(files.items()):
        samples = _second(path)
        if key in row_of:
            pairs.append((row_of[key], samples))
        logits["recordings"].append(_checked(ask(samples), classes))
        progress(done, total)
    if shown is not None:
        rows, sound = zip(*pairs, strict=True)
        fitted = SoundOfPictures.fit(shown.pixels[list(rows)], np.stack(sound))
        keys["pictures"], logits["pictures"] = shown.keys, []
        for at in range(0, len(shown.pixels), AT_ONCE):
            clips = fitted.sound(shown.pixels[at : at + AT_ONCE], seed=at)
            logits["pictures"] += [ask(clip) for clip in clips]
            progress(len(files) + at, total)
    progress(total, total)
    return Posteriors(classes, keys, {source: np.stack(of) for source, of in logits.items()})


def _rows_to_fit_on(pictures: Pictures, files: Iterable[str]) -> dict[str, int]:
    """Rows of training speakers' pictures of which there are recordings, some of every word."""
    training = pictures.splits == "training"
    row_of = {key: row for row, key in enumerate(pictures.keys) if training[row]}
    both = [key for key in files if key in row_of]
    if not both:
        raise DataError(
            "need pictures of training speakers' clips that are in speech_commands too, to fit a "
            "map from pictures to sound, found none"
        )
    chosen = np.random.default_rng(0).permutation(len(both))[:MOST_PAIRS]
    return {both[at]: row_of[both[at]] for at in chosen}


def _checked(logits: Logits, classes: Sequence[str]) -> Logits:
    if logits.shape != (len(classes),):
        raise DataError(
            f"need a teacher of {len(classes)} classes ({', '.join(classes)}), got one that gives "
            f"{logits.shape} logits; name its classes with --classes, in its own order"
        )
    return logits


def _second(path: Path) -> NDArray[np.float32]:
    """The clip padded at both ends, or cut, to a second: as training hears it."""
    samples = read_whole(path)[:SAMPLE_RATE_HZ].astype(np.float32)
    missing = SAMPLE_RATE_HZ - len(samples)
    return np.pad(samples, (missing // 2, missing - missing // 2))
