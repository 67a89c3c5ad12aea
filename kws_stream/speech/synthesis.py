"""Spoken words from espeak-ng, flite and Kokoro: training clips for words that recordings lack.

A clip is drawn from (seed, word, index) alone: the same tools give the same clips in any order
and for any number of jobs. espeak-ng and flite run as programs, Kokoro as a graph where its files
are given (see `kokoro`); nothing of them becomes part of this project.
"""

import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws_stream.audio.encoding import write_flac
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import AudioError, ParameterError
from kws_stream.speech import kokoro
from kws_stream.speech.acoustics import recorded
from kws_stream.speech.tools import run_tool

Samples = NDArray[np.float32]

ESPEAK_ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en",  # British; with the name en-gb, espeak-ng 1.51 ignores variants
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-gb-scotland",
    "en-029",
)
ESPEAK_VARIANTS = (
    *(f"m{i}" for i in range(1, 9)),
    *(f"f{i}" for i in range(1, 6)),
    *("adam", "Andy", "anika", "Annie", "belinda", "benjamin", "david", "ed", "Gene", "john"),
    *("Lee", "linda", "Mario", "max", "Michael", "paul", "rob", "steph", "victor", "zac"),
)
FLITE_VOICES = {"slt": 180.0, "rms": 110.0, "awb": 120.0, "kal": 105.0, "kal16": 105.0}
"""flite's English voices and their usual mean pitch in Hz."""

FLITE_SHARE = 0.4  # flite's diphone and cluster voices are few but nearer to people than formants
TRACT = (0.85, 1.15)  # lengths of the vocal tract that training clips have
TRIM_DB = 40.0  # below the loudest 10 ms: silence
DIP_DB = 10.0  # below the loudest 30 ms: where a pause may be
INNER = 0.15  # of a word, at either end: no pause there
MOST_PAUSE_S = 0.4
MARGIN_S = 0.02  # kept around a trimmed word, so that a soft onset stays


@dataclass(frozen=True)
class Voice:
    """One voice of one tool.

    tool: "espeak-ng", "flite" or "kokoro"; name: what the tool calls it; folder: of Kokoro's files.
    """

    tool: str
    name: str
    folder: Path | None = None

    @property
    def label(self) -> str:
        """A name fit for a file: espeak-ng-en-us-f2."""
        return f"{self.tool}-{self.name}".replace("+", "-")


@dataclass(frozen=True)
class Manner:
    """How a word is said.

    stretch, pitch, tract: length, pitch and length of the vocal tract, each against the voice's
    usual; a tract above 1 means lower formants. ending: punctuation, which sets the melody.
    Kokoro's pitch follows the tract alone.
    """

    stretch: float = 1.0
    pitch: float = 1.0
    tract: float = 1.0
    ending: str = "."


def espeak_voices() -> list[Voice]:
    """Every accent in its plain form and in each variant."""
    plain = [Voice("espeak-ng", accent) for accent in ESPEAK_ACCENTS]
    pairs = product(ESPEAK_ACCENTS, ESPEAK_VARIANTS)
    return plain + [Voice("espeak-ng", f"{accent}+{variant}") for accent, variant in pairs]


def flite_voices() -> list[Voice]:
    return [Voice("flite", name) for name in FLITE_VOICES]


def kokoro_voices(folder: Path) -> list[Voice]:
    """Raises DataError without Kokoro's files."""
    return [Voice("kokoro", name, folder) for name in kokoro.names_in(folder)]


def tool_versions() -> dict[str, str]:
    """The first line that tells the version, for each tool.

    Raises MissingExtraError when a tool is not installed.
    """
    versions = {}
    for tool in ("espeak-ng", "flite"):
        words = run_tool([tool, "--version"], needs_success=False)
        found = re.search(r"(?:text-to-speech:\s*|flite-)(\S+)", words)
        versions[tool] = found.group(1) if found else "unknown"
    return versions


def speak(text: str, voice: Voice, manner: Manner = Manner()) -> Samples:
    """`text` in that voice: float32 (n,) at 16 kHz, silence trimmed, level as the tool gives it.

    Raises MissingExtraError when the tool is not installed, AudioError when it made no sound.
    """
    spoken = text + manner.ending
    if voice.folder is not None:
        speed = manner.tract / manner.stretch
        samples, rate_hz = kokoro.speak(spoken, voice.name, speed, voice.folder)
    else:
        samples, rate_hz = _run_voice(spoken, voice, manner)
    return trim(_resample(samples, rate_hz / manner.tract))


def _run_voice(spoken: str, voice: Voice, manner: Manner) -> tuple[Samples, int]:
    """What a program says and its rate in Hz, before the resampling that makes the tract."""
    import soundfile

    with tempfile.TemporaryDirectory(prefix="kws-stream-") as folder:
        wav = str(Path(folder) / "word.wav")
        # resampling by `tract` stretches time and lowers pitch too: ask for the reverse of both
        stretch, pitch = manner.stretch / manner.tract, manner.pitch * manner.tract
        if voice.tool == "espeak-ng":
            rate = round(np.clip(160 / stretch, 80, 400))  # 160 words a minute is one clear word
            tone = round(np.clip(50 * pitch, 0, 99))
            options = [*_same_breath(), "-v", voice.name, "-s", f"{rate}", "-p", f"{tone}"]
            run_tool(["espeak-ng", *options, "-w", wav, spoken])
        elif voice.tool == "flite":
            mean_hz = FLITE_VOICES.get(voice.name, 120.0) * pitch
            options = ["--setf", f"duration_stretch={stretch:.3f}"]
            options += ["--setf", f"int_f0_target_mean={mean_hz:.1f}"]
            run_tool(["flite", "-voice", voice.name, *options, "-t", spoken, "-o", wav])
        else:
            raise ParameterError(f"need a voice of espeak-ng or flite, got tool {voice.tool!r}")
        samples, rate_hz = soundfile.read(wav, dtype="float32")
    return samples, rate_hz


@cache
def _same_breath() -> list[str]:
    """The option that makes espeak-ng say a word the same way each time, where it has one.

    From 1.52 on, some variants have a breath that is drawn anew in each run unless -D is given
    (findings/espeak-ng-breathes-otherwise-each-time.sh). 1.51 breathes the same each time, and ends
    without a sound when it is given -D.
    """
    options = run_tool(["espeak-ng", "--help"], needs_success=False)
    return ["-D"] if re.search(r"^-D\b", options, re.MULTILINE) else []


def with_tract(samples: Samples, tract: float) -> Samples:
    """Samples as by a vocal tract so much longer: lower and slower, in one resampling."""
    return _resample(samples, SAMPLE_RATE_HZ / tract)


def with_pauses(samples: Samples, most: int, mean_s: float, rng: np.random.Generator) -> Samples:
    """A pause at each of the `most` quietest places within a word or phrase: between words, or
    before a sound that closes the mouth.

    The pauses are exponentially distributed, `MOST_PAUSE_S` at most. A place is one of 10 ms that
    is at least `DIP_DB` below the loudest, not near an end (`INNER`), nor within 0.1 s of another.
    """
    power, frame = _frame_power(samples)
    count = len(power)
    padded = np.pad(power, 1)
    level = padded[:-2] + padded[1:-1] + padded[2:]
    ends = round(INNER * count)
    quiet = np.flatnonzero(level < level.max(initial=0.0) * 10 ** (-DIP_DB / 10))
    places: list[int] = []
    for place in sorted(
        quiet[(quiet >= ends) & (quiet < count - ends)].tolist(), key=lambda p: (level[p], p)
    ):
        if len(places) < most and all(abs(place - other) > 10 for other in places):
            places.append(place)
    pieces, begin = [], 0
    ramp = np.linspace(0, 1, frame // 2, dtype=np.float32)
    samples = samples.copy()
    for place in sorted(places):
        middle = place * frame + frame // 2
        samples[middle - len(ramp) : middle] *= ramp[::-1]
        samples[middle : middle + len(ramp)] *= ramp
        pause = round(min(rng.exponential(mean_s), MOST_PAUSE_S) * SAMPLE_RATE_HZ)
        pieces += [samples[begin:middle], np.zeros(pause, np.float32)]
        begin = middle
    return np.concatenate([*pieces, samples[begin:]])


def trim(samples: Samples) -> Samples:
    """Cut the silence before and after: what is `TRIM_DB` below the loudest 10 ms.

    Raises AudioError when there is no sound at all.
    """
    power, frame = _frame_power(samples)
    if not power.size or power.max() <= 0:
        raise AudioError("need a word that can be heard, got silence from the synthesiser")
    loud = np.flatnonzero(power > power.max() * 10 ** (-TRIM_DB / 10))
    margin = round(MARGIN_S * SAMPLE_RATE_HZ)
    return samples[max(0, loud[0] * frame - margin) : (loud[-1] + 1) * frame + margin]


def _frame_power(samples: Samples) -> tuple[Samples, int]:
    """Mean square of each whole 10 ms, and how many samples that is."""
    frame = SAMPLE_RATE_HZ // 100
    whole = len(samples) // frame * frame
    power: Samples = np.square(samples[:whole]).reshape(-1, frame).mean(axis=1)
    return power, frame


def random_manner(rng: np.random.Generator) -> Manner:
    """Any manner that training clips are said in."""
    return Manner(
        stretch=rng.uniform(0.75, 1.3),
        pitch=rng.uniform(0.6, 1.5),
        tract=rng.uniform(*TRACT),
        ending=str(rng.choice([".", "!", "?", ","])),
    )


def random_clip(
    word: str, index: int, seed: int = 0, kokoro_folder: Path | None = None
) -> tuple[Voice, Samples]:
    """Clip `index` of a word: its voice and one second at 16 kHz, the word somewhere in it.

    A word longer than a second loses what does not fit. kokoro_folder: Kokoro's voices in place of
    those of espeak-ng and flite.
    """
    rng = np.random.default_rng([seed, zlib.crc32(word.encode()), index])
    voices = flite_voices() if rng.random() < FLITE_SHARE else espeak_voices()
    if kokoro_folder is not None:
        voices = kokoro_voices(kokoro_folder)
    voice = voices[rng.integers(len(voices))]
    spoken = speak(word, voice, random_manner(rng))
    room = SAMPLE_RATE_HZ - len(spoken)
    start = int(rng.integers(min(0, room), max(0, room) + 1))
    clip = np.zeros(SAMPLE_RATE_HZ, np.float32)
    kept = spoken[max(0, -start) :][: SAMPLE_RATE_HZ - max(0, start)]
    clip[max(0, start) :][: len(kept)] = kept
    return voice, at_level(recorded(clip, rng), rng)


def at_level(sound: Samples, rng: np.random.Generator) -> Samples:
    """With its loudest sample at 0.08 to 0.8 of full scale."""
    return sound * np.float32(rng.uniform(0.08, 0.8) / np.abs(sound).max())


def write_clips(
    words: Sequence[str],
    count: int,
    folder: Path,
    *,
    seed: int = 0,
    jobs: int = 1,
    kokoro_folder: Path | None = None,
) -> Iterator[Path]:
    """Write `count` clips of each word, FOLDER/<word>/<voice>_nohash_<n>.flac; yield each path.

    The layout is that of Speech Commands: its split by the name before `_nohash_` keeps all clips
    of one voice on one side. kokoro_folder: Kokoro's voices in place of those of the other tools.

    Raises ParameterError for a word that is not letters, hyphens or apostrophes, MissingExtraError
    when a tool is not installed, DataError for a folder without Kokoro's files.
    """

    for word in words:
        if not re.fullmatch(r"[A-Za-z][A-Za-z'-]*", word):
            raise ParameterError(
                f"need words made of letters, hyphens and apostrophes, got {word!r}"
            )
    if kokoro_folder is None:
        tool_versions()
    else:
        kokoro_voices(kokoro_folder)

    def write(task: tuple[str, int]) -> Path:
        word, index = task
        voice, clip = random_clip(word, index, seed, kokoro_folder)
        path = folder / word / f"{voice.label}_nohash_{index}.flac"
        write_flac(path, clip)
        return path

    tasks: Iterable[tuple[str, int]] = product(words, range(count))
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(write, tasks)


def _resample(samples: Samples, rate_hz: float) -> Samples:
    import soxr

    out: Samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
    return out
