"""The recordings that a wake phrase is taught from: synthetic speech and noise, as files.

    FOLDER/training/phrase, near, words   clips of one length, with other speech before and after
    FOLDER/training/recordings            the same of a person's own recordings
    FOLDER/training/varied/phrase, near   clips with pauses and with voices as high as people's
    FOLDER/training/running, noise        sentences and word lists, pauses between them; noises
    FOLDER/held_out/...                   the same by other voices
    FOLDER/held_out/clips/<keyword>       the phrase alone, to be put into streams
    FOLDER/held_out/misses/near           near misses alone

Every file comes from the seed, its kind and its number alone, so that an interrupted run goes on
with the missing ones and any number of jobs writes the same files. What Kokoro says is kept in a
cache beside, by its text, voice and speed: it is slow, so each utterance serves several clips.
"""

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from kws_stream.audio import read_whole
from kws_stream.audio.encoding import write_flac
from kws_stream.brief import changed
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError, ParameterError
from kws_stream.evaluation.folders import Skipped
from kws_stream.evaluation.sources import audio_below
from kws_stream.evaluation.word_times import find_word
from kws_stream.files import write
from kws_stream.settings import Count, Positive, Share, checked, set_checked
from kws_stream.speech import kokoro as kokoro_files
from kws_stream.speech.acoustics import KINDS, Samples, noise, recorded
from kws_stream.speech.phrase import NearMisses, Phrase, sentences
from kws_stream.speech.synthesis import (
    TRACT,
    Manner,
    Voice,
    at_level,
    espeak_voices,
    flite_voices,
    kokoro_voices,
    random_manner,
    speak,
    with_pauses,
    with_tract,
)

LAYOUT = 4  # raised when the same settings give other files
MAX_S = 2.0  # a phrase said at a usual speed
HELD_OUT = ("m4", "f3", "adam", "linda", "rob", "awb")  # variants of espeak-ng, a voice of flite
# utterances of Kokoro for each one of the phrase; that takes 0.8 s of an x86 core
KOKORO_UTTERANCES = {"phrase": 1.0, "near": 0.4, "words": 0.15, "running": 0.2}
KOKORO_HELD_OUT = ("af_bella", "af_river", "am_liam", "am_puck", "bf_emma", "bm_fable")
# of the usual length. Of 770 recordings of two phrases by people (Picovoice's wake-word-benchmark)
# half last longer than 1.1 times as long as these tools' usual, a twentieth than 1.45 times
STRETCH = (0.75, 1.6)
# Of clips that are varied: the mean of a pause between two words, or before a closed sound of one.
# The longest quiet part within these recordings lasts 70 and 60 ms at their median, 150 and 100 in
# the longest tenth; synthesisers leave 40 and 70.
PAUSE_S = 0.06
PITCH = (0.75, 2.2)  # of the voice's usual; a quarter of these people have more than 210 Hz
KOKORO_TRACT = (0.8, 1.15)  # pitch, formants and length change together
FLITE_SHARE = 0.5
TAIL_S = (0.1, 0.35)  # from the phrase's end to that of its clip
NOISE_S = 20.0
HELD_OUT_SHARE = 0.2  # of the clips
VARIED = ("phrase", "near")
POOL = 200  # utterances that speech before and after a phrase is cut from


@dataclass(frozen=True)
class Amounts:
    """How much is made. Clips for training, a fifth as many held out; minutes of either.

    kokoro: share of the recordings that Kokoro speaks, where its files are there. utterances: how
    often it says the phrase for them, and in proportion all else.
    """

    phrase: Count = 3000
    near: Count = 1200
    words: Count = 400
    recordings: Count = 600
    running_min: Positive = 30.0
    held_out_min: Positive = 30.0
    noise_min: Positive = 8.0
    kokoro: Share = 0.5
    utterances: Count = 300

    __repr__ = changed

    def __post_init__(self) -> None:
        set_checked(self, "recipe speech")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Amounts":
        """Raises ParameterError for unknown names and for numbers that are not above 0."""
        return checked(cls, values, "recipe speech")


def usual_length_s(phrase: Phrase) -> float:
    """The median length in s of the phrase in a dozen voices.

    Raises ParameterError if it is over `MAX_S`, MissingExtraError where a tool is missing.
    """
    voices = [*espeak_voices()[::34], *flite_voices()]
    length_s = float(np.median([len(speak(phrase.text, v)) for v in voices])) / SAMPLE_RATE_HZ
    if length_s > MAX_S:
        raise ParameterError(
            f"wake phrase: need one that takes {MAX_S:g} s at most, {phrase.text!r} takes about "
            f"{length_s:.1f} s; choose a shorter one"
        )
    return length_s


def _manner(rng: np.random.Generator, varied: bool = False) -> Manner:
    """A manner of `STRETCH`, and of `PITCH` where it is varied, evenly spread in their logarithms.

    A higher voice then has a shorter tract: women's voices have 1.7 times the pitch of men's and
    1.17 times the formants.
    """
    manner = replace(random_manner(rng), stretch=_spread(STRETCH, rng))
    if not varied:
        return manner
    pitch = _spread(PITCH, rng)
    return replace(manner, pitch=pitch, tract=pitch**-0.3 * float(rng.uniform(0.92, 1.08)))


def _spread(ends: tuple[float, float], rng: np.random.Generator) -> float:
    low, high = ends
    return low * float((high / low) ** rng.random())


@lru_cache(maxsize=2)
def voices_of(held_out: bool) -> list[list[Voice]]:
    """The voices of espeak-ng and of flite that are held out, or all the others."""

    def chosen(voice: Voice) -> bool:
        return (voice.name.split("+")[-1] in HELD_OUT) == held_out

    return [list(filter(chosen, espeak_voices())), list(filter(chosen, flite_voices()))]


@lru_cache(maxsize=2)
def kokoro_voices_of(folder: Path, held_out: bool) -> list[Voice]:
    """Kokoro's voices that are means of held-out ones alone, or of none of them."""

    def chosen(voice: Voice) -> bool:
        known = [part in KOKORO_HELD_OUT for part in voice.name.split("+")]
        return all(known) if held_out else not any(known)

    return list(filter(chosen, kokoro_voices(folder)))


def read_recordings(
    folder: Path, clip_samples: int, skipped: Skipped | None = None
) -> dict[Path, Samples]:
    """The phrase in each recording of a folder, found by its energy; float32 (n,) at 16 kHz.

    skipped: gets the files that are no recordings. Raises DataError for a folder without
    recordings and for a phrase longer than a clip, AudioError for a file that cannot be read.
    """
    found = {}
    for path in audio_below(folder, skipped):
        sound = read_whole(path)
        start, end = (round(time_s * SAMPLE_RATE_HZ) for time_s in find_word(sound))
        if not np.abs(sound).any():
            raise DataError(f"{path}: need a recording of the phrase, got silence; remove it")
        if end - start > clip_samples:
            raise DataError(
                f"{path}: need the phrase alone, {clip_samples / SAMPLE_RATE_HZ:.1f} s at most, "
                f"got {(end - start) / SAMPLE_RATE_HZ:.1f} s of sound; cut or remove it"
            )
        found[path] = sound[start:end]
    return found


class Speech:
    """Writes the files of a phrase to a folder."""

    def __init__(
        self,
        phrase: Phrase,
        clip_s: float,
        amounts: Amounts,
        seed: int,
        folder: Path,
        positives: Path | None = None,
        kokoro: Path | None = None,
        cache: Path | None = None,
        varied: bool = False,
    ) -> None:
        """positives: folder of a person's own recordings of the phrase. kokoro: of Kokoro's files.
        cache: for what Kokoro says; without it a folder beside the clips. varied: whether to write
        the clips that are varied, too.

        Raises DataError for a folder without recordings, for one that is no short phrase and for
        one without Kokoro's files, AudioError for a file that cannot be read.
        """
        if kokoro is not None:
            kokoro_voices(kokoro)
        self._kokoro = kokoro if amounts.kokoro else None
        self._cache = folder / "kokoro" if cache is None else cache
        self.phrase, self.folder, self.amounts = phrase, folder, amounts
        self._samples = round(clip_s * SAMPLE_RATE_HZ)
        self._seed, self._varied = seed, varied
        self._misses = NearMisses(phrase)
        self._texts = [text for text in sentences() if not phrase.within(text)]
        self.skipped = Skipped()  # of the recordings
        self._own: dict[Path, Samples] = {}
        if positives is not None:
            self._own = read_recordings(positives, self._samples, self.skipped)
        self._about = {
            "layout": LAYOUT,
            "phrase": phrase.text,
            "clip_s": clip_s,
            "seed": seed,
            "amounts": asdict(amounts),
            "kokoro": None if self._kokoro is None else kokoro_files.digest(self._kokoro),
            "recordings": [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in self._own],
        }

    def write(self, jobs: int, progress: Callable[[int, int], None]) -> None:
        """Write what is not there yet; progress hears of the files done and of all.

        Files of other settings are replaced. Raises DataError for a folder of something else.
        """
        self._begin()
        order = (self._kokoro_utterances, self._long, self._clips)
        stages = [list(self._of(stage)) for stage in order]
        total, done = sum(map(len, stages)), 0
        for tasks in stages:
            with ThreadPoolExecutor(jobs) as pool:
                for _ in pool.map(lambda task: _write_missing(*task), tasks):
                    done += 1
                    progress(done, total)

    def _begin(self) -> None:
        about = self.folder / "speech.json"
        if self.folder.exists() and any(self.folder.iterdir()):
            if not about.is_file():
                raise DataError(f"{self.folder}: need a folder of synthetic speech, got another")
            try:
                written = json.loads(about.read_text("utf-8"))
            except ValueError:  # damaged: what the files are is not known
                written = None
            if written != self._about:
                shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write(about, json.dumps(self._about, indent=2) + "\n")

    def _of(self, stage: "_Stage") -> "Iterator[_Task]":
        for held_out in (False, True):
            yield from stage(self.folder / ("held_out" if held_out else "training"), held_out)

    def _kokoro_utterances(self, folder: Path, held_out: bool) -> "Iterator[_Task]":
        """What Kokoro says, in the cache."""
        if self._kokoro is not None:
            for kind in KOKORO_UTTERANCES:
                for index in range(self._kokoro_count(kind, held_out)):
                    yield self._by_kokoro(self._kokoro, kind, index, held_out)

    def _long(self, folder: Path, held_out: bool) -> "Iterator[_Task]":
        """Running speech and noises. An utterance lasts about 3.5 s with its pause."""
        minutes = self.amounts.held_out_min if held_out else self.amounts.running_min
        for index in range(round(minutes * 60 / 3.5)):
            path = folder / "running" / f"{index:05d}.flac"
            yield path, partial(self._utterance, index, held_out)
        for index in range(max(len(KINDS), round(self.amounts.noise_min * 60 / NOISE_S))):
            kind = KINDS[index % len(KINDS)]
            path = folder / "noise" / f"{kind}-{index:05d}.flac"
            yield path, partial(noise, kind, NOISE_S, self._rng("noise", index, held_out))

    def _clips(self, folder: Path, held_out: bool) -> "Iterator[_Task]":
        share = HELD_OUT_SHARE if held_out else 1.0
        for kind in ("phrase", "near", "words"):
            for index in range(max(1, round(share * getattr(self.amounts, kind)))):
                path = folder / kind / f"{index:05d}.flac"
                yield path, partial(self._in_context, kind, index, held_out)
                alone = {"phrase": ("clips", self.phrase.keyword), "near": ("misses", "near")}
                if held_out and kind in alone:
                    path = Path(folder, *alone[kind], f"{index:05d}.flac")
                    yield path, partial(self._alone, kind, index)
        if self._varied and not held_out:
            for kind in VARIED:
                for index in range(getattr(self.amounts, kind)):
                    path = folder / "varied" / kind / f"{index:05d}.flac"
                    yield path, partial(self._with_variety, kind, index)
        own = [sound for i, sound in enumerate(self._own.values()) if (i % 5 == 4) == held_out]
        for index in range(round(share * self.amounts.recordings) if own else 0):
            path = folder / "recordings" / f"{index:05d}.flac"
            rng = self._rng("own", index, held_out)
            yield path, partial(self._placed, own[index % len(own)], rng, held_out)
        for index, sound in enumerate(own if held_out else []):
            path = folder / "clips" / self.phrase.keyword / f"recording-{index:05d}.flac"
            yield path, partial(np.asarray, sound)

    def _rng(self, kind: str, index: int, held_out: bool) -> np.random.Generator:
        text = f"{self.phrase.text}/{kind}/{held_out}"
        return np.random.default_rng([self._seed, zlib.crc32(text.encode()), index])

    def _voice(
        self, rng: np.random.Generator, held_out: bool, varied: bool
    ) -> tuple[Voice, Manner]:
        voices = voices_of(held_out)[int(rng.random() < FLITE_SHARE)]
        manner = _manner(rng, varied)
        return voices[rng.integers(len(voices))], manner

    def _text(self, kind: str, rng: np.random.Generator, phonetic: bool) -> str:
        if kind == "phrase":
            return self.phrase.text
        if kind == "near":
            return self._misses.draw(rng, phonetic)
        if kind == "running":  # a sentence, or some words that make none
            if rng.random() < 0.5:
                return self._texts[rng.integers(len(self._texts))]
            return " ".join(self._misses.words(rng, int(rng.integers(4, 12))))
        return " ".join(self._misses.words(rng, int(rng.integers(1, 4))))

    def _said(
        self, kind: str, rng: np.random.Generator, held_out: bool, varied: bool = False
    ) -> Samples:
        if self._kokoro is not None and rng.random() < self.amounts.kokoro:
            index = int(rng.integers(self._kokoro_count(kind, held_out)))
            path, make = self._by_kokoro(self._kokoro, kind, index, held_out)
            _write_missing(path, make)
            return with_tract(read_whole(path), rng.uniform(*(KOKORO_TRACT if varied else TRACT)))
        voice, manner = self._voice(rng, held_out, varied)
        return speak(self._text(kind, rng, voice.tool == "espeak-ng"), voice, manner)

    def _kokoro_count(self, kind: str, held_out: bool) -> int:
        share = KOKORO_UTTERANCES[kind] * (HELD_OUT_SHARE if held_out else 1.0)
        return max(1, round(share * self.amounts.utterances))

    def _by_kokoro(self, folder: Path, kind: str, index: int, held_out: bool) -> "_Task":
        """The file of an utterance of Kokoro, and what makes it."""
        rng = self._rng(f"kokoro/{kind}", index, held_out)
        voices = kokoro_voices_of(folder, held_out)
        manner = replace(_manner(rng), pitch=1.0, tract=1.0)
        voice, text = voices[rng.integers(len(voices))], self._text(kind, rng, True)
        said = [kokoro_files.digest(folder), voice.name, text, manner.ending, manner.stretch]
        name = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
        return self._cache / f"{name}.flac", partial(speak, text, voice, manner)

    def _alone(self, kind: str, index: int) -> Samples:
        rng = self._rng(kind, index, True)
        sound = self._said(kind, rng, True)
        return at_level(recorded(np.pad(sound, 800), rng), rng)

    def _in_context(self, kind: str, index: int, held_out: bool) -> Samples:
        rng = self._rng(kind, index, held_out)
        return self._placed(self._said(kind, rng, held_out), rng, held_out)

    def _with_variety(self, kind: str, index: int) -> Samples:
        rng = self._rng(f"varied/{kind}", index, False)
        said = self._said(kind, rng, False, varied=True)
        gaps = max(1, len(self.phrase.words) - 1)
        return self._placed(with_pauses(said, gaps, PAUSE_S, rng), rng, False)

    def _placed(self, sound: Samples, rng: np.random.Generator, held_out: bool) -> Samples:
        """A clip that ends soon after the sound; speech or nothing before it and after it."""
        clip = np.zeros(self._samples, np.float32)
        end = self._samples - round(rng.uniform(*TAIL_S) * SAMPLE_RATE_HZ)
        sound = sound[-end:] / np.abs(sound).max()
        start = end - len(sound)
        clip[start:end] = sound
        until = start - round(rng.uniform(0.0, 0.25) * SAMPLE_RATE_HZ)
        if rng.random() < 0.5 and until > 0:
            clip[:until] = _last(self._context(rng, held_out), until)
        begin = end + round(rng.uniform(0.0, 0.25) * SAMPLE_RATE_HZ)
        if rng.random() < 0.4 and begin < self._samples:
            following = self._context(rng, held_out)[: self._samples - begin]
            clip[begin : begin + len(following)] = following
        return at_level(recorded(clip, rng), rng)

    def _context(self, rng: np.random.Generator, held_out: bool) -> Samples:
        """Other speech, from 10 dB quieter than what is in its midst to 2 dB louder."""
        side = "held_out" if held_out else "training"
        running = sorted((self.folder / side / "running").glob("*.flac"))[:POOL]
        sound = read_whole(running[rng.integers(len(running))])
        spoken = np.trim_zeros(sound)
        scaled: Samples = spoken / np.abs(spoken).max() * 10 ** (rng.uniform(-10, 2) / 20)
        return scaled.astype(np.float32)

    def _utterance(self, index: int, held_out: bool) -> Samples:
        """Running speech and a pause."""
        rng = self._rng("running", index, held_out)
        sound = at_level(recorded(self._said("running", rng, held_out), rng), rng)
        return np.pad(sound, (0, round(rng.uniform(0.05, 0.9) * SAMPLE_RATE_HZ)))


_Task = tuple[Path, Callable[[], Samples]]
_Stage = Callable[[Path, bool], Iterator[_Task]]


def _write_missing(path: Path, make: Callable[[], Samples]) -> None:
    if not (path.exists() and path.stat().st_size):
        write_flac(path, make())


def _last(sound: Samples, count: int) -> Samples:
    """The last samples; zeros before them where there are too few."""
    return np.pad(sound[-count:], (max(0, count - len(sound)), 0))
