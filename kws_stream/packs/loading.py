"""Finding and loading packs."""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kws_stream.arguments import path_text
from kws_stream.brief import brief
from kws_stream.errors import PackError, ParameterError, did_you_mean
from kws_stream.network import Network
from kws_stream.packs.arrays import parse_network
from kws_stream.packs.manifest import MANIFEST, parse_manifest

MAX_MANIFEST_BYTES = 2**20
MAX_FILE_BYTES = 2**26
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, eq=False)
class VerifierData:
    """The second stage of a pack, as it is stored; docs/packs.md says what it means.

    head: the bytes of its arrays. package: what brings its graphs, None for one that needs none;
    files: SHA-256 of each. network_weight: what the network's log odds count beside the head's.
    """

    kind: str
    threshold: float
    head: bytes
    package: str | None
    files: dict[str, str]
    network_weight: float = 0.0

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Pack:
    """A loaded model pack; docs/packs.md says what its settings mean."""

    path: Path
    manifest: dict[str, Any]
    name: str
    version: str
    classes: tuple[str, ...]
    keywords: tuple[str, ...]
    features: dict[str, Any]
    detector: dict[str, Any]
    clip: dict[str, float]
    network: Network
    verifier: VerifierData | None = None

    __repr__ = brief


def models_dir() -> Path:
    """The directory of the shipped packs, of an installed wheel or of a source checkout."""
    package = Path(__file__).resolve().parents[1]
    installed, checkout = package / "_models", package.parent / "models"
    if not installed.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout
    return installed


def list_packs() -> list[str]:
    """Names of the shipped packs."""
    return sorted(path.parent.name for path in models_dir().glob(f"*/{MANIFEST}"))


def find(model: str | os.PathLike[str]) -> Path:
    """Directory of a pack; a shipped name wins over a directory of that name.

    Raises PackError, with the shipped names, where there is none.
    """
    shipped = list_packs()
    wanted = (
        f"the name of a shipped model ({', '.join(shipped) or 'none'}) or the directory of a pack"
    )
    text = path_text(model, wanted, PackError)
    if isinstance(model, str) and model in shipped:
        return models_dir() / model
    if text and os.path.isdir(text):
        return Path(text).resolve()
    if text in shipped:  # a path or bytes, which name a directory alone
        hint = f"; give {text!r} as a str for the shipped model"
    else:
        hint = did_you_mean(text[:200], shipped)
    given = model if text in shipped else text
    raise PackError(f"need {wanted}, got {given!r:.200}{hint}")


def _open_without_waiting(path: str, flags: int) -> int:
    """A named pipe must not hang the reader, and a link is resolved before it is opened."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))


def _read_file(directory: Path, name: Any, limit: int) -> bytes:
    """Bytes of a regular file of the pack, `limit` at most."""
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise PackError(f"need a plain file name (letters, digits, . _ -), got {name!r:.80}")
    try:
        path = (directory / name).resolve()
        if path.parent != directory:
            raise PackError(f"{name} is a link that leads out of the pack; need the file itself")
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PackError(f"{name} is not a regular file; get an intact copy")
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise PackError(f"{name} is missing; get an intact copy") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise PackError(f"{name} cannot be read: {error}") from error
    if len(data) > limit:
        raise PackError(f"{name} is too large: need {limit} bytes at most")
    return data


def _read_files(directory: Path, manifest: dict[str, Any]) -> dict[str, bytes]:
    """Bytes of network, graphs and verifier, once the SHA-256 of every listed file is right."""
    contents = {}
    for name, expected in manifest["files"].items():
        data = _read_file(directory, name, MAX_FILE_BYTES)
        if hashlib.sha256(data).hexdigest() != expected:
            raise PackError(f"{name} has another SHA-256 than {MANIFEST} says; get an intact copy")
        if name in (
            manifest["network"],
            *manifest["onnx"],
            manifest.get("verifier", {}).get("head"),
        ):
            contents[name] = data
    return contents


def load_directory(directory: Path) -> tuple[Pack, dict[str, bytes]]:
    """The pack in a resolved directory, and its ONNX graphs by file name."""
    manifest = parse_manifest(_read_file(directory, MANIFEST, MAX_MANIFEST_BYTES))
    contents = _read_files(directory, manifest)
    try:
        parameters = parse_network(contents[manifest["network"]], manifest["grid"])
    except ParameterError as error:
        raise PackError(f"{manifest['network']}: {error}") from error
    classes = tuple(manifest["classes"])
    if parameters.n_classes != len(classes):
        raise PackError(
            f"{manifest['network']}: need a classifier with {len(classes)} outputs, one a class, "
            f"got {parameters.n_classes}"
        )
    graphs = {name: contents[name] for name in manifest["onnx"]}
    stages = len(parameters.blocks) + 1
    if graphs and len(graphs) != stages:
        raise PackError(f"{MANIFEST}: need {stages} ONNX graphs or none, got {len(graphs)}")
    for name, graph in graphs.items():
        if b"location" in graph:  # the key of ONNX's pointers to other files
            raise PackError(f"{name}: need a graph that holds its own weights; export it again")
    network = Network(parameters, list(graphs.values()))
    if not network.exactness.exact:
        raise PackError(
            f"need a network that is exact on its grid: {network.exactness.reason}; use weights "
            "and a grid of fewer bits"
        )
    pack = Pack(
        path=directory,
        manifest=manifest,
        name=manifest["name"],
        version=manifest["version"],
        classes=classes,
        keywords=tuple(manifest["keywords"]),
        features=manifest["features"],
        detector=manifest["detector"],
        clip=manifest["clip"],
        network=network,
        verifier=_verifier(manifest.get("verifier"), contents),
    )
    return pack, graphs


def _verifier(fields: dict[str, Any] | None, contents: dict[str, bytes]) -> VerifierData | None:
    if fields is None:
        return None
    return VerifierData(
        kind=fields["kind"],
        threshold=float(fields["threshold"]),
        head=contents[fields["head"]],
        package=fields["needs"].get("package"),
        files=dict(fields["needs"].get("files", {})),
        network_weight=float(fields.get("network_weight", 0)),
    )


def load(model: str | os.PathLike[str]) -> Pack:
    """The pack of this shipped name, or in this directory.

    Raises PackError if there is none, if a file is missing or has another SHA-256 than the
    manifest says, and for anything that docs/packs.md does not allow. Whether the ONNX graphs fit
    the arrays shows when they are first used, or in `verify`.
    """
    directory = find(model)
    try:
        return load_directory(directory)[0]
    except PackError as error:
        raise PackError(f"pack {os.fsdecode(model)}: {error}") from error
