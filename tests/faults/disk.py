"""Commands that write, and a disk that fails them at a chosen call: see disk.c and driver.py."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from fuzz.text import TRIGGER
from tests.clip_folders import clip_name, write

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OLD = b"what was there before"

State = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """words: {F} is the folder that is written to, {S} one with sound. old: files that are there.

    One job: a command works in the process that the shim is armed in.
    """

    words: str
    old: tuple[str, ...] = ()


CASES = {
    "program": Case("program yes-4 -o {F}/out.bin", ("out.bin",)),
    "export-c": Case("export-c yes-4 -o {F}/out"),
    "export-web": Case("export-web yes-4 -o {F}/out"),
    "export-onnx": Case("export-onnx yes-4 -o {F}/out.onnx", ("out.onnx",)),
    "evaluate": Case(
        "evaluate {S}/clips --jobs 1 -m yes-4 --task yes "
        "--json-file {F}/out.json --csv {F}/out.csv --report {F}/out.html",
        ("out.json", "out.csv", "out.html"),
    ),
    "evaluate-stream": Case(
        "evaluate-stream {S}/talk.wav --jobs 1 -m yes-4 --json-file {F}/out.json", ("out.json",)
    ),
    "power --plot": Case("power yes-4 {S}/talk.wav --plot {F}/out.png", ("out.png",)),
    "triggers label": Case("triggers label {F}/triggers 1 yes"),
    "tune": Case(  # the pack alone: it replaces none, so that a second run would be refused
        "tune yes-4 --jobs 1 --positives {S}/clips --background {S}/background -o {F}/pack"
    ),
    "chip montecarlo": Case(
        "chip montecarlo --jobs 1 -m yes-4 --data {S}/clips --chips 2 --json-file {F}/out.json",
        ("out.json",),
    ),
}


@dataclass
class Disk:
    """A driver that has loaded everything, and the sound that commands hear."""

    process: subprocess.Popen[str]
    sound: Path

    def run(self, case: Case, folder: Path, kind: str = "none", at: int = 0) -> dict[str, Any]:
        """Run a case on a folder: its status, its calls that changed something, its words."""
        argv = [word.format(F=folder, S=self.sound) for word in case.words.split()]
        asked = {"argv": argv, "folder": str(folder), "kind": kind, "at": at}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def failing_disk(folder: Path) -> Iterator[Disk]:
    """The driver, its shim compiled in a folder, and sound there; needs gcc or clang, and Linux."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    assert compiler is not None
    shim = folder / "disk.so"
    words = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", HERE / "disk.c", "-o", shim]
    subprocess.run([*words, "-ldl"], check=True)
    make_sound(folder / "sound")
    environment = os.environ | {
        "LD_PRELOAD": str(shim),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    with subprocess.Popen(
        [sys.executable, HERE / "driver.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as process:
        try:
            yield Disk(process, folder / "sound")
        finally:
            process.kill()


def make_sound(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for word in ("yes", "no", "up", "down", "left", "right"):
        for number in range(2):
            write(folder / "clips" / word / clip_name("validation", number))
    write(folder / "clips" / "_background_noise_" / "hum.wav", 3.0)
    (folder / "background").mkdir()
    noise = rng.normal(0, 0.05, 32_000)
    soundfile.write(folder / "background" / "noise.wav", noise, 16_000)
    soundfile.write(folder / "talk.wav", noise, 16_000)


def prepare(case: Case, folder: Path) -> None:
    """The folder as it is before a case, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in case.old:
        (folder / name).write_bytes(OLD)
    if "triggers" in case.words:
        place = folder / "triggers"
        place.mkdir()
        name = "trigger-20260101T000000000000-yes"
        (place / f"{name}.json").write_text(json.dumps(TRIGGER), "utf-8")
        soundfile.write(place / f"{name}.wav", np.zeros(32_000), 16_000)


def state(folder: Path) -> State:
    """Every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def leftovers(found: State) -> list[str]:
    """Files whose name, or whose folder's, is a temporary one."""
    return [name for name in found if any(part.startswith(".") for part in name.split("/"))]


def unmixed(before: State, after: State, found: State) -> None:
    """Each file is the old or the new one, and a folder that appears whole is there whole."""
    for name, data in found.items():
        if name not in leftovers(found):
            assert data in (before.get(name), after.get(name)), name
    for name in before:
        assert name in found, name
    for folder in ("out/", "pack/"):
        parts = [{n for n in each if n.startswith(folder)} for each in (before, after, found)]
        assert parts[2] in parts[:2], folder


def check(disk: Disk, case: Case, folder: Path, kind: str, at: int, after: State) -> None:
    """What a fault leaves: the old or the new, one sentence, and nothing that stays."""
    prepare(case, folder)
    before = state(folder)
    answer = disk.run(case, folder, kind, at)
    found = state(folder)
    unmixed(before, after, found)
    if kind != "read-only" and answer["status"] == 0:  # it came no more, or takes no room
        assert found == after
    elif kind == "killed":
        assert answer["status"] == -signal.SIGKILL
    else:
        assert answer["status"] == 1, answer["printed"]
        assert "Traceback" not in answer["printed"]
        told = [line for line in answer["printed"].splitlines() if "error" in line.lower()]
        assert len(told) == 1, answer["printed"]
        assert not leftovers(found)
    if kind == "read-only":
        assert found == before
    if {name: found[name] for name in found if name not in leftovers(found)} != after:
        assert disk.run(case, folder)["status"] == 0
        assert state(folder) == after
