"""The rules of the house: who imports whom, what loads at start-up, what is public."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import kws_stream

PACKAGE = Path(kws_stream.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(
    path
    for folder in (PACKAGE, ROOT / "firmware_sim")
    for path in folder.rglob("*.py")
    if "_models" not in path.parts
)

BASE = {
    "arguments",
    "brief",
    "errors",
    "constants",
    "parameters",
    "names",
    "files",
    "graphs",
    "marked",
    "onnx_writer",
    "old_names",
    "plots",
    "settings",
}
STAGES = {"audio", "features", "layers", "bmru", "detector", "power"}
CORE = BASE | STAGES | {"network", "packs"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "arguments": {"errors", "files"},
    "brief": set(),
    "constants": set(),
    "names": {"errors"},
    "files": set(),
    "graphs": {"errors"},
    "marked": set(),
    "onnx_writer": {"errors"},
    "old_names": {"errors"},
    "plots": {"errors", "files"},
    "settings": {"errors"},
    "parameters": {"errors", "constants", "arguments", "brief"},
    **dict.fromkeys(STAGES, BASE),
    "workers": BASE,
    "network": BASE | {"layers", "bmru"},
    "packs": CORE,
    "events": BASE,
    "engine": BASE | STAGES | {"network", "firmware_sim"},
    "export": CORE | {"engine", "evaluation", "firmware_sim", "pipeline", "verifier"},
    "verifier": BASE | {"audio", "detector", "engine", "features", "firmware_sim", "packs"},
    "pipeline": CORE | {"events", "engine", "verifier"},
    "live": CORE | {"events", "engine", "pipeline", "verifier"},
    "evaluation": CORE | {"pipeline", "workers", "verifier"},
    "spice": CORE | {"pipeline"},
    "speech": BASE | {"audio", "evaluation", "verifier"},
    "training": CORE | {"pipeline", "evaluation", "speech", "workers", "verifier"},
    "search": BASE | {"features", "training", "workers"},
    "studies": CORE | {"engine", "pipeline", "evaluation", "training", "workers", "spice"},
    "integrations": CORE | {"events", "pipeline", "live"},
    "cli": CORE
    | {
        "engine",
        "events",
        "export",
        "pipeline",
        "live",
        "evaluation",
        "speech",
        "training",
        "search",
        "integrations",
        "spice",
        "verifier",
    }
    | {"firmware_sim", "workers", "studies"},
    "__main__": {"cli"},
    "__init__": set(),
    "firmware_sim": {"errors", "parameters", "files", "features", "brief"},
}
ALLOWED_FOR_TYPES = {"power": {"network"}, "__init__": {"network", "pipeline", "detector", "power"}}
NUMPY_ALONE = {"errors", "constants", "parameters", "network", "bmru", "detector", "power"}
HEAVY = {
    *("sounddevice", "soundfile", "soxr", "av", "librosa", "onnxruntime", "scipy", "rich"),
    *("torch", "onnx", "matplotlib", "numba", "sklearn", "dask", "distributed", "pooch", "optuna"),
}


@dataclass(frozen=True)
class Import:
    module: str  # dotted; of `from a import b`: a.b
    for_types: bool
    line: int

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    @property
    def room(self) -> str | None:
        """The room of ours that is imported; None for other packages."""
        if self.top == "firmware_sim":
            return "firmware_sim"
        if self.top != "kws_stream":
            return None
        return self.module.split(".")[1] if "." in self.module else "__init__"


def room_of(path: Path) -> str:
    if PACKAGE not in path.parents:
        return "firmware_sim"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def package_of(path: Path) -> list[str]:
    return list(path.relative_to(ROOT).parts[:-1])


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_in(node: ast.AST, package: list[str], for_types: bool = False) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, for_types, node.lineno)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            yield Import(f"{module}.{alias.name}", for_types, node.lineno)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        if node.args and isinstance(node.args[0], ast.Constant):
            yield Import(str(node.args[0].value), for_types, node.lineno)
    elif is_type_checking(node):
        assert isinstance(node, ast.If)
        for child in node.body:
            yield from imports_in(child, package, True)
        for child in node.orelse:
            yield from imports_in(child, package, for_types)
        return
    for child in ast.iter_child_nodes(node):
        yield from imports_in(child, package, for_types)


def import_faults(source: str, room: str, package: list[str]) -> list[str]:
    """What breaks the import rules in the source of a module of `room`."""
    faults = []
    for found in imports_in(ast.parse(source), package):
        where = f"line {found.line}: {room} imports {found.module}"
        if found.room is not None:
            allowed = ALLOWED[room] | {room}
            if found.for_types:
                allowed = allowed | ALLOWED_FOR_TYPES.get(room, set())
            lazy_public_name = room == "__init__" and found.module == "kws_stream.power"
            version = found.module == "kws_stream.__version__"
            if found.room not in allowed and not version and not lazy_public_name:
                faults.append(where)
        elif room in NUMPY_ALONE and found.top not in {"numpy", *sys.stdlib_module_names}:
            faults.append(f"{where}, but needs NumPy alone")
    return faults


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_walk_sees_the_house() -> None:
    rooms = {room_of(path) for path in FILES}
    assert rooms >= {"errors", "constants", "parameters", "network", "layers", "bmru", "__init__"}
    assert PACKAGE / "bmru" / "cell.py" in FILES


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_module_has_a_room_and_imports_only_what_lies_below(path: Path) -> None:
    room = room_of(path)
    assert room in ALLOWED, f"{room} is no room of the architecture: add it to the rules"
    faults = import_faults(path.read_text("utf-8"), room, package_of(path))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("bmru", "from kws_stream.layers import MatmulLayers"),
        ("bmru", "import kws_stream.layers"),
        ("bmru", "from kws_stream import network"),
        ("bmru", "from .. import network"),
        ("bmru", "def late():\n    from ..network import Network"),
        ("bmru", "import scipy.signal"),
        ("power", "from rich.table import Table"),
        ("power", "from kws_stream.network import Network"),
        ("detector", "import importlib\nimportlib.import_module('kws_stream.pipeline')"),
        ("parameters", "from kws_stream.network import Network"),
        ("errors", "from kws_stream import constants"),
        ("network", "from kws_stream.packs import load"),
        ("network", "from kws_stream.power import estimate"),
        ("packs", "from kws_stream.pipeline import KeywordSpotter"),
        ("pipeline", "from kws_stream.evaluation import clips"),
        ("pipeline", "from kws_stream import KeywordSpotter"),
        ("evaluation", "from kws_stream.training import data"),
        ("training", "from kws_stream.cli import main"),
        ("audio", "from kws_stream.features import build"),
        ("pipeline", "import firmware_sim"),
        ("firmware_sim", "from kws_stream.network import Network"),
    ],
)
def test_the_rules_catch_a_forbidden_import(room: str, source: str) -> None:
    assert import_faults(source, room, ["kws_stream", room])


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("power", "if TYPE_CHECKING:\n    from kws_stream.network import Network"),
        ("network", "from kws_stream import bmru\nfrom kws_stream.layers import MatmulLayers"),
        ("layers", "def late():\n    import onnxruntime"),
        ("bmru", "from . import cell\nimport numpy as np\nfrom ..errors import InputError"),
        ("cli", "import firmware_sim\nfrom kws_stream import __version__, pipeline"),
        ("firmware_sim", "from kws_stream.parameters import NetworkParameters"),
    ],
)
def test_the_rules_allow_what_the_architecture_allows(room: str, source: str) -> None:
    assert import_faults(source, room, ["kws_stream", room]) == []


COMPUTING = HEAVY - {"rich"} | {"numpy", "kws_stream.plots"}
# a picture that others drew is written, as a line that others made is printed
PICTURES_OF_OTHERS = {"kws_stream.plots.check_matplotlib", "kws_stream.plots.save"}
# lay out arrays as characters of a terminal
LAYOUTS = {"kws_stream/cli/screen_cells.py", "kws_stream/cli/screen_heat.py"}
REDUCTIONS = {"mean", "std", "sum", "argmax", "argsort", "cumsum", "reshape", "astype"}


def computing(source: str) -> list[str]:
    """What a command computes by itself: packages for it, pictures, and arithmetic of arrays."""
    tree = ast.parse(source)
    found = [
        each.module
        for each in imports_in(tree, ["kws_stream", "cli"])
        if not each.for_types
        and each.module not in PICTURES_OF_OTHERS
        and {each.top, ".".join(each.module.split(".")[:2])} & COMPUTING
    ]
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return found + [
        ast.unparse(called)
        for called in calls
        if isinstance(called, ast.Attribute) and called.attr in REDUCTIONS
    ]


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "cli"], ids=name)
def test_a_command_parses_calls_and_prints(path: Path) -> None:
    allowed = name(path) in LAYOUTS
    assert allowed or computing(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "def late():\n    import numpy as np",
        "from kws_stream.plots import figure_file",
        "from kws_stream import plots",
        "import torch.nn",
        "print(errors[same].mean(0))",
    ],
)
def test_the_rule_catches_a_command_that_computes(source: str) -> None:
    assert computing(source)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_among(sources: dict[str, tuple[str, list[str]]]) -> dict[str, set[str]]:
    """Modules that each module imports, late imports too, of {name: (source, package)}."""
    among = {}
    for module, (source, package) in sources.items():
        found = [each for each in imports_in(ast.parse(source), package) if not each.for_types]
        named = [(each.module, each.module.rpartition(".")[0]) for each in found]
        wanted = {name if name in sources else above for name, above in named}
        among[module] = (wanted & sources.keys()) - {module}
    return among


def test_no_module_imports_itself_by_way_of_others() -> None:
    sources = {module_of(path): (path.read_text("utf-8"), package_of(path)) for path in FILES}
    list(TopologicalSorter(imports_among(sources)).static_order())


def test_the_rule_catches_a_circle_of_late_imports() -> None:
    one = "def late():\n    from kws_stream.power.two import second"
    sources = {
        "kws_stream.power.one": (one, ["kws_stream", "power"]),
        "kws_stream.power.two": ("from .one import first", ["kws_stream", "power"]),
    }
    with pytest.raises(CycleError):
        list(TopologicalSorter(imports_among(sources)).static_order())


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has after `code`."""
    program = f"import sys\n{code}\nprint('\\nmodules:', *sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.rpartition("modules:")[2].split())


HELP = """
from kws_stream.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
"""
STARTS = {
    "import kws_stream": PACKAGE / "__init__.py",
    "import kws_stream.network": PACKAGE / "network.py",
    "import kws_stream\nkws_stream.Network": PACKAGE / "network.py",
    "import kws_stream\nkws_stream.WakeEvent": PACKAGE / "detector.py",
    "import kws_stream\nkws_stream.power": PACKAGE / "power" / "__init__.py",
    "import kws_stream.pipeline": PACKAGE / "pipeline.py",
    "import kws_stream.cli": PACKAGE / "cli" / "__init__.py",
    HELP: PACKAGE / "cli" / "__init__.py",
}


@pytest.mark.parametrize("code", [code for code, path in STARTS.items() if path.exists()])
def test_heavy_packages_do_not_load_at_start_up(code: str) -> None:
    loaded = loaded_after(code)
    assert "kws_stream" in loaded
    assert not loaded & HEAVY


def test_importing_the_package_loads_no_room() -> None:
    assert {m for m in loaded_after("import kws_stream") if m.startswith("kws_stream")} == {
        "kws_stream"
    }


def test_the_public_names_are_those_promised_and_each_resolves() -> None:
    assert sorted(kws_stream.__all__) == [
        "KeywordSpotter",
        "Network",
        "WakeEvent",
        "__version__",
        "power",
    ]
    assert dir(kws_stream) == sorted(kws_stream.__all__)
    for public in kws_stream.__all__:
        assert getattr(kws_stream, public) is not None
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = kws_stream.nothing_like_this


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_is_longer_than_500_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 500


def test_the_constants_of_the_power_formula_are_used_in_it_and_in_its_twin_alone() -> None:
    constants = ("BIAS_GAIN", "CANDIDATE_GAIN", "STATE_GAIN", "POSITIVE_GAIN", "POST_GAIN")
    users = {name(path) for path in FILES if any(c in path.read_text("utf-8") for c in constants)}
    assert users == {"kws_stream/power/formulas.py", "kws_stream/training/model.py"}


PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def pickle_faults(source: str) -> list[str]:
    tree = ast.parse(source)
    faults = [found.module for found in imports_in(tree, []) if found.top in PICKLERS]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        options = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        if options.get("allow_pickle"):
            faults.append(ast.unparse(node))
        if ast.unparse(node.func) == "torch.load" and options.get("weights_only") is not True:
            faults.append(ast.unparse(node))
    return faults


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_reads_or_writes_pickles(path: Path) -> None:
    assert not pickle_faults(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
    ],
)
def test_the_pickle_rule_catches_a_pickle(source: str) -> None:
    assert pickle_faults(source)


def test_no_two_public_classes_have_one_name() -> None:
    classes = [
        node.name
        for path in FILES
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert len(classes) > 100
    assert sorted(classes) == sorted(set(classes))
