"""What a verifier's head is taught from: embeddings of speech with the phrase and without it.

The recordings are those that the first stage learns from. Each clip of the phrase is heard in a
stream of 2.9 s: other sound before it, a voice of another size, a telephone's band, noise, music or
babble over it, all drawn anew for each time that it is heard.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio import read_whole, to_int16
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.evaluation.folders import Skipped, folder_of
from kws_stream.evaluation.speech_commands import NOISE
from kws_stream.speech.acoustics import KINDS, Samples, noise, on_telephone
from kws_stream.speech.synthesis import with_tract
from kws_stream.training.corpus import audio_files, training_files, words_in
from kws_stream.verifier import SpeechEmbedding
from kws_stream.verifier.cascade import WAIT_S
from kws_stream.verifier.embedding import STEP
from kws_stream.verifier.head import STEPS

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
KINDS_HEARD = ("hits", "near", "others", "own", "wrong")

PHRASE_STEPS = 36  # of the stream that a clip is put into
END_S = (2.3, 2.5)  # where the clip ends in it; the phrase ends 0.1 to 0.35 s earlier
HIT_S = (-0.1, 0.35)  # a window that ends so long after the clip has heard the phrase
TRACT = (0.87, 1.15)
SNR_DB = (3.0, 30.0)
MOST_WORDS = 3000  # clips of single words; more of them teach little
JOINED = 8  # clips of words in one stream
HELD_OUT = 5  # every fifth file of real speech is kept for the threshold


@dataclass(frozen=True, eq=False)
class Windows:
    """Embeddings float16 (n, 96), and the rows at which windows of 16 of them end.

    hits: with the phrase. near: with something that sounds like it. others: with neither. own: with
    the phrase by the people that the head is for. wrong: what a head took for the phrase, and they
    said that it was not.
    """

    embeddings: NDArray[np.float16]
    hits: Rows
    near: Rows
    others: Rows
    own: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    wrong: Rows = field(default_factory=lambda: np.zeros(0, np.int64))

    __repr__ = brief

    def at(self, rows: Rows) -> Floats:
        """The windows (n, 16, 96) that end at these rows."""
        found: Floats = self.embeddings[rows[:, None] + np.arange(1 - STEPS, 1)].astype(np.float32)
        return found

    def joined(self, other: "Windows") -> "Windows":
        """These and others."""
        rows = {
            kind: np.concatenate([getattr(self, kind), getattr(other, kind) + len(self.embeddings)])
            for kind in KINDS_HEARD
        }
        return Windows(np.concatenate([self.embeddings, other.embeddings]), **rows)


class Gathered:
    """Gathers embeddings, stream by stream."""

    def __init__(self, embedding: SpeechEmbedding) -> None:
        self._embedding = embedding
        self._parts: list[Floats] = []
        self._rows: dict[str, list[Rows]] = {kind: [] for kind in KINDS_HEARD}
        self._count = 0

    def add_stream(self, sound: Samples) -> None:
        """Sound without the phrase; it begins in silence."""
        whole = sound[: len(sound) // STEP * STEP]
        if not len(whole):
            return
        silent = np.repeat(self._embedding.silent[None], STEPS - 1, axis=0)
        vectors = np.concatenate([silent, self._embedding.embed_whole(to_int16(whole))])
        self._keep("others", vectors, np.arange(STEPS - 1, len(vectors)))

    def add_clip(self, sound: Samples, kind: str, end_s: float) -> None:
        """A stream of `PHRASE_STEPS` steps with a clip that ends at `end_s`.

        kind: hits, own or near.
        """
        vectors = self._embedding.embed_whole(to_int16(sound), silence_before=False)
        first = PHRASE_STEPS - len(vectors) + 1  # the step of the first vector
        ends = np.arange(STEPS - 1, len(vectors))
        after_s = (ends + first) * STEP / SAMPLE_RATE_HZ - end_s
        within = (after_s >= HIT_S[0]) & (after_s <= HIT_S[1])
        self._keep(kind, vectors, ends if kind == "near" else ends[within])

    def add_trigger(self, sound: Samples, at_s: float, spoken: bool) -> None:
        """What a first stage triggered on at `at_s`, and whether it was the phrase."""
        whole = sound[: len(sound) // STEP * STEP]
        silent = np.repeat(self._embedding.silent[None], STEPS - 1, axis=0)
        vectors = np.concatenate([silent, self._embedding.embed_whole(to_int16(whole))])
        ends = np.arange(STEPS - 1, len(vectors))
        after_s = (ends - (STEPS - 2)) * STEP / SAMPLE_RATE_HZ - at_s
        judged = (after_s >= 0) & (after_s <= WAIT_S)
        self._keep("own" if spoken else "wrong", vectors, ends[judged])

    def _keep(self, kind: str, vectors: Floats, ends: NDArray[np.int64]) -> None:
        self._parts.append(vectors)
        self._rows[kind].append(ends + self._count)
        self._count += len(vectors)

    def windows(self) -> Windows:
        empty: list[Rows] = [np.zeros(0, np.int64)]
        rows = {kind: np.concatenate(empty + found) for kind, found in self._rows.items()}
        return Windows(np.concatenate(self._parts).astype(np.float16), **rows)


def gather(
    embedding: SpeechEmbedding,
    speech: Path,
    data: Path | None,
    is_other: Callable[[str], bool],
    seed: int = 0,
    times: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Windows, Windows]:
    """Windows to train on, and windows of other voices that the threshold is chosen on.

    speech: folder of `training_set.Speech`. data: real speech without the phrase. is_other: tells
    folders of words that do not hold the phrase. times: how often each clip is heard. progress:
    hears of the streams done and of all.
    """
    surroundings = _Surroundings(speech / "training", data)
    sides = (Gathered(embedding), Gathered(embedding))
    tasks: list[tuple[Gathered, Callable[[Gathered], None]]] = []
    for heard, folder in zip(sides, (speech / "training", speech / "held_out"), strict=True):
        repeats = times if heard is sides[0] else 1
        for kind, name in (("hits", "phrase"), ("own", "recordings"), ("near", "near")):
            for path in audio_files(folder / name):
                for turn in range(repeats):
                    rng = _rng(seed, path, turn)
                    tasks.append((heard, _clip_task(surroundings, path, kind, rng)))
        for path in (*audio_files(folder / "words"), *audio_files(folder / "noise")):
            tasks.append((heard, _stream_task(surroundings, [path], _rng(seed, path, 0))))
        for group in _in_groups(audio_files(folder / "running"), JOINED):
            tasks.append((heard, _stream_task(surroundings, group, _rng(seed, group[0], 0))))
    if data is not None:
        for group in _real(data, is_other, seed):
            held_out = zlib.crc32(_speaker(group[0]).encode()) % HELD_OUT == 0
            task = _stream_task(surroundings, group, _rng(seed, group[0], 0))
            tasks.append((sides[held_out], task))
    for done, (heard, task) in enumerate(tasks):
        task(heard)
        progress(done + 1, len(tasks))
    return sides[0].windows(), sides[1].windows()


def real_files(data: Path | None, is_other: Callable[[str], bool], seed: int = 0) -> list[Path]:
    """The files of real speech that `gather` hears."""
    return [] if data is None else [path for group in _real(data, is_other, seed) for path in group]


def _clip_task(
    around: "_Surroundings", path: Path, kind: str, rng: np.random.Generator
) -> Callable[[Gathered], None]:
    def work(heard: Gathered) -> None:
        sound, end_s = around.placed(read_whole(path), rng)
        heard.add_clip(sound, kind, end_s)

    return work


def _stream_task(
    around: "_Surroundings", paths: Sequence[Path], rng: np.random.Generator
) -> Callable[[Gathered], None]:
    def work(heard: Gathered) -> None:
        parts: list[Samples] = []
        for path in paths:
            pause = np.zeros(round(rng.uniform(0.1, 0.8) * SAMPLE_RATE_HZ), np.float32)
            parts += [read_whole(path), pause]
        heard.add_stream(around.recorded(np.concatenate(parts), rng))

    return work


def _real(data: Path, is_other: Callable[[str], bool], seed: int) -> Iterator[list[Path]]:
    """Groups of files that are heard one after another, each group of one side."""
    noises = folder_of(data, "noise"), folder_of(data, "speech_commands") / NOISE
    for folder in (folder_of(data, "running_speech"), *noises):
        for path in training_files(audio_files(folder)):
            yield [path]
    for name in ("other_words", "speech_commands"):
        by_word = words_in(folder_of(data, name), Skipped())
        files = [path for word, found in by_word.items() if is_other(word) for path in found]
        order = np.random.default_rng([seed, len(files)]).permutation(len(files))[:MOST_WORDS]
        chosen = sorted((files[row] for row in order), key=_speaker)
        sides: dict[bool, list[Path]] = {False: [], True: []}
        for path in chosen:
            sides[zlib.crc32(_speaker(path).encode()) % HELD_OUT == 0].append(path)
        for side, paths in sides.items():
            for group in _in_groups(paths, JOINED):
                assert side == (zlib.crc32(_speaker(group[0]).encode()) % HELD_OUT == 0)
                yield group


def _speaker(path: Path) -> str:
    """Who speaks in a file, as far as its name tells: data sets put it before or after a mark."""
    name = path.stem
    if "_nohash_" in name:
        return name.split("_nohash_")[0]
    parts = name.split("-")
    return parts[1] if len(parts) == 3 and len(parts[1]) == 4 else name  # AN4: an10-fjmd-b


def _in_groups(files: Sequence[Path], size: int) -> Iterator[list[Path]]:
    for at in range(0, len(files), size):
        yield list(files[at : at + size])


def _rng(seed: int, path: Path, turn: int) -> np.random.Generator:
    text = "/".join(path.parts[-3:])
    return np.random.default_rng([seed, zlib.crc32(text.encode()), turn])


class _Surroundings:
    """Sound around a clip, from the recordings of the training side alone."""

    def __init__(self, speech: Path, data: Path | None) -> None:
        self._running = audio_files(speech / "running")
        real = audio_files(folder_of(data, "noise")) if data is not None else []
        self._noises = [*training_files(real), *audio_files(speech / "noise")]

    def placed(self, clip: Samples, rng: np.random.Generator) -> tuple[Samples, float]:
        """A stream of `PHRASE_STEPS` steps with the clip in it, and when the clip ends."""
        count = PHRASE_STEPS * STEP
        clip = with_tract(clip, rng.uniform(*TRACT)).astype(np.float32)
        end = round(rng.uniform(*END_S) * SAMPLE_RATE_HZ)
        clip = clip[-end:]
        stream = np.zeros(count, np.float32)
        before = end - len(clip)
        stream[before:end] = clip
        loudest = float(np.abs(clip).max()) + 1e-9
        if rng.random() < 0.5 and before > 0:
            other = self._speech(rng, before, loudest)
            stream[before - len(other) : before] = other[-before:]
        begin = end + round(rng.uniform(0, 0.3) * SAMPLE_RATE_HZ)
        if rng.random() < 0.35:
            other = self._speech(rng, count - begin, loudest)[: count - begin]
            stream[begin : begin + len(other)] = other
        return self.recorded(stream, rng), end / SAMPLE_RATE_HZ

    def _speech(self, rng: np.random.Generator, count: int, loudest: float) -> Samples:
        """At most `count` samples of other speech, from 10 dB below to 2 dB above `loudest`."""
        sound = np.trim_zeros(read_whole(self._running[rng.integers(len(self._running))]))[:count]
        gain = loudest * 10 ** (rng.uniform(-10, 2) / 20) / (np.abs(sound).max(initial=0) + 1e-9)
        return (sound * np.float32(gain)).astype(np.float32)

    def recorded(self, sound: Samples, rng: np.random.Generator) -> Samples:
        """As some microphone gives it: a telephone's band, any level, noise over it."""
        if rng.random() < 0.35:
            sound = on_telephone(sound, rng)
        power = float(np.square(sound).mean()) + 1e-9
        if rng.random() < 0.7:
            over = self._noise(rng, len(sound))
            gain = (
                power / 10 ** (rng.uniform(*SNR_DB) / 10) / (np.square(over).mean() + 1e-9)
            ) ** 0.5
            sound = sound + over * np.float32(gain)
        level = 10 ** (rng.uniform(-46, -14) / 20) / power**0.5
        peak = float(np.abs(sound).max()) + 1e-9
        hiss = rng.standard_normal(len(sound)) * 10 ** (rng.uniform(-90, -60) / 20)
        mixed: Samples = (sound * min(level, 0.99 / peak) + hiss).astype(np.float32)
        return np.clip(mixed, -1, 1)

    def _noise(self, rng: np.random.Generator, count: int) -> Samples:
        kind = rng.random()
        if kind < 0.5:
            sound = read_whole(self._noises[rng.integers(len(self._noises))])
            return np.resize(np.roll(sound, -int(rng.integers(len(sound)))), count)
        if kind < 0.75:
            seconds = min(count / SAMPLE_RATE_HZ, 4.0)
            made = noise(str(KINDS[rng.integers(len(KINDS))]), seconds, rng)
            return np.resize(made, count)
        voices = [read_whole(self._running[rng.integers(len(self._running))]) for _ in range(4)]
        babble: Samples = np.sum([np.resize(voice, count) for voice in voices], axis=0)
        return babble
