"""Words that few people recorded, joined from pieces of words that many did.

`on` becomes the vowel of somebody's "stop" and the end of the same person's "one" or "down"; `off`
the same vowel and the f of "left". Voices, rooms and microphones are real, which a
synthesiser's are not. PocketSphinx finds the pieces by forced alignment, with the model of English
that it brings.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from kws_stream.audio import read_whole
from kws_stream.audio.encoding import write_flac
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DataError, MissingExtraError, ParameterError
from kws_stream.evaluation.folders import by_known_word, words_below
from kws_stream.evaluation.speech_commands import WORDS, split_of
from kws_stream.speech.acoustics import recorded
from kws_stream.speech.synthesis import at_level

Samples = NDArray[np.float32]
Spans = dict[str, tuple[int, int]]  # phone: first sample, and the one after its last

ALIGNER_FRAME = SAMPLE_RATE_HZ // 100
TRIES = 50  # pairs of recordings, before a word is given up
JOINT = SAMPLE_RATE_HZ // 50  # vowel and end overlap, fading, for so many samples
ENTRY = 400  # samples of its own vowel that an end begins with
SHORTEST_VOWEL, SHORTEST_END = 1120, 640
VOWEL_S = (0.16, 0.38)  # lengths of the joined word's vowel
LONGEST = SAMPLE_RATE_HZ - 1000


@dataclass(frozen=True)
class Pieces:
    """A word's pieces: the vowel of one word, the last consonant of any of others.

    vowel, ends: word and phone, in the phone set of the CMU dictionary. tract: how far the vowel's
    formants may fall, as by a longer vocal tract. stretch: how much longer the end may become.
    """

    vowel: tuple[str, str]
    ends: Mapping[str, str]
    tract: float
    stretch: float

    __repr__ = brief


PIECES = {
    "on": Pieces(("stop", "AA"), {"one": "N", "down": "N"}, tract=1.05, stretch=1.3),
    "off": Pieces(("stop", "AA"), {"left": "F"}, tract=1.2, stretch=2.4),
}


@dataclass(frozen=True)
class Recording:
    """One recording of a word, and where its phones are."""

    samples: Samples
    spans: Spans

    __repr__ = brief


class WordRecordings:
    """The training speakers' recordings of words, by word and speaker."""

    def __init__(self, speech_commands: Path) -> None:
        self.folder = speech_commands
        self._files, _ = by_known_word(words_below(speech_commands), WORDS)
        self._words: dict[str, dict[str, list[Recording]]] = {}

    def of(self, word: str) -> dict[str, list[Recording]]:
        """The word's recordings by their speaker, aligned when they are asked for first.

        All of a word and in one order: the aligner remembers a little of what it heard before.
        """
        if word not in self._words:
            aligner = Aligner()
            by: dict[str, list[Recording]] = {}
            for path in self._files.get(word, ()):
                if "_nohash_" not in path.name or split_of(path.name) != "training":
                    continue
                samples = read_whole(path)
                recording = Recording(samples, aligner.spans(samples, word))
                by.setdefault(path.name.split("_nohash_")[0], []).append(recording)
            self._words[word] = by
        return self._words[word]


class Aligner:
    """Finds the phones of a known word; it remembers a little of what it heard before.

    Raises MissingExtraError without PocketSphinx.
    """

    def __init__(self) -> None:
        self._decoder = _new_decoder()

    def spans(self, samples: Samples, word: str) -> Spans:
        """Where the phones of `word` are in samples (n,) at 16 kHz; {} where it was not found.

        The longest silence has the name SIL.
        """
        peak = np.abs(samples).max(initial=0.0)
        if not peak:
            return {}
        pcm = np.round(samples * (0.6 * 32767 / peak)).astype("<i2").tobytes()
        try:
            self._decoder.set_align_text(word)
            self._decode(pcm)
            if self._decoder.hyp() is None:
                return {}
            self._decoder.set_alignment()
            self._decode(pcm)
        except RuntimeError:  # no way through the word's phones; the decoder is of no use any more
            self._decoder = _new_decoder()
            return {}
        spans: Spans = {}
        for spoken in self._decoder.get_alignment():
            for phone in spoken:
                start = phone.start * ALIGNER_FRAME
                stop = min(len(samples), start + phone.duration * ALIGNER_FRAME)
                known = spans.get(phone.name, (0, 0))
                if stop - start > known[1] - known[0]:
                    spans[phone.name] = (start, stop)
        return spans

    def _decode(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()


def join(vowel: Samples, end: Samples, pieces: Pieces, rng: np.random.Generator) -> Samples:
    """One word (n,) of a vowel and an end by one speaker, which begins with a little of its vowel.

    Both are stretched to random lengths, brought to one level where they meet, and faded there.
    """
    vowel = soxr.resample(vowel, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * rng.uniform(0.95, pieces.tract))
    vowel = _stretched(vowel, float(rng.uniform(*VOWEL_S)) * SAMPLE_RATE_HZ / len(vowel))
    end = _stretched(end, rng.uniform(0.9, pieces.stretch))
    end = end * np.clip(_level(vowel[-JOINT:]) / _level(end[:JOINT]), 0.3, 3.5)
    fade = np.sqrt(np.linspace(0, 1, JOINT))
    middle = vowel[-JOINT:] * fade[::-1] + end[:JOINT] * fade
    word = np.concatenate([vowel[:-JOINT], middle, end[JOINT:]])[:LONGEST]
    attack, decay = (round(rng.uniform(*s) * SAMPLE_RATE_HZ) for s in ((0.003, 0.02), (0.02, 0.08)))
    word[:attack] *= np.linspace(0, 1, attack)
    word[-decay:] *= np.linspace(1, 0, decay)
    return word.astype(np.float32)


def spliced_clip(
    word: str, index: int, recordings: WordRecordings, seed: int = 0
) -> tuple[str, Samples]:
    """Clip `index` of a word of `PIECES`: its speaker and one second at 16 kHz, the word in it.

    Behind the word is what was heard before or after the vowel's own. Raises DataError where the
    recordings have no two pieces by one speaker.
    """
    pieces = PIECES[word]
    rng = np.random.default_rng([seed, zlib.crc32(word.encode()), index])
    vowel_word, vowel_phone = pieces.vowel
    for _ in range(TRIES):
        end_word = list(pieces.ends)[rng.integers(len(pieces.ends))]
        vowels, ends = recordings.of(vowel_word), recordings.of(end_word)
        speakers = sorted(vowels.keys() & ends.keys())
        if not speakers:
            continue
        speaker = speakers[rng.integers(len(speakers))]
        first, second = (by[speaker][rng.integers(len(by[speaker]))] for by in (vowels, ends))
        start, stop = first.spans.get(vowel_phone, (0, 0))
        vowel = first.samples[start + int(rng.integers(ALIGNER_FRAME)) : stop - ALIGNER_FRAME]
        start, stop = second.spans.get(pieces.ends[end_word], (0, 0))
        end = _without_tail(second.samples[max(0, start - ENTRY) : stop])
        if len(vowel) < SHORTEST_VOWEL or len(end) < SHORTEST_END + ENTRY or start < ENTRY:
            continue
        spoken = join(vowel, end, pieces, rng)
        clip = _background(first, spoken)
        at = int(rng.integers(0, len(clip) - len(spoken) + 1))
        clip[at : at + len(spoken)] += spoken
        return speaker, at_level(recorded(clip, rng), rng)
    raise DataError(
        f"{recordings.folder}: need recordings of {vowel_word!r} and of "
        f"{' or '.join(map(repr, pieces.ends))} by the same training speakers, to join {word!r} "
        f"from their pieces; found none in {TRIES} tries"
    )


def write_spliced(
    words: Sequence[str], count: int, speech_commands: Path, folder: Path, seed: int = 0
) -> Iterator[Path]:
    """Write `count` clips of each word, FOLDER/<word>/<speaker>_nohash_s<n>.flac; yield each path.

    Raises ParameterError for a word that is not in `PIECES`, DataError without its pieces,
    MissingExtraError without PocketSphinx.
    """

    unknown = sorted(set(words) - set(PIECES))
    if unknown:
        raise ParameterError(f"need words out of {', '.join(PIECES)}, got {', '.join(unknown)}")
    recordings = WordRecordings(speech_commands)
    for word in words:
        for index in range(count):
            speaker, clip = spliced_clip(word, index, recordings, seed)
            path = folder / word / f"{speaker}_nohash_s{index}.flac"
            write_flac(path, clip)
            yield path


def _new_decoder() -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise MissingExtraError(
            f"need PocketSphinx to find the pieces of words, got: {error}; "
            "pip install 'kws-stream[train]'"
        ) from error
    return Decoder(samprate=SAMPLE_RATE_HZ, lm=None, loglevel="FATAL", bestpath=False, cmn="batch")


def _level(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples)) + 1e-12))


def _stretched(samples: Samples, factor: float) -> Samples:
    import librosa

    rate = 1 / float(np.clip(factor, 0.8, 2.5))
    out: Samples = librosa.effects.time_stretch(samples, rate=rate, n_fft=512, hop_length=128)
    return out


def _without_tail(samples: Samples) -> Samples:
    """Cut what is 26 dB below the loudest 10 ms after it, and all after 300 ms."""
    if not len(samples):
        return samples
    power = np.convolve(np.square(samples), np.ones(ALIGNER_FRAME), "same")
    loud = np.flatnonzero(power >= power.max() * 10**-2.6)
    return samples[: min(loud[-1] + 1, 4800)]


def _background(recording: Recording, spoken: Samples) -> Samples:
    """A second of the recording's own quiet, forth and back; zeros where it has none."""
    start, stop = recording.spans.get("SIL", (0, 0))
    quiet = recording.samples[start + ALIGNER_FRAME // 2 : max(0, stop - ALIGNER_FRAME)]
    if len(quiet) < 1200 or _level(quiet) > 0.3 * _level(spoken):
        return np.zeros(SAMPLE_RATE_HZ, np.float32)
    out: Samples = np.resize(np.concatenate([quiet, quiet[::-1]]), SAMPLE_RATE_HZ)
    return out.astype(np.float32)
