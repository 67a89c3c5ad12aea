"""Kokoro, a neural synthesiser whose voices are nearer to people's than those of the other tools.

Model and voices, which kokoro-onnx publishes as `kokoro-v1.0.int8.onnx` and `voices-v1.0.bin`
(Apache-2.0), lie in one folder. A voice is a table of style vectors, and the mean of two is a voice
too: so a few dozen make more than a thousand. On one thread the same text gives the same samples.
"""

from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import DataError, MissingExtraError

Samples = NDArray[np.float32]

MODEL, VOICES = "kokoro*.onnx", "voices*.bin"
ENGLISH = ("a", "b")  # first letters of the names of American and British voices
SPEED = (0.5, 2.0)  # what the synthesiser takes


@lru_cache(maxsize=1)
def _engine(folder: Path) -> Any:
    try:
        import onnxruntime
        from kokoro_onnx import Kokoro
    except ImportError as error:
        raise MissingExtraError(
            "Kokoro's voices need the package kokoro-onnx, which is not installed; "
            "pip install 'kws-stream[kokoro]'"
        ) from error
    files = []
    for pattern in (MODEL, VOICES):
        found = sorted(folder.glob(pattern))
        if not found:
            raise DataError(
                f"{folder}: need the files {MODEL} and {VOICES} of kokoro-onnx's releases, "
                f"found no {pattern}"
            )
        files.append(str(found[0]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(files[0], options, providers=["CPUExecutionProvider"])
    return Kokoro.from_session(session, files[1])


@lru_cache(maxsize=1)
def names_in(folder: Path) -> tuple[str, ...]:
    """Every voice, and every pair with one that speaks English, as "af_heart+bm_lewis".

    Raises DataError for a folder without model or voices, MissingExtraError without kokoro-onnx.
    """
    single = sorted(_engine(folder).voices)
    english = [name for name in single if name.startswith(ENGLISH)]
    pairs = {tuple(sorted(pair)) for pair in product(english, single) if pair[0] != pair[1]}
    return (*single, *("+".join(pair) for pair in sorted(pairs)))


def speak(text: str, name: str, speed: float, folder: Path) -> tuple[Samples, int]:
    """Samples float32 (n,) and their rate in Hz; speed: against the voice's usual."""
    engine = _engine(folder)
    parts = name.split("+")
    style = np.mean([engine.voices[part] for part in parts], axis=0, dtype=np.float32)
    language = "en-gb" if parts[0].startswith("b") else "en-us"
    samples, rate_hz = engine.create(
        text, voice=style, speed=float(np.clip(speed, *SPEED)), lang=language
    )
    return np.asarray(samples, np.float32), int(rate_hz)
