"""The manifest of a pack: JSON that is bounded, typed, and safe to show in a terminal."""

import json
import math
import re
from typing import Any, NoReturn

from kws_stream.errors import PackError

FORMAT = 1
MANIFEST = "manifest.json"
MAX_FILES = 64
MAX_DEPTH = 16  # of the lists and objects of a manifest
FIELDS: dict[str, type] = {
    "format": int,
    "name": str,
    "version": str,
    "description": str,
    "classes": list,
    "keywords": list,
    "features": dict,
    "grid": dict,
    "detector": dict,
    "clip": dict,
    "network": str,
    "onnx": list,
    "files": dict,
    "data": list,
    "recipe": dict,
    "metrics": dict,
    "licence": str,
}
VERIFIER_FIELDS: dict[str, Any] = {
    "kind": str,
    "threshold": (int, float),
    "head": str,
    "needs": dict,
}
MOST_WEIGHT = 10.0  # of the network's log odds in a verifier's score
_KINDS = {int: "an integer", str: "text", list: "a list", dict: "an object"}
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("an object has a name twice")
    return fields


def _check_tree(value: Any, depth: int = MAX_DEPTH) -> None:
    """Refuse deep nesting, huge integers, and control characters, which could fool a terminal."""
    if isinstance(value, dict | list):
        if not depth:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        for child in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_tree(child, depth - 1)
    elif isinstance(value, str) and _CONTROL.search(value):
        raise ValueError(f"control characters in {value!r:.80}")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("an integer of more than 64 bits")


def parse_manifest(data: bytes) -> dict[str, Any]:
    """The object in a manifest's bytes, checked; raises PackError for what is not allowed."""
    try:
        manifest = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
        _check_tree(manifest)
    except RecursionError as error:
        raise PackError(f"{MANIFEST} is nested too deeply; get an intact copy") from error
    except ValueError as error:
        raise PackError(f"{MANIFEST} cannot be read: {error}; get an intact copy") from error
    if not isinstance(manifest, dict):
        raise PackError(f"{MANIFEST} needs to be an object; get an intact copy")
    _check_manifest(manifest)
    return manifest


def _need(what: str, ok: bool, got: Any) -> None:
    if not ok:
        raise PackError(f"{MANIFEST}: need {what}, got {got!r:.80}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_manifest(manifest: dict[str, Any]) -> None:
    """Types and meaning of every field, but for the settings that other modules check."""
    version = manifest.get("format")
    if type(version) is not int or version != FORMAT:
        raise PackError(
            f"{MANIFEST}: need format {FORMAT}, got {version!r:.80}; get a matching kws-stream"
        )
    for field, kind in FIELDS.items():
        _need(f"the field {field!r}", field in manifest, list(manifest))
        value = manifest[field]
        _need(f"{_KINDS[kind]} as {field!r}", isinstance(value, kind), value)
    for field in ("name", "version"):
        value = manifest[field]
        _need(f"a short line as {field!r}", value.isprintable() and 0 < len(value) <= 100, value)
    for field in ("classes", "keywords"):
        names = manifest[field]
        for name in names:
            fine = isinstance(name, str) and name.isprintable() and 0 < len(name) <= 100
            _need(f"short texts as {field!r}", fine, name)
        _need(f"different names as {field!r}", len(set(names)) == len(names), names)
    unknown = [name for name in manifest["keywords"] if name not in manifest["classes"]]
    _need("keywords that are classes", not unknown, unknown)
    grid, clip = manifest["grid"], manifest["clip"]
    numbers = set(grid) == {"step", "low", "high"} and all(map(_is_number, grid.values()))
    _need("the numbers step, low, high as 'grid'", numbers, grid)
    numbers = set(clip) == {"from_s", "to_s"} and all(map(_is_number, clip.values()))
    _need("0 <= from_s < to_s as 'clip'", numbers and 0 <= clip["from_s"] < clip["to_s"], clip)
    for entry in manifest["data"]:
        keys = ("name", "licence", "source")
        fine = isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in keys)
        _need("name, licence and source for all 'data'", fine, entry)
    for entry in manifest["metrics"].values():
        fine = isinstance(entry, dict) and "value" in entry
        fine = fine and isinstance(entry.get("command"), str)
        _need("value and command for all 'metrics'", fine, entry)
    _need(f"{MAX_FILES} files at most", len(manifest["files"]) <= MAX_FILES, "more")
    named = [manifest["network"], *manifest["onnx"]]
    unlisted = [
        name for name in named if not isinstance(name, str) or name not in manifest["files"]
    ]
    _need("every network and ONNX file in 'files'", not unlisted, unlisted)
    if "verifier" in manifest:
        _check_verifier(manifest["verifier"], manifest["files"])


def _check_verifier(verifier: Any, files: dict[str, Any]) -> None:
    """The second stage that a pack may have."""
    names = set(verifier) - {"network_weight"} if isinstance(verifier, dict) else None
    whole = names == set(VERIFIER_FIELDS)
    _need(f"an object of {', '.join(VERIFIER_FIELDS)} as 'verifier'", whole, verifier)
    for field, kind in VERIFIER_FIELDS.items():
        _need(f"another 'verifier' {field}", isinstance(verifier[field], kind), verifier[field])
    threshold = verifier["threshold"]
    fine = _is_number(threshold) and 0 <= threshold <= 1
    _need("0 to 1 as the verifier's 'threshold'", fine, threshold)
    weight = verifier.get("network_weight", 0)
    fine = _is_number(weight) and 0 <= weight <= MOST_WEIGHT
    _need(f"0 to {MOST_WEIGHT:g} as the verifier's 'network_weight'", fine, weight)
    _need("the verifier's head in 'files'", verifier["head"] in files, verifier["head"])
    needs = verifier["needs"]
    if not needs:  # as an integer network has it: nothing but what is in the pack
        return
    package, graphs = needs.get("package"), needs.get("files")
    fine = isinstance(package, str) and isinstance(graphs, dict)
    fine = fine and all(isinstance(digest, str) for digest in graphs.values())
    _need(
        "package and files as the verifier's 'needs'",
        set(needs) == {"package", "files"} and fine,
        needs,
    )
