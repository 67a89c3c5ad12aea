"""Writing packs: whole or not at all, and the same bytes for the same pack."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kws_stream.errors import PackError
from kws_stream.files import check_folder, replacing_folder, write
from kws_stream.packs.arrays import network_bytes
from kws_stream.packs.loading import find, load_directory
from kws_stream.packs.manifest import FIELDS, FORMAT, MANIFEST
from kws_stream.parameters import NetworkParameters

NETWORK = "network.npz"
HEAD = "verifier.npz"


def _contents(
    manifest: Mapping[str, Any],
    parameters: NetworkParameters,
    graphs: Sequence[bytes],
    head: bytes | None,
) -> dict[str, bytes]:
    """The files of a pack."""
    grid = parameters.input_grid
    if grid is None:
        raise PackError("a pack needs parameters with an input_grid; none was given")
    contents = {NETWORK: network_bytes(parameters)}
    contents |= {f"stage{index}.onnx": bytes(graph) for index, graph in enumerate(graphs)}
    onnx = [name for name in contents if name != NETWORK]
    if (head is None) != ("verifier" not in manifest):
        raise PackError("need a verifier's head with its fields in the manifest, got one alone")
    if head is not None:
        contents[HEAD] = head
        manifest = {**manifest, "verifier": {**manifest["verifier"], "head": HEAD}}
    fields = dict(manifest) | {
        "format": FORMAT,
        "grid": {"step": grid.step, "low": grid.low, "high": grid.high},
        "network": NETWORK,
        "onnx": onnx,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    }
    ordered = {name: fields[name] for name in (*FIELDS, *fields) if name in fields}
    try:
        text = json.dumps(ordered, indent=2, ensure_ascii=False, allow_nan=False)
        contents[MANIFEST] = f"{text}\n".encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PackError(f"{MANIFEST}: need values that JSON can hold: {error}") from error
    return contents


def check_replaceable(directory: str | os.PathLike[str]) -> None:
    """Raises PackError for a place that holds anything but a pack, which would not be overwritten,
    and where no folder can be made: before hours of training, not after them.
    """
    target = Path(directory).resolve()
    try:
        check_folder(target.parent)
        target.exists()
    except OSError as error:
        raise PackError(
            f"cannot write the pack {target}: need a folder that can be written, got "
            f"{error.filename or target}: {error.strerror}"
        ) from error
    if not target.exists() or (target / MANIFEST).is_file():
        return
    if not target.is_dir() or any(target.iterdir()):
        raise PackError(f"{target} holds no pack; need a new directory or a pack to replace")


def save(
    directory: str | os.PathLike[str],
    manifest: Mapping[str, Any],
    parameters: NetworkParameters,
    graphs: Sequence[bytes] = (),
    overwrite: bool = False,
    head: bytes | None = None,
) -> Path:
    """Write a pack and return its directory; the same arguments give the same bytes.

    manifest: the fields of docs/packs.md; format, grid, network, onnx and files are filled in.
    graphs: the ONNX graphs, one a stage. head: the arrays of the verifier, whose other fields are
    the manifest's. The pack is written beside `directory`, loaded, and only
    then moved there.

    Raises PackError for a pack that `load` would refuse, for a directory that exists (with
    overwrite: one that holds anything but a pack) and where nothing can be written.
    """
    target = Path(directory).resolve()
    if target.exists() and not overwrite:
        raise PackError(f"{target} exists; need overwrite=True to replace it")
    check_replaceable(target)
    contents = _contents(manifest, parameters, graphs, head)
    try:
        with replacing_folder(target) as new:
            for name, data in contents.items():
                (new / name).write_bytes(data)
            load_directory(new)
    except OSError as error:
        raise PackError(f"cannot write the pack {target}: {error}") from error
    return target


def save_copy(
    model: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    head: bytes | None = None,
    **fields: Any,
) -> Path:
    """Write a copy of a pack with other fields in its manifest; the pack itself stays as it is.

    overwrite: as of `save`. head: other arrays of a verifier, whose fields are then given too.
    Files that are of neither network nor verifier are left behind. Raises PackError as `load`
    and `save`, so also for a directory that exists.
    """
    pack, graphs = load_directory(find(model))
    if head is None and pack.verifier is not None:
        head = pack.verifier.head
    return save(
        directory,
        pack.manifest | fields,
        pack.network.parameters,
        list(graphs.values()),
        overwrite=overwrite,
        head=head,
    )


def save_metrics(directory: str | os.PathLike[str], metrics: Mapping[str, Any]) -> None:
    """Put metrics into the manifest of a pack, in place of those there.

    metrics: {name: {"value", "command"}}. Raises PackError as `load`, OSError where the manifest
    cannot be written.
    """
    folder = find(directory)
    load_directory(folder)
    path = folder / MANIFEST
    manifest = json.loads(path.read_text("utf-8")) | {"metrics": metrics}
    write(path, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    load_directory(folder)
