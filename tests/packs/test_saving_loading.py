"""Model packs: what is saved loads, by folder and by shipped name, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kws_stream import packs
from kws_stream.errors import PackError
from kws_stream.network import ONNX_MIN_FRAMES, Network
from kws_stream.packs import loading
from kws_stream.packs.stage_graphs import stage_graphs
from tests.pack_factory import (
    CLASSES,
    KEYWORDS,
    build_pack,
    manifest_fields,
    random_network,
    replace_file,
    small_pack,
)
from tests.packs.pack_bytes import FILES, arrays_of, contents, loaded_arrays, npz, refused

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


@pytest.mark.parametrize(
    "name",
    ["gamma", "notes", "", "a\0b", "x" * 5000, "../alpha", "no/pack", None, 5, Path("gamma")],
)
@pytest.mark.usefixtures("shipped")
def test_an_unknown_name_is_refused_with_the_shipped_names(name: Any) -> None:
    for call in (packs.load, packs.verify):
        with pytest.raises(PackError, match=r"^need the name of a shipped model \(alpha, beta\)"):
            call(name)


@pytest.mark.parametrize("name", [Path("alpha"), b"alpha"])
@pytest.mark.usefixtures("shipped")
def test_a_shipped_name_that_is_given_as_a_path_is_told_to_be_one(name: Any) -> None:
    with pytest.raises(PackError, match=r"give 'alpha' as a str for the shipped model$"):
        packs.load(name)


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


# The graphs, and verify.


def test_verify_says_what_it_checked(intact: Path) -> None:
    lines = packs.verify(intact)
    assert lines[:4] == [f"{name}: sha256 ok" for name in FILES[1:]]
    assert lines[4:] == [
        "network.npz: 131 parameters, 4 + 3 cells, 5 features, 3 classes",
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


@pytest.mark.parametrize("part", ["weight", "bias"])
@pytest.mark.parametrize(
    ("stage", "layer", "place"),
    [
        (0, "pre", 1),
        (0, "candidate", 1),
        (1, "post", 1),
        (1, "candidate", 1),
        (2, "post", 0),  # 1 comes out below 0 whatever the states are
        (2, "classifier", 1),
    ],
)
def test_verify_refuses_a_graph_with_one_other_weight(
    pack: Path, stage: int, layer: str, place: int, part: str
) -> None:
    name = f"stage{stage}.onnx"
    parameters = random_network(5).parameters
    blocks = {"candidate": stage, "post": stage - 1}
    owner = parameters.blocks[blocks[layer]] if layer in blocks else parameters
    given = getattr(owner, layer)
    other = getattr(given, part).copy()
    other.flat[place] += 1 / 8
    object.__setattr__(given, part, other)
    replace_file(pack, name, stage_graphs(parameters, "float32")[stage])
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


def test_a_place_where_no_folder_can_be_made_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    packs.check_replaceable(tmp_path / "a" / "b")
    with pytest.raises(PackError, match=r"need a folder that can be written, got .*file"):
        packs.check_replaceable(tmp_path / "file" / "b" / "c")
    closed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: path != tmp_path.resolve() and closed(path, mode)
    )
    for name in ("new", "a/b"):
        with pytest.raises(PackError, match=r"cannot write the pack .*: need a folder that can"):
            packs.check_replaceable(tmp_path / name)


def test_an_interrupted_save_leaves_the_old_pack(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(pack)
    rename = Path.rename

    def interrupt(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr("kws_stream.files._exchange", lambda one, other: False)  # two steps
    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        packs.save(pack, manifest_fields(), random_network(5).parameters, overwrite=True)
    assert contents(pack) == before
    assert [path.name for path in pack.parent.iterdir()] == ["tiny"]


def test_save_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PackError, match="cannot write the pack"):
        packs.save(tmp_path / "file" / "tiny", manifest_fields(), random_network(5).parameters)


def test_metrics_take_the_place_of_those_there_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = build_pack(tmp_path / "pack", graphs=False)
    before = json.loads((pack / "manifest.json").read_text("utf-8"))
    metrics = {"accuracy": {"value": 0.5, "command": "kws-stream evaluate"}}
    monkeypatch.chdir(tmp_path)
    packs.save_metrics("pack", metrics)
    after = json.loads((pack / "manifest.json").read_text("utf-8"))
    assert after == before | {"metrics": metrics}
    assert list(after) == list(before)
