"""A wake phrase, and what sounds like it: all that is taught from is found from its letters.

Phonemes are espeak-ng's own mnemonics for American English; they are asked for, never guessed, so
that any phrase that espeak-ng can say has its own near misses.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.speech.tools import run_tool

MAX_LETTERS = 60
NEAR_WORDS = 40  # of the word list, the nearest to each word of the phrase
LEAST_CHANGED = 2  # phonemes of a near miss; one alone might be an accent
ADVISED_SYLLABLES = 3
CHANGED_SHARE = 0.35  # of the phonemes, where they are changed at random
OTHER = "other"
_DATA = Path(__file__).parents[1] / "_data"
_VOWELS = "aeiouAEIOUV03@"
_LETTER_VOWELS, _LETTER_CONSONANTS = "aeiou", "bdfgklmnprstvwz"


@dataclass(frozen=True)
class Phrase:
    """A wake phrase. text: lower-case words with single spaces, as they are spoken."""

    text: str

    @classmethod
    def parse(cls, text: str) -> "Phrase":
        """Raises ParameterError for anything but words of the letters a to z, ' and -."""
        words = text.lower().split() if isinstance(text, str) else []
        if not words:
            raise ParameterError('wake phrase: need words to listen for, such as "hey computer"')
        for word in words:
            if not re.fullmatch(r"[a-z][a-z'-]*", word):
                raise ParameterError(
                    f"wake phrase: need words of the letters a to z, hyphens and apostrophes, got "
                    f"{word!r:.60}; write numbers and signs as words"
                )
        if len(" ".join(words)) > MAX_LETTERS:
            raise ParameterError(
                f"wake phrase: need {MAX_LETTERS} letters at most, got {len(' '.join(words))}; "
                "choose a shorter one"
            )
        if " ".join(words) == OTHER:
            raise ParameterError(
                f"wake phrase: need another one than {OTHER!r}, the name of all other sounds"
            )
        return cls(" ".join(words))

    @property
    def words(self) -> list[str]:
        return self.text.split()

    @property
    def keyword(self) -> str:
        """The name of its class: hey_computer."""
        return self.text.replace(" ", "_")

    @property
    def pack(self) -> str:
        """The name of a pack for it: hey-computer."""
        return re.sub(r"[^a-z]+", "-", self.text).strip("-")

    def within(self, text: str) -> bool:
        """Whether a text says the phrase."""
        letters = " ".join(re.findall(r"[a-z'-]+", text.lower()))
        return f" {self.text} " in f" {letters} "


@lru_cache(maxsize=1)
def sentences() -> tuple[str, ...]:
    """Plain English sentences, written for this project."""
    return tuple((_DATA / "sentences.txt").read_text("utf-8").splitlines())


@lru_cache(maxsize=1)
def common_words() -> tuple[str, ...]:
    """Different words: a list, and those of the sentences."""
    listed = (_DATA / "words.txt").read_text("utf-8").split()
    spoken = re.findall(r"[a-z']+", " ".join(sentences()).lower())
    return tuple(sorted({*listed, *spoken}))


def phonemes(words: Sequence[str]) -> list[list[str]]:
    """The phonemes of each word, as espeak-ng -x names them; stress stands before a vowel.

    Raises MissingExtraError without espeak-ng, ParameterError where it has nothing to say.
    """
    with tempfile.TemporaryDirectory(prefix="kws-stream-") as folder:
        text = Path(folder) / "words.txt"
        text.write_text("\n\n".join(f"{word}." for word in words) + "\n", "utf-8")
        said = run_tool(["espeak-ng", "-v", "en-us", "-q", "-x", "--sep=_", "-f", str(text)])
    lines = [line.split("_") for line in said.replace(" ", "_").splitlines() if line.strip("_ ")]
    if len(lines) != len(words):
        raise ParameterError(
            f"need words that espeak-ng can pronounce, got {len(lines)} for {len(words)} words"
        )
    return [[sound for sound in line if sound] for line in lines]


def length_note(phrase: Phrase) -> str | None:
    """What to know of a phrase shorter than is advised, in a sentence; None for a longer one.

    Raises ParameterError for a phrase of so few sounds that a near miss has none of them.
    """
    sounds = [sound for word in phonemes(phrase.words) for sound in word]
    if len(sounds) <= LEAST_CHANGED:
        raise ParameterError(
            f"wake phrase: need {LEAST_CHANGED + 1} sounds or more, got {len(sounds)} in "
            f"{phrase.text!r}, which nothing tells from other speech; choose a longer one, such as "
            '"hey computer"'
        )
    syllables = sum(_is_vowel(sound) or sound.endswith("-") for sound in sounds)
    if syllables >= ADVISED_SYLLABLES:
        return None
    return (
        f"{phrase.text!r} has about {syllables} syllable{'s' * (syllables != 1)}; a phrase of "
        f"{ADVISED_SYLLABLES} or more is falsely heard less often in other speech"
    )


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Phonemes to insert, remove or replace to make one of the other; stress does not count."""
    a, b = ([sound.lstrip("',") for sound in sounds] for sounds in (one, other))
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            changed = before + (left != right)
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, changed)
    return row[-1]


@dataclass
class NearMisses:
    """Draws texts that are nearly the phrase: parts of it, its words with others, changed sounds.

    near[i]: the words of the list that sound most like word i of the phrase.
    """

    phrase: Phrase
    near: list[list[str]] = field(init=False)

    __repr__ = brief

    def __post_init__(self) -> None:
        words = [w for w in common_words() if w not in self.phrase.words]
        spoken = phonemes([*self.phrase.words, *words])
        count = len(self.phrase.words)
        self._words = words
        self._sounds = spoken[:count]
        listed = spoken[count:]
        plain = {sound for sounds in spoken for sound in sounds}
        self._all = sorted(
            sound for sound in plain if re.fullmatch(r"[',]?[A-Za-z03@][A-Za-z03@:]*", sound)
        )
        self.near = []
        for sounds in self._sounds:
            changed = [distance(sounds, other) for other in listed]
            far = [d / max(len(sounds), len(o)) for d, o in zip(changed, listed, strict=True)]
            order = [row for row in np.argsort(far, kind="stable") if changed[row] >= LEAST_CHANGED]
            self.near.append([words[row] for row in order[:NEAR_WORDS]])

    def draw(self, rng: np.random.Generator, phonetic: bool) -> str:
        """A text, or with `phonetic` perhaps phonemes for espeak-ng in [[ ]]."""
        kinds = [self._part, self._replaced, self._replaced, self._changed, self._changed]
        if len(self.phrase.words) > 1:
            kinds += [self._turned]
        for _ in range(100):
            text = kinds[rng.integers(len(kinds))](rng, phonetic)
            if not self.phrase.within(text):
                return text
        return self._words[rng.integers(len(self._words))]

    def words(self, rng: np.random.Generator, count: int) -> list[str]:
        """Common words at random, none of them of the phrase."""
        return [self._words[row] for row in rng.integers(len(self._words), size=count)]

    def _part(self, rng: np.random.Generator, phonetic: bool) -> str:
        """Some of the words, or where there is one alone its beginning or its end."""
        words = self.phrase.words
        if len(words) > 1 and rng.random() < 0.7:
            count = int(rng.integers(1, len(words)))
            start = int(rng.integers(0, len(words) - count + 1))
            return " ".join(words[start : start + count])
        if phonetic:
            sounds = [sound for word in self._sounds for sound in word]
            return f"[[{''.join(_piece(sounds, rng))}]]"
        piece = "".join(_piece(list(self.phrase.text), rng)).strip(" '-")
        return piece or words[0]

    def _replaced(self, rng: np.random.Generator, phonetic: bool) -> str:
        """One word made another one, near half of the time; of a single word a half."""
        words = list(self.phrase.words)
        row = int(rng.integers(len(words)))
        choices = self.near[row] if rng.random() < 0.5 else self._words
        other = choices[rng.integers(len(choices))]
        if len(words) == 1:
            half = len(words[0]) // 2
            parts = [words[0][:half], other] if rng.random() < 0.5 else [other, words[0][half:]]
            return other if choices is self.near[row] else " ".join(parts)
        words[row] = other
        return " ".join(words)

    def _turned(self, rng: np.random.Generator, phonetic: bool) -> str:
        return " ".join(rng.permutation(self.phrase.words).tolist())

    def _changed(self, rng: np.random.Generator, phonetic: bool) -> str:
        """A third of the sounds, two at least, made others of their kind."""
        if phonetic:
            units = [[*sounds] for sounds in self._sounds]
        else:
            units = [[*word] for word in self.phrase.words]
        places = [(w, i) for w, word in enumerate(units) for i in range(len(word))]
        places = [(w, i) for w, i in places if units[w][i] not in "'-"]
        count = min(len(places), max(LEAST_CHANGED, round(CHANGED_SHARE * len(places))))
        for row in rng.permutation(len(places))[:count].tolist():
            w, i = places[row]
            units[w][i] = self._other(units[w][i], rng, phonetic)
        joined = " ".join("".join(word) for word in units)
        return f"[[{joined}]]" if phonetic else joined

    def _other(self, unit: str, rng: np.random.Generator, phonetic: bool) -> str:
        plain = unit.lstrip("',")
        if phonetic:
            kind = [s.lstrip("',") for s in self._all if _is_vowel(s) == _is_vowel(unit)]
        else:
            kind = list(_LETTER_VOWELS if unit in _LETTER_VOWELS else _LETTER_CONSONANTS)
        others = sorted({sound for sound in kind if sound and sound != plain})
        return unit[: len(unit) - len(plain)] + others[rng.integers(len(others))]


def _is_vowel(sound: str) -> bool:
    return sound.lstrip("',")[:1] in _VOWELS


def _piece(units: list[str], rng: np.random.Generator) -> list[str]:
    """The first or the last third to two thirds."""
    count = max(1, round(len(units) * rng.uniform(0.33, 0.67)))
    return units[:count] if rng.random() < 0.5 else units[-count:]
