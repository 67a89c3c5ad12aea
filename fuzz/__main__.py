"""Run targets, each so many minutes: `python -m fuzz [TARGET ...] --minutes 10`."""

import argparse
import importlib.util
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fuzz import native

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "fuzz" / "kept"
_INPUTS = re.compile(r"^stat::number_of_executed_units: (\d+)", re.MULTILINE)
_EDGES = re.compile(r" cov: (\d+) ")
_LIMITS = ["-timeout=25", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="by default all")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz", help="for corpora")
    return parser.parse_args()


def _commands(folder: Path, wanted: Sequence[str]) -> dict[str, list[str | Path]]:
    """How each target that can run here is run; why others cannot is told."""
    commands: dict[str, list[str | Path]] = {}
    if reason := native.missing():
        print(f"{', '.join(native.TARGETS)}: left out: {reason}")
    else:
        names = [name for name in native.TARGETS if name in wanted or not wanted]
        programs = native.build(folder / "native", names) if names else {}
        commands |= {name: [path] for name, path in programs.items()}
    if importlib.util.find_spec("atheris") is None:
        print("targets in Python: left out: need atheris (pip install 'kws-stream[fuzz]')")
    else:
        from fuzz.python import TARGETS

        commands |= {name: [sys.executable, "-m", "fuzz.one", name] for name in TARGETS}
    if unknown := set(wanted) - set(commands):
        sys.exit(f"need targets that can run here, {', '.join(commands)}; got {', '.join(unknown)}")
    return {name: commands[name] for name in wanted or commands}


def _seeds(name: str) -> list[bytes]:
    if name in native.TARGETS:
        return native.seeds(name)
    from fuzz.python import TARGETS

    return TARGETS[name].seeds()


def _dictionary(name: str, folder: Path) -> list[str]:
    if name in native.TARGETS:
        return []
    from fuzz.python import words

    place = folder / "words.dict"
    escaped = [word.replace("\\", "\\\\") for word in words()]
    place.write_text("".join(f'"{word}"\n' for word in escaped), "ascii")
    return [f"-dict={place}"]


def _processor_s() -> float:
    """Time of a processor that programs have taken which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(name: str, command: list[str | Path], folder: Path, minutes: float) -> bool:
    """Run a target and print a line of what it did; whether it found nothing."""
    corpus, seeds, kept = folder / "corpus" / name, folder / "seeds" / name, KEPT / name
    found = folder / "found"
    for place in (corpus, seeds, found):
        place.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(_seeds(name)):
        (seeds / f"{number:03}").write_bytes(data)
    places = [corpus, seeds, *([kept] if kept.is_dir() else [])]
    options = [
        *_LIMITS,
        *_dictionary(name, folder),
        f"-max_total_time={round(60 * minutes)}",
        f"-artifact_prefix={found}/{name}-",
    ]
    began, before = time.monotonic(), _processor_s()
    done = subprocess.run(
        [*command, *options, *places],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    log = done.stdout.decode("utf-8", "replace")
    (folder / f"{name}.log").write_text(log, "utf-8")
    inputs = int(match[1]) if (match := _INPUTS.search(log)) else 0
    edges = _EDGES.findall(log)
    fine = done.returncode == 0
    told = "nothing found" if fine else f"FOUND something: see {folder / name}.log and {found}"
    spent, busy = (time.monotonic() - began) / 60, (_processor_s() - before) / 60
    print(
        f"{name:16} {spent:7.1f} min, {busy:.1f} of a processor {inputs:11,} inputs "
        f"{edges[-1] if edges else 0:>6} edges  {told}",
        flush=True,
    )
    return fine


def main() -> int:
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    commands = _commands(arguments.folder, arguments.targets)
    results = [
        _run(name, command, arguments.folder, arguments.minutes)
        for name, command in commands.items()
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
