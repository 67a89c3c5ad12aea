"""The C code on this machine: finding a compiler, building a program, running it over a pipe."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import FirmwareError

from .export_c import HOST, library
from .integers import Integers
from .model import FirmwareModel

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def find_compiler() -> str:
    """Path of the C compiler: what CC names, else cc, gcc or clang.

    Raises FirmwareError where there is none.
    """
    wanted = os.environ.get("CC")
    names = [wanted] if wanted else ["cc", "gcc", "clang"]
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    raise FirmwareError(
        f"need a C compiler ({', '.join(names)}), found none; install gcc or clang, or name one "
        "in CC"
    )


def _run(command: Sequence[str | os.PathLike[str]], data: bytes = b"") -> bytes:
    done = subprocess.run([str(word) for word in command], input=data, capture_output=True)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()
        name = Path(command[0]).name
        raise FirmwareError(
            f"{name} ended with status {done.returncode}: {why[-2000:] or 'silent'}"
        )
    return done.stdout


@contextmanager
def program(
    model: FirmwareModel, main: str = "", flags: Iterable[str] = ("-O2",), compiler: str = ""
) -> Iterator[Path]:
    """A program made of the model's library and host/`main`, or its example; gone afterwards.

    Raises FirmwareError without a compiler and where it fails, ParameterError as `library`.
    """
    compiler = compiler or find_compiler()
    files = library(model)
    if main:
        del files["example.c"]
        files[main] = (HOST / main).read_text("ascii")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, "ascii")
        sources = [Path(folder) / name for name in files if name.endswith(".c")]
        binary = Path(folder) / "program.exe"
        _run([compiler, *WARNINGS, *flags, *sources, "-o", binary])
        yield binary


def run_network(
    binary: Path, features: Integers, classes: int, cells: Sequence[int]
) -> tuple[Integers, list[NDArray[np.bool_]]]:
    """host/network_main.c over features (S, T, n): logits (S, T, K) and each block's bits."""
    streams, frames = features.shape[:2]
    sent = np.ascontiguousarray(features, np.int32).tobytes()
    got = np.frombuffer(_run([binary, str(frames)], sent), np.uint8)
    rows = got.reshape(streams, frames, 8 * classes + sum(cells))
    logits = np.ascontiguousarray(rows[..., : 8 * classes]).view(np.int64)
    ends = 8 * classes + np.cumsum([0, *cells])
    bits = [rows[..., a:b].astype(bool) for a, b in pairwise(ends)]
    return logits, bits


def run_front_end(
    command: Sequence[str | Path], pcm: NDArray[np.int16], features: int
) -> NDArray[np.int32]:
    """host/front_end_main.c over streams (S, n): features (S, frames, n_features) in steps."""
    got = _run([*command, str(pcm.shape[1])], np.ascontiguousarray(pcm, np.int16).tobytes())
    return np.frombuffer(got, np.int32).reshape(len(pcm), -1, features)


def run_detector(binary: Path, logits: Integers) -> NDArray[np.float64]:
    """host/detector_main.c over logits (T, K): smoothed scores (T, K)."""
    got = _run([binary], np.ascontiguousarray(logits, np.int64).tobytes())
    return np.frombuffer(got, np.uint32).reshape(logits.shape) / 2.0**24


FIRED = np.dtype(
    [
        ("keyword", np.int32),
        ("score", np.uint32),
        ("index", np.uint32),
        ("filler", np.uint32),
        ("time_ms", np.uint64),
        ("start_ms", np.uint64),
    ]
)
"""What a frame fired: the class, or -1 in `keyword`; the score in units of 2^-24."""


def run_spotter(
    command: Sequence[str | Path], pcm: NDArray[np.int16], classes: int
) -> tuple[NDArray[np.uint32], NDArray[np.void]]:
    """host/spotter_main.c over streams (S, n): scores (S, T, K) in 2^-24, and FIRED (S, T)."""
    sent = np.ascontiguousarray(pcm, np.int16).tobytes()
    row = np.dtype([("scores", np.uint32, classes), ("fired", FIRED)])
    got = np.frombuffer(_run([*command, str(pcm.shape[1])], sent), row).reshape(len(pcm), -1)
    return got["scores"].reshape(*got.shape, classes), got["fired"]


def run_program(binary: Path, pcm: NDArray[np.int16] | bytes, *arguments: str) -> str:
    """What the example or the device prints for little-endian 16-bit PCM."""
    data = pcm if isinstance(pcm, bytes) else pcm.astype("<i2").tobytes()
    return _run([binary, *arguments], data).decode()


def run_verifier(binary: Path, windows: NDArray[np.uint8], keywords: int) -> NDArray[np.int32]:
    """host/verifier_main.c over windows (n, frames, channels): scores (n, keywords) in 2^-16."""
    got = np.frombuffer(_run([binary], np.ascontiguousarray(windows).tobytes()), np.int32)
    return got.reshape(-1, keywords)


CONFIRMED = np.dtype(
    [
        ("keyword", np.int32),
        ("score", np.uint32),
        ("index", np.uint32),
        ("verifier_score", np.uint32),
        ("time_ms", np.uint64),
        ("start_ms", np.uint64),
        ("confirmed_ms", np.uint64),
    ]
)
"""An event of a cascade; scores in units of 2^-24, and the verifier's of 2^-16."""


def run_cascade(
    command: Sequence[str | Path], pcm: NDArray[np.int16], samples_a_call: int = 4096
) -> NDArray[np.void]:
    """host/cascade_main.c over a stream (n,), heard to its end: its events, of CONFIRMED."""
    sent = np.ascontiguousarray(pcm, np.int16).tobytes()
    return np.frombuffer(_run([*command, str(samples_a_call)], sent), CONFIRMED)
