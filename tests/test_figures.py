"""The tables of the documents hold the figures of the manifests."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parent.parent


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "scripts" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "figures", module)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_documents_are_those_of_the_manifests(figures: ModuleType) -> None:
    done = CliRunner().invoke(figures.main, ["write", "--check"])
    assert done.exit_code == 0, done.output


def test_every_pack_of_the_repository_is_in_both_tables(figures: ModuleType) -> None:
    names = {path.parent.name for path in (ROOT / "models").glob("*/manifest.json")}
    assert names
    for document in figures.DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        assert {name for name in names if f"| `{name}` |" in text} == names


def test_a_figure_that_changed_makes_its_tables_stale(
    figures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    for name in ("yes-4", "commands-12"):
        (models / name).mkdir(parents=True)
        for file in (ROOT / "models" / name).iterdir():
            (models / name / file.name).write_bytes(file.read_bytes())
    text = "# Title\n<!-- figures: packs -->\n<!-- end of figures -->\nrest\n"
    for document in figures.DOCUMENTS:
        (tmp_path / document).write_text(text)
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "MODELS", models)
    run = CliRunner().invoke
    assert run(figures.main, ["write", "--check"]).exit_code == 1
    assert run(figures.main, ["write"]).exit_code == 0
    assert run(figures.main, ["write", "--check"]).exit_code == 0
    path = models / "yes-4" / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["metrics"]["core_power_nw"]["value"] = 1234.5
    path.write_text(json.dumps(manifest))
    assert run(figures.main, ["write", "--check"]).exit_code == 1
    assert run(figures.main, ["write"]).exit_code == 0
    written = (tmp_path / "README.md").read_text("utf-8")
    assert "1.23 uW" in written
    assert written.startswith("# Title\n")
    assert written.endswith("rest\n")
