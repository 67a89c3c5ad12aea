"""Manifests: anything that is not what docs/packs.md says is one clear PackError."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pack_factory import (
    edit_manifest,
)
from tests.packs.pack_bytes import refused


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
