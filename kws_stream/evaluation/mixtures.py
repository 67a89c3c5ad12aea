"""Streams made of clips over background noise, with known times, from a seed.

docs/streams.md says how. A stream is made while it is heard, so an hour needs no more memory than
its longest clip; its samples are those of a 16-bit file, so that what is saved gives the same
figures.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from kws_stream.arguments import path_text, paths_of
from kws_stream.audio import FileSource, read_whole
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError, ParameterError
from kws_stream.evaluation.folders import Skipped, by_known_word, folder_of, words_below
from kws_stream.evaluation.sources import STREAM_S, Pcm, Piece, audio_below, length_of
from kws_stream.evaluation.speech_commands import NOISE, SPLITS, of_split
from kws_stream.evaluation.streams import Word
from kws_stream.evaluation.word_times import SILENT, find_word

PAUSE_S = 0.5  # at least, before and after every clip
MEAN_PAUSE_S = 1.0  # where there are clips enough; else longer
FADE_S = 0.01  # of a clip's ends, so that they do not click
MAX_CLIP_S = 30.0
LEVEL_CLIPS = 200  # that tell the level of the words
LEVEL_S = 600.0  # of a background recording, that tell its level
PIECE = SAMPLE_RATE_HZ


@dataclass(frozen=True)
class WordClip:
    """A recording of one word. samples: its length at 16 kHz."""

    path: Path
    word: str
    samples: int


@dataclass(frozen=True)
class Mixture:
    """Clips one after another, each once, over background recordings that follow one another.

    source: what a person named to get it. level: mean square that every background recording is
    scaled to; without background there is silence. samples: length at 16 kHz. channel: of the
    clips, from 1, and of background that has several; None for the mean of all.
    """

    source: str
    name: str
    clips: tuple[WordClip, ...]
    background: tuple[Path, ...]
    level: float
    samples: int
    seed: tuple[int, int]
    channel: int | None = None

    __repr__ = brief

    def pieces(self, rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[Piece]:
        """Raises AudioError for a recording that cannot be read, ParameterError for another rate
        than 16 kHz."""
        if rate_hz != SAMPLE_RATE_HZ:
            raise ParameterError(
                f"{self.source}: need a model that hears {SAMPLE_RATE_HZ} Hz, as streams made of "
                f"words are speech, got one for {rate_hz} Hz; give recordings with labels"
            )
        rng = np.random.default_rng(self.seed)
        pauses = self._pauses(rng)
        noise = _Background(self.background, self.level, rng, self.channel)
        yield Piece(np.zeros(0, np.float32), file=self.name)
        at = 0
        for clip, pause in zip(self.clips, pauses, strict=True):
            notes: list[str] = []
            sound = read_whole(clip.path, self.channel, notes.append)
            pause = min(pause, self.samples - at)
            yield from noise.pieces(pause)
            at += pause
            start_s, end_s = (at / SAMPLE_RATE_HZ + time_s for time_s in find_word(sound))
            word = Word(clip.word, round(start_s, 4), round(end_s, 4), str(clip.path))
            sound = _faded(sound[: self.samples - at])
            mixed = _as_16_bit(noise.take(len(sound)) + sound)
            yield Piece(mixed, (word,), notes=tuple(notes))
            at += len(sound)
        yield from noise.pieces(self.samples - at)

    def _pauses(self, rng: np.random.Generator) -> list[int]:
        """Samples before each clip; what is left over after the least ones is dealt at random."""
        least = round(PAUSE_S * SAMPLE_RATE_HZ)
        free = self.samples - sum(clip.samples for clip in self.clips)
        free -= least * (len(self.clips) + 1)
        shares = rng.uniform(0.5, 1.5, len(self.clips) + 1)
        extra = np.floor(max(0, free) * shares / shares.sum()).astype(int)
        return [least + int(more) for more in extra[:-1]]


class _Background:
    """Background recordings in a random order, again and again, as one endless sound."""

    def __init__(
        self,
        files: Sequence[Path],
        level: float,
        rng: np.random.Generator,
        channel: int | None = None,
    ) -> None:
        self._rest = np.zeros(0)
        self._blocks = self._endless(files, level, rng, channel)

    @staticmethod
    def _endless(
        files: Sequence[Path], level: float, rng: np.random.Generator, channel: int | None
    ) -> Iterator[np.ndarray]:
        while not files:
            yield np.zeros(PIECE)
        while True:
            for row in rng.permutation(len(files)):
                power = _mean_square(files[row], channel)
                gain = np.sqrt(level / power) if power > SILENT else 1.0
                with FileSource(files[row], channel, mono_too=True) as source:
                    for block in source.blocks():
                        yield gain * block.astype(np.float64)

    def take(self, count: int) -> np.ndarray:
        """The next samples (count,), float64."""
        parts, missing = [], count
        while missing:
            if not len(self._rest):
                self._rest = next(self._blocks)
            part, self._rest = self._rest[:missing], self._rest[missing:]
            parts.append(part)
            missing -= len(part)
        return np.concatenate(parts) if parts else np.zeros(0)

    def pieces(self, count: int) -> Iterator[Piece]:
        for at in range(0, count, PIECE):
            yield Piece(_as_16_bit(self.take(min(PIECE, count - at))))


def word_clips(
    folder: str | os.PathLike[str],
    keywords: Sequence[str],
    split: str | None = None,
    notes: list[str] | None = None,
) -> list[WordClip]:
    """The clips in a folder: DIR/<word>/<clip>, or right in DIR those of the only keyword.

    split: of Speech Commands; by default all. Folders that begin with "_" are left out. A folder
    "Yes" holds clips of "yes" (see `names`). notes: gets that, and what files were no recordings.

    Raises DataError for a folder without clips or that cannot be read, and for clips without a
    word where the model has several keywords; ParameterError for an unknown split.
    """
    if split is not None and split not in SPLITS:
        raise ParameterError(f"split: need one of {', '.join(SPLITS)}, got {split!r}")
    place, skipped = Path(path_text(folder, "a folder of clips")), Skipped()
    found = words_below(place, skipped)
    if not found:
        audio_below(place)  # which says so
    by_word = {word: paths for word, paths in found.items() if not word.startswith("_")}
    if "" in by_word:
        if len(keywords) != 1:
            raise DataError(
                f"{place}: need clips in folders named after their words, such as "
                f"{place / keywords[0] if keywords else 'yes'}, got {by_word[''][0].name} beside "
                "them; the model has several keywords"
            )
        by_word.setdefault(keywords[0], []).extend(by_word.pop(""))
    if split is not None:
        by_word = of_split(place, by_word, split)
    by_word, said = by_known_word(by_word, keywords)
    if notes is not None:
        notes += [*said, *skipped.notes]
    clips = [
        WordClip(path, word, length_of(path)) for word, paths in by_word.items() for path in paths
    ]
    if not clips:
        raise DataError(
            f"{place}: need clips of words{f' in the {split} split' if split else ''}, found "
            "none; name the folder above the words"
        )
    return clips


def background_in(
    folders: Sequence[str | os.PathLike[str]], skipped: Skipped | None = None
) -> list[Path]:
    """The recordings in folders of background; raises DataError for one without any."""
    places = paths_of(folders, "a folder of background recordings")
    return [path for folder in places for path in audio_below(folder, skipped)]


def own_background(folder: str | os.PathLike[str]) -> list[Path]:
    """The background noise that comes with Speech Commands; nothing where there is none."""
    place = folder_of(Path(path_text(folder, "a Speech Commands folder")), NOISE)
    return audio_below(place) if place.is_dir() else []


def synthesise(
    clips: Sequence[WordClip],
    background: Sequence[Path],
    hours: float | None = 1.0,
    snr_db: float = 20.0,
    seed: int = 0,
    source: str = "synthesised",
    channel: int | None = None,
) -> list[Mixture]:
    """Streams of an hour each, the last one shorter, with every clip once at most.

    Clips are drawn at random and dealt evenly; the pauses between them stretch until the hours are
    full. hours: None for what all the clips need. snr_db: mean power of a middling word over that
    of the background. channel: as of `Mixture`.

    Raises ParameterError for wrong numbers, DataError for clips that are too long or if none fits.
    """
    if hours is not None and not 0 < hours <= 10_000:
        raise ParameterError(f"hours: need more than 0, 10000 at most, got {hours}")
    if not -100 <= snr_db <= 100:
        raise ParameterError(f"signal-to-noise ratio: need -100 to 100 dB, got {snr_db}")
    if seed < 0:
        raise ParameterError(f"seed: need 0 or more, got {seed}")
    for clip in clips:
        if clip.samples > MAX_CLIP_S * SAMPLE_RATE_HZ:
            raise DataError(
                f"{clip.path}: need clips of single words, {MAX_CLIP_S:g} s at most, got "
                f"{clip.samples / SAMPLE_RATE_HZ:.1f} s; name long recordings as such"
            )
    rng = np.random.default_rng([seed, 4])
    order = [clips[row] for row in rng.permutation(len(clips))]
    pause = round(MEAN_PAUSE_S * SAMPLE_RATE_HZ)
    lengths = np.array([clip.samples + pause for clip in order])
    ends = np.cumsum(lengths)
    total = int(ends[-1]) + pause if hours is None else round(hours * 3600 * SAMPLE_RATE_HZ)
    fitting = int(np.searchsorted(ends, total - pause, side="right"))
    if not fitting:
        raise DataError(
            f"need {(lengths[0] + pause) / SAMPLE_RATE_HZ:.1f} s for the first clip, got "
            f"{total / SAMPLE_RATE_HZ:.1f} s; ask for more hours"
        )
    order = order[:fitting]
    level = _word_level(order[:LEVEL_CLIPS], channel) / 10 ** (snr_db / 10)
    whole = round(STREAM_S * SAMPLE_RATE_HZ)
    count = -(-total // whole)
    middles = (ends - lengths / 2)[:fitting] / ends[fitting - 1]
    stream_of = np.floor(middles * (total / whole)).astype(int).tolist()
    return [
        Mixture(
            source=source,
            name=f"{source}, hour {row + 1}" if count > 1 else source,
            clips=tuple(c for c, at in zip(order, stream_of, strict=True) if at == row),
            background=tuple(background),
            level=level,
            samples=min(whole, total - row * whole),
            seed=(seed, row),
            channel=channel,
        )
        for row in range(count)
    ]


def mixtures_of(
    keywords: Sequence[str],
    folder: Path,
    background: Sequence[Path],
    hours: float | None,
    snr_db: float,
    seed: int,
    split: str | None,
    channel: int | None = None,
) -> tuple[list[Mixture], list[str]]:
    """Streams of the clips in a folder, and what should be said about them; see `synthesise`.

    background: recordings and folders of them; where they hold none, the folder's own.
    """
    notes: list[str] = []
    skipped = Skipped()
    clips = word_clips(folder, keywords, split, notes)
    noise = background_in(background, skipped) or own_background(folder)
    notes += skipped.notes
    made = synthesise(clips, noise, hours, snr_db, seed, str(folder), channel)
    used = sum(len(stream.clips) for stream in made)
    if used < len(clips):
        notes.append(f"{used} of the {len(clips)} clips in {folder} fit into {hours:g} h")
    missing = [name for name in keywords if name not in {clip.word for clip in clips}]
    if missing:
        notes.append(f"no clips of {', '.join(missing)} in {folder}")
    if not noise:
        notes.append("no background: silence between the clips")
    return made, notes


def _word_level(clips: Sequence[WordClip], channel: int | None) -> float:
    """Mean square of a middling word."""
    levels = []
    for clip in clips:
        sound = read_whole(clip.path, channel)
        start, end = (round(time_s * SAMPLE_RATE_HZ) for time_s in find_word(sound))
        levels.append(np.mean(np.square(sound[start:end], dtype=np.float64)))
    return float(np.median(levels))


@lru_cache(maxsize=1024)
def _mean_square(path: Path, channel: int | None) -> float:
    """Of a background recording, or of its first ten minutes."""
    total, count = 0.0, 0
    with FileSource(path, channel, mono_too=True) as source:
        for block in source.blocks():
            total += float(np.sum(np.square(block, dtype=np.float64)))
            count += len(block)
            if count >= LEVEL_S * SAMPLE_RATE_HZ:
                break
    return total / count


def _faded(sound: Pcm) -> np.ndarray:
    """With soft ends; a copy, float64."""
    ramp = np.linspace(0, 1, min(round(FADE_S * SAMPLE_RATE_HZ), len(sound) // 2), endpoint=False)
    faded = sound.astype(np.float64)
    faded[: len(ramp)] *= ramp
    faded[len(faded) - len(ramp) :] *= ramp[::-1]
    return faded


def _as_16_bit(sound: np.ndarray) -> Pcm:
    """float32 that a 16-bit file can hold; what is too loud is cut."""
    steps = np.clip(np.rint(sound * 32768), -32768, 32767)
    scaled: Pcm = (steps / 32768).astype(np.float32)
    return scaled
