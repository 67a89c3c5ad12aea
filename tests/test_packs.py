"""Model packs: what is saved loads, and anything broken or unsafe is one clear PackError."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import packs
from kws_stream.errors import PackError
from kws_stream.network import ONNX_MIN_FRAMES, Network
from kws_stream.packs import loading
from kws_stream.training.export import stage_graphs
from tests.pack_factory import (
    CLASSES,
    KEYWORDS,
    build_pack,
    edit_manifest,
    manifest_fields,
    random_network,
    replace_file,
    small_pack,
)

FILES = ("manifest.json", "network.npz", "stage0.onnx", "stage1.onnx", "stage2.onnx")


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_pack(tmp_path_factory.mktemp("packs") / "tiny")


@pytest.fixture
def pack(intact: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(intact, tmp_path / "tiny"))


def arrays_of(network: Network) -> list[Any]:
    p = network.parameters
    layers = [p.pre, p.classifier, *(b.candidate for b in p.blocks), *(b.post for b in p.blocks)]
    cells = [(b.beta1, b.delta, b.alpha, b.initial_state) for b in p.blocks]
    arrays = [a for layer in layers for a in (layer.weight, layer.bias)]
    arrays += [a for fields in cells for a in fields]
    return [(a.shape, a.dtype.str, a.tobytes()) for a in arrays]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def npz(arrays: dict[str, Any], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array))
            archive.writestr(f"{name}.npy", member.getvalue())
    return buffer.getvalue()


def loaded_arrays(pack: Path) -> dict[str, Any]:
    with np.load(pack / "network.npz", allow_pickle=False) as archive:
        return dict(archive)


def refused(pack: Path) -> str:
    """The sentence with which `load` and `verify` refuse a pack."""
    with pytest.raises(PackError) as loading_error:
        packs.load(pack)
    with pytest.raises(PackError) as verifying_error:
        packs.verify(pack)
    message = str(loading_error.value)
    assert message == str(verifying_error.value)
    assert message.startswith(f"pack {pack}: ")
    assert "\n" not in message
    return message


# What is saved loads.


def test_a_saved_pack_loads_with_every_bit_and_setting(tmp_path: Path) -> None:
    network = random_network(5)
    fields = manifest_fields(features={"channels": 5}, recipe={"steps": 3})
    saved = packs.save(tmp_path / "tiny", fields, network.parameters)
    pack = packs.load(saved)
    assert arrays_of(pack.network) == arrays_of(network)
    assert pack.network.parameters.input_grid == network.parameters.input_grid
    assert (pack.path, pack.name, pack.version) == (saved, "tiny", "1.0.0")
    assert (pack.classes, pack.keywords) == (CLASSES, KEYWORDS)
    for name in ("features", "detector", "clip"):
        assert getattr(pack, name) == fields[name]
    assert pack.manifest == fields | {
        "format": 1,
        "grid": {"step": 2**-6, "low": -1.0, "high": 1.0},
        "network": "network.npz",
        "onnx": [],
        "files": pack.manifest["files"],
    }
    assert list(pack.manifest["files"]) == ["network.npz"]


def test_arrays_of_a_pack_are_those_that_numpy_reads(intact: Path) -> None:
    arrays = loaded_arrays(intact)
    block = packs.load(intact).network.parameters.blocks[1]
    assert arrays["block1.candidate.weight"].tobytes() == block.candidate.weight.tobytes()
    assert arrays["block1.initial_state"].tobytes() == block.initial_state.tobytes()
    assert len(arrays) == 4 + 2 * 8


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays_written_by_numpy_load_in_either_memory_order(pack: Path, compression: int) -> None:
    wanted = arrays_of(packs.load(pack).network)
    arrays = {name: np.asfortranarray(array) for name, array in loaded_arrays(pack).items()}
    replace_file(pack, "network.npz", npz(arrays, compression))
    assert arrays_of(packs.load(pack).network) == wanted


def test_saving_twice_gives_the_same_bytes(intact: Path, tmp_path: Path) -> None:
    assert contents(small_pack(tmp_path / "again")) == contents(intact)
    assert sorted(contents(intact)) == sorted(FILES)
    with zipfile.ZipFile(intact / "network.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_graphs_of_a_pack_run_its_longer_blocks(intact: Path) -> None:
    pack = packs.load(intact)
    steps = np.random.default_rng(0).integers(-64, 65, (ONNX_MIN_FRAMES, 5))
    bare = Network(pack.network.parameters)
    assert pack.network.run(steps / 64).logits.tobytes() == bare.run(steps / 64).logits.tobytes()
    assert pack.network._onnx is not None


def test_loading_a_pack_does_not_load_onnx_runtime(intact: Path) -> None:
    program = (
        "import sys\nfrom kws_stream import packs\n"
        "stream = packs.load(sys.argv[1]).network.stream()\n"
        "stream.process([[0.0] * 5])\n"
        "assert 'onnxruntime' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(intact)], check=True)


def test_a_pack_loads_through_a_link_and_a_relative_path(
    intact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(intact)
    monkeypatch.chdir(tmp_path)
    for path in ("link", "./link", Path("link"), "link/"):
        assert packs.load(path).path == intact.resolve()


def test_the_factory_builds_packs_that_the_spotter_takes(tmp_path: Path) -> None:
    from kws_stream.pipeline import KeywordSpotter

    spotter = KeywordSpotter(build_pack(tmp_path / "tiny", graphs=False))
    spotter.process(np.zeros(1600, np.int16))
    assert spotter.frames == 10


# Names.


@pytest.fixture
def shipped(intact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of shipped packs: alpha and beta, and something that is none."""
    models = tmp_path / "models"
    for name in ("beta", "alpha"):
        shutil.copytree(intact, models / name)
    (models / "notes").mkdir()
    monkeypatch.setattr(loading, "models_dir", lambda: models)
    monkeypatch.chdir(tmp_path)
    return models


def test_shipped_packs_are_listed_and_load_by_name(shipped: Path) -> None:
    assert packs.list_packs() == ["alpha", "beta"]
    assert packs.load("beta").path == shipped / "beta"
    assert packs.verify("alpha")


def test_a_directory_does_not_stand_in_for_a_shipped_name(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pack(tmp_path / "here" / "alpha", graphs=False)
    monkeypatch.chdir(tmp_path / "here")
    assert packs.load("alpha").path == shipped / "alpha"
    for path in ("./alpha", Path("alpha")):
        assert packs.load(path).path == (tmp_path / "here" / "alpha").resolve()


@pytest.mark.parametrize("name", ["gamma", "notes", "", "a\0b", "x" * 5000, "../alpha", "no/pack"])
@pytest.mark.usefixtures("shipped")
def test_an_unknown_name_is_refused_with_the_shipped_names(name: str) -> None:
    for call in (packs.load, packs.verify):
        with pytest.raises(PackError, match=r"name of a shipped model \(alpha, beta\)"):
            call(name)


def test_packs_ship_in_the_wheel_or_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "kws_stream" / "packs" / "loading.py"
    monkeypatch.setattr(loading, "__file__", str(module))
    (tmp_path / "models").mkdir()
    assert packs.models_dir() == tmp_path / "kws_stream" / "_models"  # the models are another's
    assert packs.list_packs() == []
    (tmp_path / "pyproject.toml").touch()
    assert packs.models_dir() == tmp_path / "models"
    (tmp_path / "kws_stream" / "_models").mkdir(parents=True)
    assert packs.models_dir() == tmp_path / "kws_stream" / "_models"


# Files.


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(pack: Path, name: str) -> None:
    (pack / name).unlink()
    assert f"{name} is missing" in refused(pack)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_changed_file_is_named(pack: Path, name: str) -> None:
    with (pack / name).open("ab") as file:
        file.write(b" ")
    assert f"{name} has another SHA-256" in refused(pack)


@pytest.mark.parametrize(
    "name",
    [
        "../network.npz",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "..",
        ".",
        "",
        ".hidden",
        "C:x",
        "x\n",
        "x" * 101,
    ],
)
def test_a_name_that_is_not_a_plain_file_name_is_refused(pack: Path, name: str) -> None:
    shutil.copy(pack / "network.npz", pack.parent)

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][name] = manifest["files"].pop("network.npz")
        manifest["network"] = name

    edit_manifest(pack, change)
    assert "need a plain file name" in refused(pack)


@pytest.mark.parametrize("name", FILES)
def test_a_link_out_of_the_pack_is_refused(pack: Path, name: str) -> None:
    (pack / name).rename(pack.parent / name)
    (pack / name).symlink_to(pack.parent / name)
    assert "leads out of the pack" in refused(pack)


def test_a_loop_of_links_is_refused(pack: Path) -> None:
    (pack / "network.npz").unlink()
    (pack / "network.npz").symlink_to("network.npz")
    assert "network.npz" in refused(pack)


@pytest.mark.parametrize("name", FILES[:2])
def test_a_folder_in_place_of_a_file_is_refused(pack: Path, name: str) -> None:
    (pack / name).unlink()
    (pack / name).mkdir()
    assert name in refused(pack)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
@pytest.mark.parametrize("name", FILES[:2])
def test_a_named_pipe_does_not_hang_the_reader(pack: Path, name: str) -> None:
    (pack / name).unlink()
    os.mkfifo(pack / name)
    assert f"{name} is not a regular file" in refused(pack)


@pytest.mark.parametrize(("name", "limit"), [("manifest.json", 2**20), ("network.npz", 2**26)])
def test_a_file_over_its_limit_is_refused(pack: Path, name: str, limit: int) -> None:
    os.truncate(pack / name, limit + 1)  # sparse: takes no room
    assert f"{name} is too large" in refused(pack)


def test_a_file_is_read_once_and_what_was_hashed_is_parsed(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = arrays_of(packs.load(pack).network)
    other = random_network(5, seed=1).parameters
    evil = packs.save(pack.parent / "evil", manifest_fields(), other) / "network.npz"
    read = loading._read_file
    reads = []

    def read_and_swap(directory: Path, name: str, limit: int) -> bytes:
        data = read(directory, name, limit)
        reads.append(name)
        if name == "network.npz":
            shutil.copy(evil, pack / name)
        return data

    monkeypatch.setattr(loading, "_read_file", read_and_swap)
    assert arrays_of(packs.load(pack).network) == wanted
    assert sorted(reads) == sorted(FILES)


def test_files_that_are_not_listed_are_not_read(pack: Path) -> None:
    (pack / "notes.txt").write_text("mine")
    packs.load(pack)


# The manifest.


def test_an_unknown_format_is_refused_before_anything_else(pack: Path) -> None:
    for version in (2, 0, "1", 1.0, True, None):
        (pack / "manifest.json").write_text(json.dumps({"format": version}))
        assert f"need format 1, got {version!r}" in refused(pack)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "\ufeff{}"])
def test_a_manifest_that_is_no_json_object_is_refused(pack: Path, text: str) -> None:
    (pack / "manifest.json").write_text(text, "utf-8")
    assert "manifest.json" in refused(pack)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"NaN", "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"1e999", "1e999"),
        (b"9" * 5000, "digits|64 bits"),
        (b"9223372036854775808", "64 bits"),
        (b"[" * 500_000, "nested|delimiter|Expecting"),
        (b"[" * 17 + b"]" * 17, "nested deeper than 16"),
        (b'{"a": 1, "a": 2}', "a name twice"),
        (b'"\\u001b[2J"', "control characters"),
        (b'{"\\ud800": 1}', "control characters"),
        (b'"\xff"', "utf-8"),
    ],
)
def test_json_with_a_trap_in_it_is_refused(pack: Path, value: bytes, why: str) -> None:
    manifest = (pack / "manifest.json").read_bytes()
    edited = manifest.replace(b'"recipe": {', b'"recipe": {"x": ' + value + b", ", 1)
    assert edited != manifest
    (pack / "manifest.json").write_bytes(edited)
    message = refused(pack)
    assert any(part in message for part in why.split("|")), message


FIELDS = [
    *("format", "name", "version", "description", "classes", "keywords", "features", "grid"),
    *("detector", "clip", "network", "onnx", "files", "data", "recipe", "metrics", "licence"),
]


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_needed_and_has_its_type(pack: Path, field: str) -> None:
    manifest = json.loads((pack / "manifest.json").read_text("utf-8"))
    assert sorted(manifest) == sorted(FIELDS)
    edit_manifest(pack, lambda m: m.pop(field))
    assert field in refused(pack)
    for wrong in (None, True, 1.5, "", [], {}):
        if type(wrong) is type(manifest[field]):
            continue
        edit_manifest(pack, lambda m, wrong=wrong: m.update({field: wrong}))
        assert field in refused(pack)


GRID = {"step": 2**-6, "low": -1.0, "high": 1.0}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": ""}, "short line as 'name'"),
        ({"name": "two\nlines"}, "short line as 'name'"),
        ({"version": "1" * 101}, "short line as 'version'"),
        ({"classes": ["yes", "no", 3]}, "short texts as 'classes'"),
        ({"classes": ["yes", "no", ["other"]]}, "short texts as 'classes'"),
        ({"classes": ["yes", "no", ""]}, "short texts as 'classes'"),
        ({"classes": ["yes", "no", "no"]}, "different names as 'classes'"),
        ({"keywords": ["yes", "yes"]}, "different names as 'keywords'"),
        ({"keywords": ["maybe"]}, "keywords that are classes, got ['maybe']"),
        ({"classes": ["yes", "no"]}, "need a classifier with 2 outputs, one a class, got 3"),
        ({"classes": []}, "keywords that are classes"),
        ({"grid": {"step": 1.0, "low": 0.0}}, "step, low, high"),
        ({"grid": GRID | {"extra": 1}}, "step, low, high"),
        ({"grid": GRID | {"step": "0.5"}}, "step, low, high"),
        ({"grid": GRID | {"low": True}}, "step, low, high"),
        ({"grid": GRID | {"step": 0.3}}, "power of two"),
        ({"grid": GRID | {"step": -1}}, "power of two"),
        ({"grid": GRID | {"low": 2}}, "low <= high"),
        ({"grid": GRID | {"step": 2.0**-60}}, "exact on its grid: input needs 61 bits"),
        ({"clip": {"from_s": 1.0, "to_s": 0.4}}, "from_s < to_s"),
        ({"clip": {"from_s": -1.0, "to_s": 0.4}}, "from_s < to_s"),
        ({"clip": {"from_s": "0", "to_s": 0.4}}, "from_s < to_s"),
        ({"clip": {"to_s": 0.4}}, "from_s < to_s"),
        ({"network": "other.npz"}, "every network and ONNX file in 'files'"),
        ({"onnx": ["stage0.onnx", "../stage1.onnx", "stage2.onnx"]}, "in 'files'"),
        ({"onnx": [["stage0.onnx"], 1, None]}, "in 'files'"),
        ({"onnx": ["stage0.onnx", "stage1.onnx"]}, "need 3 ONNX graphs or none, got 2"),
        ({"onnx": ["stage0.onnx", "stage0.onnx", "stage1.onnx"]}, "or none, got 2"),
        ({"files": {str(i): "" for i in range(65)}}, "64 files at most"),
        ({"data": [{"name": "x", "licence": "MIT"}]}, "name, licence and source"),
        ({"data": ["x"]}, "name, licence and source"),
        ({"metrics": {"accuracy": 0.9}}, "value and command"),
        ({"metrics": {"accuracy": {"value": 0.9}}}, "value and command"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    pack: Path, fields: dict[str, Any], why: str
) -> None:
    edit_manifest(pack, lambda manifest: manifest.update(fields))
    assert why in refused(pack)


@pytest.mark.parametrize("digest", [None, 5, [], "", "0" * 64])
def test_a_wrong_digest_of_any_type_is_refused(pack: Path, digest: Any) -> None:
    edit_manifest(pack, lambda manifest: manifest["files"].update({"stage1.onnx": digest}))
    assert "stage1.onnx has another SHA-256" in refused(pack)


# The arrays.


def refused_network(pack: Path, data: bytes) -> str:
    replace_file(pack, "network.npz", data)
    message = refused(pack)
    assert "network.npz: " in message
    return message


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("pre.weight", np.zeros((5, 3)), "shape"),
        ("pre.bias", np.zeros(5), "shape"),
        ("block0.candidate.weight", np.zeros((4, 0)), "shape"),
        ("block1.post.weight", np.zeros((4, 3)), "shape"),
        ("block0.beta1", np.zeros(()), "shape"),
        ("block0.alpha", np.zeros((1, 2, 2)), "up to 2 axes"),
        ("block0.initial_state", np.zeros(3, bool), "shape"),
        ("block0.delta", np.full(4, -0.5), "delta >= 0"),
        ("block0.alpha", np.full(4, -0.5), "alpha >= 0"),
        ("block0.beta1", np.full(4, np.nan), "finite"),
        ("pre.weight", np.full((5, 4), np.inf), "finite"),
        ("pre.weight", np.zeros((5, 4), np.float32), "plain float64 or bool"),
        ("pre.weight", np.zeros((5, 4), ">f8"), "plain float64 or bool"),
        ("pre.weight", np.zeros((5, 4), np.int64), "plain float64 or bool"),
        ("pre.weight", np.zeros((5, 4), bool), "need pre.weight as <f8"),
        ("block0.initial_state", np.zeros(4), "need block0.initial_state as |b1"),
        ("pre.weight", np.full((5, 4), {}), "plain float64 or bool"),
        ("pre.weight", np.zeros((5, 4), [("a", "<f8")]), "plain float64 or bool"),
    ],
)
def test_arrays_of_wrong_shape_type_or_range_are_refused(
    pack: Path, name: str, value: Any, why: str
) -> None:
    assert why in refused_network(pack, npz(loaded_arrays(pack) | {name: value}))


def test_an_object_array_is_refused_and_its_pickle_never_runs(pack: Path) -> None:
    marker = pack.parent / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    value = np.array([Evil()], object)
    assert "plain float64" in refused_network(pack, npz(loaded_arrays(pack) | {"pre.bias": value}))
    assert not marker.exists()


def test_the_names_of_the_arrays_are_exactly_those_of_a_network(pack: Path) -> None:
    arrays = loaded_arrays(pack)
    for name in arrays:
        without = {key: array for key, array in arrays.items() if key != name}
        assert "missing" in refused_network(pack, npz(without))
    for name in ("extra", "block2.beta1", "../pre.weight", "block01.beta1"):
        assert "unknown" in refused_network(pack, npz(arrays | {name: np.zeros(4)}))
    later = {name.replace("block1", "block7"): array for name, array in arrays.items()}
    assert "missing" in refused_network(pack, npz(later))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_refused(pack: Path) -> None:
    buffer = io.BytesIO((pack / "network.npz").read_bytes())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("pre.bias.npy", archive.read("pre.bias.npy"))
    assert "once" in refused_network(pack, buffer.getvalue())


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000,), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 5000 + b",), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-4,), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (4,), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (4,), 'x': __import__('os')}\n",
        b"(" * 5000,
        b"",
    ],
)
def test_a_header_that_lies_is_refused(pack: Path, header: bytes) -> None:
    arrays = loaded_arrays(pack)
    del arrays["pre.bias"]
    buffer = io.BytesIO(npz(arrays))
    with zipfile.ZipFile(buffer, "a") as archive:
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
        archive.writestr("pre.bias.npy", start + header + bytes(32))
    assert "need pre.bias" in refused_network(pack, buffer.getvalue())


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x05\x06" + bytes(18), b"\0" * 1000])
def test_a_network_that_is_no_archive_of_arrays_is_refused(pack: Path, data: bytes) -> None:
    refused_network(pack, data)


def test_bits_other_than_0_and_1_are_refused(pack: Path) -> None:
    arrays = loaded_arrays(pack)
    arrays["block0.initial_state"] = np.array([0, 1, 2, 1], np.uint8).view(bool)
    assert "as bytes 0 or 1" in refused_network(pack, npz(arrays))


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = npz(loaded_arrays(pack) | {"pre.bias": np.zeros(2**23)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**18
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    assert "need 67108864 bytes at most" in refused_network(pack, bomb)


def test_an_archive_that_understates_its_size_does_not_unpack_further(pack: Path) -> None:
    arrays = loaded_arrays(pack)
    zeros = np.zeros(2**23)
    bomb = npz({**arrays, "pre.bias": zeros}, zipfile.ZIP_DEFLATED)
    size = struct.pack("<I", zeros.nbytes + 128)
    assert size in bomb
    refused_network(pack, bomb.replace(size, struct.pack("<I", 1000)))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(pack: Path, compression: int) -> None:
    assert "stored or deflated" in refused_network(pack, npz(loaded_arrays(pack), compression))


# The graphs, and verify.


def test_verify_says_what_it_checked(intact: Path) -> None:
    lines = packs.verify(intact)
    assert lines[:4] == [f"{name}: sha256 ok" for name in FILES[1:]]
    assert lines[4:] == [
        "network.npz: 131 parameters, 7 cells in 2 blocks, 5 features, 3 classes",
        "exact in float32: every sum fits the 24 bits of float32",
        "ONNX Runtime and NumPy: blocks of 1 and 50 frames, equal bits",
        "stream: 50 frames at once and one by one, equal bits",
    ]


def test_verify_takes_a_pack_without_graphs(tmp_path: Path) -> None:
    lines = packs.verify(small_pack(tmp_path / "tiny", graphs=False))
    assert "ONNX Runtime: this pack has no graphs, NumPy runs all layers" in lines


def test_verify_takes_a_network_without_blocks_and_a_float64_one(tmp_path: Path) -> None:
    no_blocks = Network.from_arrays(
        ([[1.0, 0.5, 0.0]], [0.0] * 3), [], (np.eye(3), [0.0] * 3), (1, 0, 0)
    )
    wide = random_network(5, grid=(2.0**-20, -1.0, 1.0))
    for name, network in (("no_blocks", no_blocks), ("wide", wide)):
        graphs = stage_graphs(network.parameters, network.exactness.dtype)
        saved = packs.save(tmp_path / name, manifest_fields(), network.parameters, graphs)
        assert any("equal bits" in line for line in packs.verify(saved))
    assert any(line.startswith("exact in float64") for line in packs.verify(tmp_path / "wide"))


@pytest.mark.parametrize("stage", range(3))
def test_verify_refuses_a_graph_with_one_other_weight(pack: Path, stage: int) -> None:
    name = f"stage{stage}.onnx"
    other = stage_graphs(random_network(5, seed=1).parameters, "float32")
    replace_file(pack, name, other[stage])
    packs.load(pack)
    with pytest.raises(PackError, match=f"{name}: need the bits of the arrays"):
        packs.verify(pack)


def test_verify_refuses_graphs_that_do_not_fit_or_are_none(pack: Path) -> None:
    replace_file(pack, "stage1.onnx", b"garbage")
    packs.load(pack)
    with pytest.raises(PackError, match="ONNX Runtime refuses"):
        packs.verify(pack)
    replace_file(pack, "stage1.onnx", (pack / "stage0.onnx").read_bytes())
    with pytest.raises(PackError, match="do not fit the network's arrays"):
        packs.verify(pack)


def test_a_graph_that_points_to_another_file_is_refused(pack: Path) -> None:
    import onnx

    model = onnx.load_from_string((pack / "stage0.onnx").read_bytes())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret.bin"
    replace_file(pack, "stage0.onnx", model.SerializeToString())
    assert "stage0.onnx: need a graph that holds its own weights" in refused(pack)


# Saving.


@pytest.mark.parametrize(
    "fields",
    [
        {"classes": ["yes", "no"]},
        {"name": ""},
        {"metrics": {"x": {"value": float("nan"), "command": ""}}},
        {"recipe": {"x": np.int64(1)}},
        {"recipe": {"x": "\ud800"}},
        {"licence": None},
    ],
)
def test_save_refuses_what_load_would_and_writes_nothing(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    parameters = random_network(5).parameters
    with pytest.raises(PackError):
        packs.save(tmp_path / "tiny", manifest_fields(**fields), parameters)
    assert list(tmp_path.iterdir()) == []


def test_save_refuses_a_network_that_is_not_exact(tmp_path: Path) -> None:
    no_grid = Network.from_arrays(([[1.0]], [0.0]), [], ([[1.0] * 3], [0.0] * 3)).parameters
    rounding = random_network(5, grid=(2.0**-60, -1.0, 1.0)).parameters
    for parameters, why in ((no_grid, "input_grid"), (rounding, "exact on its grid")):
        with pytest.raises(PackError, match=why):
            packs.save(tmp_path / "tiny", manifest_fields(), parameters)
    assert list(tmp_path.iterdir()) == []


def test_save_replaces_a_pack_only_when_told_to(pack: Path) -> None:
    before = contents(pack)
    parameters = random_network(5, seed=1).parameters
    with pytest.raises(PackError, match="exists; need overwrite=True"):
        packs.save(pack, manifest_fields(), parameters)
    with pytest.raises(PackError):
        packs.save(pack, manifest_fields(name=""), parameters, overwrite=True)
    assert contents(pack) == before
    assert packs.save(pack, manifest_fields(), parameters, overwrite=True) == pack.resolve()
    assert sorted(contents(pack)) == ["manifest.json", "network.npz"]
    assert [path.name for path in pack.parent.iterdir()] == ["tiny"]


def test_save_never_replaces_a_directory_that_holds_no_pack(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("mine")
    for name in ("papers", "file"):
        with pytest.raises(PackError, match="holds no pack"):
            packs.save(
                tmp_path / name, manifest_fields(), random_network(5).parameters, overwrite=True
            )
    assert (tmp_path / "papers" / "thesis.txt").read_text() == "years"


def test_an_interrupted_save_leaves_the_old_pack(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(pack)
    rename = Path.rename

    def interrupt(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        packs.save(pack, manifest_fields(), random_network(5).parameters, overwrite=True)
    assert contents(pack) == before
    assert [path.name for path in pack.parent.iterdir()] == ["tiny"]


def test_save_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PackError, match="cannot write the pack"):
        packs.save(tmp_path / "file" / "tiny", manifest_fields(), random_network(5).parameters)


# Any byte, anywhere.


@settings(derandomize=True, deadline=None, max_examples=300)
@given(data=st.data())
def test_flipped_bytes_are_refused_or_change_no_array(intact: Path, data: st.DataObject) -> None:
    wanted = arrays_of(packs.load(intact).network)
    name = data.draw(st.sampled_from(FILES))
    broken = bytearray((intact / name).read_bytes())
    places = st.tuples(st.integers(0, len(broken) - 1), st.integers(1, 255))
    for at, flip in data.draw(st.lists(places, min_size=1, max_size=3)):
        broken[at] ^= flip
    if broken == (intact / name).read_bytes():
        return
    copy = intact.parent / "flipped"
    shutil.copytree(intact, copy)
    try:
        (copy / name).write_bytes(broken)
        try:
            pack = packs.load(copy)
        except PackError:
            return
        assert name == "manifest.json"  # all else has a SHA-256
        assert arrays_of(pack.network) == wanted
        assert pack.network.exactness.exact
    finally:
        shutil.rmtree(copy)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(data=st.data())
def test_a_forged_network_is_refused_or_makes_sense(intact: Path, data: st.DataObject) -> None:
    """Flipped bytes with the right SHA-256: the archive, the headers and the numbers."""
    broken = bytearray((intact / "network.npz").read_bytes())
    places = st.tuples(st.integers(0, len(broken) - 1), st.integers(1, 255))
    for at, flip in data.draw(st.lists(places, min_size=1, max_size=3)):
        broken[at] ^= flip
    copy = intact.parent / "forged"
    shutil.copytree(intact, copy)
    try:
        replace_file(copy, "network.npz", bytes(broken))
        pack = packs.load(copy)
        assert pack.network.exactness.exact
    except PackError:
        pass
    finally:
        shutil.rmtree(copy)
