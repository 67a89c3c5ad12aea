"""The C library on a Cortex-M: its size, its stack, and instructions a frame in QEMU.

Needs arm-none-eabi-gcc with newlib, and qemu-system-arm (on Debian gcc-arm-none-eabi,
libnewlib-arm-none-eabi, qemu-system-arm). QEMU counts instructions, not cycles: a real core takes
more cycles than instructions wherever memory or a multiplication makes it wait.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.export_c import library
from firmware_sim.model import FirmwareModel
from kws_stream.brief import brief
from kws_stream.errors import FirmwareError

HERE = Path(__file__).parent
BOARDS = {"cortex-m3": "mps2-an385", "cortex-m4": "mps2-an386"}
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm")
STAGES = ("front_end", "network", "detector")
HEAR_STACK = 52  # of kws_hear, which is in assembly: thirteen registers
# of kws_process; each calls the next
CHAINS = (
    ("kws_process", "listen", "kws_front_end_process", "kws_filter", "block_mean"),
    ("kws_process", "listen", "kws_front_end_process", "kws_filter", "kws_hear"),
    ("kws_process", "listen", "kws_front_end_process", "condition", "root", "small_root"),
    ("kws_process", "listen", "judge", "kws_network_step", "affine"),
    ("kws_process", "listen", "judge", "kws_detector_step", "score", "power"),
    (
        *("kws_process", "listen", "judge", "kws_verifier_step", "look"),
        *("kws_verifier_scores", "convolve"),
    ),
)


@dataclass(frozen=True)
class Footprint:
    """flash: code and constants of the library. ram: kws_spotter. stack: of kws_process. Bytes.

    instructions: a frame, by stage; and one look of the verifier, where the model has one.
    """

    flash: int
    ram: int
    stack: int
    instructions: dict[str, int]

    __repr__ = brief


def missing_tools() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def _run(command: Sequence[str | Path], folder: Path) -> str:
    try:
        done = subprocess.run(
            [str(word) for word in command], cwd=folder, capture_output=True, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FirmwareError(f"{command[0]}: need it to run, got {error}; install it") from error
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()
        raise FirmwareError(f"{command[0]} ended with status {done.returncode}: {why[-2000:]}")
    return done.stdout.decode()


def _stack(folder: Path) -> int:
    """The deepest chain of calls; a function that was inlined is in its caller's number."""
    used = {}
    for path in folder.glob("*.su"):
        for place, size, kind in (line.split("\t") for line in path.read_text().splitlines()):
            if kind != "static":
                raise FirmwareError(f"{place}: need a stack of fixed size, got one {kind}")
            used[place.rpartition(":")[2].split(".")[0]] = int(size)  # f.constprop is an f
    if "kws_hear" in used:
        used["kws_hear"] = HEAR_STACK
    return max(sum(used.get(name, 0) for name in chain) for chain in CHAINS)


def measure(model: FirmwareModel, cpu: str = "cortex-m4", level: str = "-O2") -> Footprint:
    """Build the library for `cpu`, one of BOARDS, and run frames of noise on its board in QEMU.

    Raises FirmwareError where a tool is missing or fails.
    """
    if missing_tools():
        raise FirmwareError(
            f"need {', '.join(missing_tools())}, found none; on Debian install gcc-arm-none-eabi, "
            "libnewlib-arm-none-eabi and qemu-system-arm"
        )
    files = library(model)
    del files["example.c"]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", level, f"-mcpu={cpu}"]
    flags += ["-mthumb", "-mfloat-abi=soft", "-ffunction-sections", "-fstack-usage"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text, "ascii")
        core = ["network", "front_end", "detector", "spotter", "model"]
        core += ["verifier"] if model.verifier is not None else []
        sources = [f"kws_{part}.c" for part in core]
        _run([TOOLS[0], *flags, "-c", *sources], folder)
        others = sorted({file for file in files if file.endswith(".c")} - set(sources))
        _run([TOOLS[0], *flags, "-c", *others], folder)
        stack = _stack(folder)
        objects = [f"kws_{part}.o" for part in core]
        sizes = _run([TOOLS[1], *objects], folder).splitlines()[1:]
        flash = sum(int(line.split()[0]) + int(line.split()[1]) for line in sizes)
        ram_source = '#include "kws.h"\nkws_spotter spotter;\n'
        (folder / "ram.c").write_text(ram_source, "ascii")
        _run([TOOLS[0], *flags, "-c", "ram.c"], folder)
        ram = int(_run([TOOLS[1], "ram.o"], folder).splitlines()[1].split()[2])
        link: list[str | Path] = [
            "-nostartfiles",
            "--specs=nosys.specs",
            "-T",
            HERE / "mps2.ld",
            "-I.",
        ]
        _run([TOOLS[0], *flags, *link, HERE / "mps2_main.c", *objects, "-o", "board.elf"], folder)
        board = ["-M", BOARDS[cpu], "-icount", "shift=0", "-nographic", "-semihosting"]
        said = _run([TOOLS[2], *board, "-kernel", "board.elf"], folder)
    counts = {key: int(value) for key, value in re.findall(r"(\w+) (\d+)", said)}
    stages = [*STAGES, *(["verifier"] if model.verifier is not None else [])]
    return Footprint(flash, ram, stack, {stage: counts[stage] for stage in stages})
