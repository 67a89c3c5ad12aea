"""Mutation testing: one place of the code is changed, and its tests have to fail.

    python scripts/mutate.py --places 40 --seed 0 [AREA ...]

Cosmic Ray (https://github.com/sixty-north/cosmic-ray) makes the mutants: other numbers, operators,
comparisons and truth values, negated conditions, loops that never run, decorators taken away. Of
each area so many places are drawn, and at each one mutant. A place is a node of the syntax tree.

Its own runner starts Python for every mutant, which costs more than the tests do: here a mutant
runs in a fork of a process that has imported everything but the product. It runs on the test files
of its module, up to the first failure, and its processor time is limited. docs/mutation.md has the
results.
"""

import argparse
import contextlib
import difflib
import gc
import importlib
import importlib.machinery
import importlib.util
import io
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).parents[1]

# What tests import, besides the product: once, before anything is forked.
COMMON = (
    "click.testing",
    "hypothesis",
    "numpy",
    "onnx",
    "onnxruntime",
    "scipy.signal",
    "soundfile",
)

# Areas, modules, and the test files that are theirs, the quickest first.
POWER = ["tests/test_power.py", "tests/test_power_report.py"]
CHIP = ["tests/test_chip.py", "tests/test_fabricate.py"]
FEATURES = ["tests/test_golden.py", "tests/test_features.py", "-k", "not librosa and not subnormal"]
FIRMWARE = ["tests/test_bitstream.py", "-k", "not 35 and not large"]
DETAIL = ["tests/test_power_detail.py", "-k", "not figure"]
INTEGERS = ["tests/test_firmware.py", "-k", "integers or fit_integers"]
IN_C = ["tests/test_firmware.py", "-k", "other_shapes or promised or names_that_c or every_setting"]
AREAS: dict[str, dict[str, list[str]]] = {
    "bmru": {
        "kws_stream/bmru/cell.py": ["tests/test_cell.py"],
        "kws_stream/bmru/elements.py": ["tests/test_elements.py"],
        "kws_stream/bmru/sums.py": CHIP,
        "kws_stream/bmru/trace.py": [*CHIP, "tests/test_network.py"],
        "kws_stream/bmru/chip.py": CHIP,
        "kws_stream/bmru/chip_settings.py": CHIP,
        "kws_stream/bmru/fabricate.py": ["tests/test_fabricate.py", "tests/test_chip.py"],
    },
    "network": {"kws_stream/network.py": ["tests/test_network.py"]},
    "detector": {"kws_stream/detector.py": ["tests/test_detector.py", "tests/test_golden.py"]},
    "power": {
        "kws_stream/power/activity.py": POWER,
        "kws_stream/power/averages.py": DETAIL,
        "kws_stream/power/by_activity.py": DETAIL,
        "kws_stream/power/detail.py": DETAIL,
        "kws_stream/power/formulas.py": POWER,
        "kws_stream/power/literature.py": POWER,
        "kws_stream/power/mcu.py": DETAIL,
        "kws_stream/power/report.py": [*POWER, *DETAIL],
        "kws_stream/power/sweep.py": ["tests/test_power_sweep.py"],
    },
    "features": {
        "kws_stream/features/conditioning.py": [
            "tests/test_features.py",
            "-k",
            "mel or conditioning",
        ],
        "kws_stream/features/filterbank.py": FEATURES,
        "kws_stream/features/fixed_point.py": FEATURES,
        "kws_stream/features/front_end.py": FEATURES,
        "kws_stream/features/integers.py": FEATURES,
        "kws_stream/features/mel.py": ["tests/test_features.py", "-k", "mel"],
    },
    "firmware_sim": {
        "firmware_sim/bitstream.py": FIRMWARE,
        "firmware_sim/chip.py": FIRMWARE,
        "firmware_sim/registers.py": FIRMWARE,
        "firmware_sim/detector.py": IN_C,
        "firmware_sim/export_c.py": IN_C,
        "firmware_sim/integers.py": INTEGERS,
        "firmware_sim/scalar.py": INTEGERS,
        "firmware_sim/toolchain.py": IN_C,
    },
}


def places(file: str) -> list[list[tuple[str, int]]]:
    """The mutants of each place of a file, as operator and number of the occurrence.

    `|` is left alone: it joins types or dicts here, where anything else cannot be imported.
    """
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast((ROOT / file).read_text("utf-8"))))
    found: dict[tuple[Any, ...], list[tuple[str, int]]] = {}
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or "_BitOr_" in name:
            continue
        spans = (span for node in nodes for span in operator().mutation_positions(node))
        for occurrence, span in enumerate(spans):
            found.setdefault(span, []).append((name, occurrence))
    return [choices for _, choices in sorted(found.items())]


def mutated(file: str, operator: str, occurrence: int) -> str:
    """The source of a mutant."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = (ROOT / file).read_text("utf-8")
    return str(mutate_code(source, get_operator(operator)(), occurrence))


class _CheapFirst:
    """A plugin of pytest: single examples before those that Hypothesis draws by the hundred."""

    @staticmethod
    def pytest_collection_modifyitems(items: list[Any]) -> None:
        items.sort(key=lambda item: hasattr(item.obj, "hypothesis"))


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from another source than its file's."""

    source = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


class _Finder:
    def __init__(self, file: str, source: str) -> None:
        self.name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._path, self._source = str(ROOT / file), source

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        if name != self.name:
            return None
        loader = _Loader(name, self._path)
        loader.source = self._source
        return importlib.util.spec_from_file_location(name, self._path, loader=loader)


def run_tests(
    tests: Sequence[str], cpu_s: float, file: str = "", source: str = ""
) -> tuple[str, float]:
    """How the tests end on a mutant, or on the code as it is: "passed", "failed" or "too slow",
    and the processor time in s."""
    import pytest

    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        resource.setrlimit(resource.RLIMIT_CPU, (round(cpu_s), round(cpu_s) + 1))
        resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
        if file:
            sys.meta_path.insert(0, _Finder(file, source))
        code = 1
        try:
            arguments = ["-x", "-q", "-p", "no:cacheprovider", *tests]
            code = pytest.main(arguments, plugins=[_CheapFirst()])
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        ended = "too slow" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "failed"
    else:
        ended = "failed" if os.WEXITSTATUS(status) else "passed"
    return ended, used.ru_utime + used.ru_stime


def changed_line(file: str, source: str) -> str:
    """Place, line before and line after of a mutant."""
    before = (ROOT / file).read_text("utf-8").splitlines()
    rows = difflib.unified_diff(before, source.splitlines(), n=0, lineterm="")
    rows = [row for row in rows if not row.startswith(("---", "+++"))]
    number = rows[0].split()[1].lstrip("-").split(",")[0]
    return f"{file}:{number}: " + " -> ".join(row[1:].strip() for row in rows[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)}")
    parser.add_argument("--places", type=int, default=40, help="drawn of each area; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=60.0, help="s of processor time a mutant")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "mutation.jsonl")
    given = parser.parse_args()
    if unknown := set(given.areas) - set(AREAS):
        parser.error(f"need areas of {', '.join(AREAS)}, got {', '.join(sorted(unknown))}")
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    for name in COMMON:
        importlib.import_module(name)
    import hypothesis
    import pytest

    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with contextlib.redirect_stdout(io.StringIO()):  # pytest imports most of itself when it runs
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "tests/reference"])
    # a smaller example of a failure would take longer to find than the failure
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", phases=phases, database=None)
    hypothesis.settings.load_profile("mutants")
    gc.freeze()  # forks leave these pages alone

    given.output.parent.mkdir(parents=True, exist_ok=True)
    proved: dict[tuple[str, ...], bool] = {}  # whether the tests have passed, if only on a mutant
    with given.output.open("w", encoding="utf-8") as lines:
        for area in given.areas or AREAS:
            draw = random.Random(f"{area} {given.seed}")
            every = [
                (file, tests, choices)
                for file, tests in AREAS[area].items()
                for choices in places(file)
            ]
            draw.shuffle(every)  # fewer places are the first of more
            chosen = every[: given.places or None]
            killed, began = 0, time.monotonic()
            for file, tests, choices in chosen:
                operator, occurrence = draw.choice(choices)
                source = mutated(file, operator, occurrence)
                ended, used = run_tests(tests, given.limit, file, source)
                proved[tuple(tests)] = proved.get(tuple(tests), False) or ended == "passed"
                killed += ended != "passed"
                change = changed_line(file, source)
                row = {"area": area, "ended": ended, "cpu_s": round(used, 2), "operator": operator}
                print(json.dumps(row | {"change": change}), file=lines, flush=True)
                if ended == "passed":
                    print(f"survived: {change}", flush=True)
            share = f"{killed} of {len(chosen)} killed, {killed / len(chosen):.1%}"
            seconds = f"{time.monotonic() - began:.0f} s"
            print(f"{area}: {share}; {len(every)} places; {seconds}", flush=True)
    for tests, passed in proved.items():
        if not passed and run_tests(tests, given.limit)[0] != "passed":
            sys.exit(f"{' '.join(tests)}: need tests that pass on the code as it is, they fail")


if __name__ == "__main__":
    main()
