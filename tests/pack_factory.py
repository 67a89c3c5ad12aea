"""Small random packs that are exact, for tests of packs and of what is built on them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kws_stream import features, packs
from kws_stream.detector import DetectorSettings
from kws_stream.network import Network
from kws_stream.packs.stage_graphs import stage_graphs

CLASSES = ("yes", "no", "other")
KEYWORDS = ("yes", "no")


def random_network(
    n_features: int,
    classes: int = len(CLASSES),
    cells: tuple[int, ...] = (4, 3),
    width: int = 4,
    grid: tuple[float, float, float] = (2**-6, -1.0, 1.0),
    seed: int = 0,
) -> Network:
    """A network of 4-bit weights; exact in float32 for a grid of up to some 8 bits."""
    rng = np.random.default_rng(seed)

    def layer(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.integers(-8, 8, (n_in, n_out)) / 8, rng.integers(-8, 9, n_out) / 8

    blocks = [
        {
            "candidate": layer(width, d),
            "beta1": rng.integers(0, 8, d) / 8,
            "delta": rng.integers(0, 8, d) / 8,
            "alpha": rng.integers(1, 8, d) / 8,
            "post": layer(d, width),
            "initial_state": rng.integers(0, 2, d),
        }
        for d in cells
    ]
    return Network.from_arrays(layer(n_features, width), blocks, layer(width, classes), grid)


def one_cell(
    weight: float = 1.0, beta1: float = 0.2, delta: float = 0.1, alpha: float = 0.4
) -> Network:
    """x -> one cell -> one logit: the candidate is weight·x."""
    block = {
        "candidate": ([[weight]], [0.0]),
        "beta1": beta1,
        "delta": delta,
        "alpha": alpha,
        "post": ([[1.0]], [0.0]),
    }
    return Network.from_arrays(([[1.0]], [0.0]), [block], ([[1.0]], [0.0]))


def manifest_fields(**fields: Any) -> dict[str, Any]:
    """Everything of a manifest that `packs.save` does not fill in; `fields` replace or add some."""
    return {
        "name": "tiny",
        "version": "1.0.0",
        "description": "Random weights, for tests.",
        "classes": list(CLASSES),
        "keywords": list(KEYWORDS),
        "features": {},
        "detector": DetectorSettings().as_dict(),
        "clip": {"from_s": 0.4, "to_s": 1.0},
        "data": [{"name": "none", "licence": "MIT", "source": "random numbers"}],
        "recipe": {"seed": 0},
        "metrics": {"accuracy": {"value": 0.5, "command": "kws-stream evaluate DIR"}},
        "licence": "MIT",
    } | fields


def build_pack(
    directory: Path,
    graphs: bool = True,
    classes: tuple[str, ...] = CLASSES,
    keywords: tuple[str, ...] = KEYWORDS,
    feature_settings: dict[str, Any] | None = None,
    cells: tuple[int, ...] = (4, 3),
    seed: int = 0,
    **fields: Any,
) -> Path:
    """Save a pack that `KeywordSpotter` accepts; the default front end unless settings say else.

    `fields` replace fields of the manifest.
    """
    front_end = features.build(feature_settings or {})
    grid = tuple(front_end.settings.input_grid)
    network = random_network(front_end.n_features, len(classes), cells, grid=grid, seed=seed)
    onnx = stage_graphs(network.parameters, network.exactness.dtype) if graphs else []
    manifest = manifest_fields(
        name=directory.name,
        classes=list(classes),
        keywords=list(keywords),
        features=feature_settings or {},
    )
    return packs.save(directory, manifest | fields, network.parameters, onnx)


def small_pack(directory: Path, graphs: bool = True, **fields: Any) -> Path:
    """As `build_pack`, but with five features and no front end to match: quick to build."""
    network = random_network(5)
    onnx = stage_graphs(network.parameters, network.exactness.dtype) if graphs else []
    return packs.save(directory, manifest_fields(**fields), network.parameters, onnx)


def edit_manifest(pack: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a pack's manifest in place, by a function that changes the object."""
    path = pack / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), "utf-8")


def replace_file(pack: Path, name: str, data: bytes) -> None:
    """Replace a file of a pack, and its SHA-256 in the manifest: a forger's pack."""
    (pack / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    edit_manifest(pack, lambda manifest: manifest["files"].update({name: digest}))
