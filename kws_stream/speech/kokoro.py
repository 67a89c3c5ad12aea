"""Kokoro, a neural synthesiser whose voices are nearer to people's than those of the other tools.

Its graph (hexgrad's Kokoro-82M v1.0, Apache-2.0, made int8 ONNX by kokoro-onnx) and its voices lie
in one folder, which `kokoro_release` fetches. ONNX Runtime runs the graph, espeak-ng finds the
phonemes. A voice is a table of style vectors, and the mean of two is a voice too: so a few dozen
make more than a thousand. On one thread the same text gives the same samples.
"""

import hashlib
import re
import zipfile
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import DataError, ParameterError
from kws_stream.speech.tools import run_tool

Samples = NDArray[np.float32]

DEFAULT_FOLDER = Path("kokoro")  # as `kws-stream data fetch kokoro` leaves it
MODEL, VOICES = "kokoro*.onnx", "voices*.bin"
GET_THEM = "`kws-stream data fetch kokoro` gets them, 90 MB"
ENGLISH = ("a", "b")  # first letters of the names of American and British voices
SPEED = (0.5, 2.0)  # what the synthesiser takes
RATE_HZ = 24_000
STYLES = (510, 1, 256)  # of a voice: one vector for each number of phonemes

# The numbers of the phonemes that English needs, from the model's own table (Kokoro-82M,
# config.json). A, I, O, Q, W and Y are diphthongs, T a tap, ᵊ a short schwa.
_NUMBERS = {
    **dict(zip(";:,.!?", range(1, 7), strict=True)),
    **{" ": 16, "A": 24, "I": 25, "O": 31, "Q": 33, "T": 36, "W": 39, "Y": 41, "ᵊ": 42},
    **{"a": 43, "b": 44, "d": 46, "e": 47, "f": 48, "h": 50, "i": 51, "j": 52, "k": 53, "l": 54},
    **{"m": 55, "n": 56, "p": 58, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65, "z": 68},
    **{"ɑ": 69, "ɒ": 71, "æ": 72, "ɔ": 76, "ð": 81, "ʤ": 82, "ə": 83, "ɛ": 86, "ɜ": 87, "ɡ": 92},
    **{"ɪ": 102, "ŋ": 112, "θ": 119, "ɹ": 123, "ʃ": 131, "ʧ": 133, "ʊ": 135, "ʌ": 138, "ʒ": 147},
    **{"ˈ": 156, "ˌ": 157, "ː": 158, "ᵻ": 177},
}
# What the model calls the sounds that espeak-ng writes with --tie=^, as in misaki (Apache-2.0),
# with whose phonemes it was trained. In this order, the longer ones first.
_SOUNDS = {
    **{"a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "ɔ^ɪ": "Y", "d^ʒ": "ʤ", "t^ʃ": "ʧ", "ə^l": "ᵊl"},
    **{"e^ə": "ɛː", "ə^ʊ": "Q", "o^ʊ": "O", "e": "A", "ʲ": "", "ɚ": "əɹ", "r": "ɹ", "x": "k"},
    **{"ç": "k", "ɐ": "ə", "ɬ": "l", "o": "ɔ", "ɾ": "T", "ʔ": "t", "^": ""},
}
_AMERICAN = {"ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": ""}


@lru_cache(maxsize=1)
def _session(folder: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    path = _file(folder, MODEL)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has no common class for what may be wrong with a file
        raise DataError(
            f"{path}: need Kokoro's graph, got {str(error).splitlines()[0]:.200}; {GET_THEM}"
        ) from error


@lru_cache(maxsize=1)
def _styles(folder: Path) -> dict[str, NDArray[np.float32]]:
    path = _file(folder, VOICES)
    try:
        with np.load(path, allow_pickle=False) as archive:
            styles = {name: archive[name].astype(np.float32) for name in sorted(archive.files)}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: need Kokoro's voices, got {error!s:.200}; {GET_THEM}") from error
    for name, style in styles.items():
        if style.shape != STYLES or not np.isfinite(style).all():
            raise DataError(
                f"{path}: need voices of {STYLES} finite numbers, got {name:.40} of {style.shape}"
            )
    return styles


def _file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataError(
            f"{folder}: need Kokoro's files {MODEL} and {VOICES}, found no {pattern}; {GET_THEM}"
        )
    return found[0]


@lru_cache(maxsize=1)
def names_in(folder: Path) -> tuple[str, ...]:
    """Every voice, and every pair with one that speaks English, as "af_heart+bm_lewis".

    Raises DataError for a folder without graph or voices.
    """
    _session(folder)
    single = sorted(_styles(folder))
    english = [name for name in single if name.startswith(ENGLISH)]
    pairs = {tuple(sorted(pair)) for pair in product(english, single) if pair[0] != pair[1]}
    return (*single, *("+".join(pair) for pair in sorted(pairs)))


@lru_cache(maxsize=1)
def digest(folder: Path) -> str:
    """SHA-256 of the graph and the voices: on one machine, what tells how a text is said."""
    both = hashlib.sha256()
    for pattern in (MODEL, VOICES):
        with open(_file(folder, pattern), "rb") as file:
            both.update(hashlib.file_digest(file, "sha256").digest())
    return both.hexdigest()


@lru_cache(maxsize=4096)
def phonemes(text: str, british: bool = False) -> str:
    """A text in the model's phonemes, by espeak-ng; its end mark, one of . ! ? and comma, stays.

    text: words, or phonemes of espeak-ng in [[ ]]. Raises MissingExtraError without espeak-ng,
    ParameterError for a text without a sound.
    """
    voice = "en" if british else "en-us"
    said = " ".join(run_tool(["espeak-ng", "-v", voice, "-q", "--ipa", "--tie=^", text]).split())
    for sound, name in {**_SOUNDS, **({} if british else _AMERICAN)}.items():
        said = said.replace(sound, name)
    said = re.sub("(.)\u0329", r"ᵊ\1", said)  # a syllabic consonant
    known = "".join(letter for letter in said if letter in _NUMBERS)
    if not known.strip(" ˈˌː"):
        raise ParameterError(f"need a text that espeak-ng can say, got {text!r:.80}")
    return known + (text[-1] if text[-1] in ".!?," else "")


def speak(text: str, name: str, speed: float, folder: Path) -> tuple[Samples, int]:
    """Samples float32 (n,) and their rate in Hz; speed: against the voice's usual."""
    parts = name.split("+")
    styles = _styles(folder)
    style = np.mean(np.stack([styles[part] for part in parts]), axis=0)
    said = phonemes(text, parts[0].startswith("b"))[: len(style)]
    inputs = {
        "tokens": np.array([[0, *(_NUMBERS[letter] for letter in said), 0]], np.int64),
        "style": style[len(said) - 1],
        "speed": np.array([np.clip(speed, *SPEED)], np.float32),
    }
    samples: Samples = _session(folder).run(None, inputs)[0]
    return samples.reshape(-1), RATE_HZ
