"""What a pack from a stranger holds: manifest, arrays, graphs, verifier."""

import io
import json
import zipfile
from typing import Any

import numpy as np

from fuzz import places
from fuzz.model import small_pack
from fuzz.places import sentence
from kws_stream import features, packs
from kws_stream.detector import Detector, DetectorSettings
from kws_stream.errors import PackError, ParameterError
from kws_stream.graphs import check_graph
from kws_stream.network import Network
from kws_stream.packs.arrays import network_bytes, parse_network
from kws_stream.packs.manifest import parse_manifest
from kws_stream.verifier import McuVerifier
from kws_stream.verifier import head as heads
from kws_stream.verifier import network as verifiers
from tests.tiny_verifier import tiny_head

PACK = packs.load(small_pack(places.folder() / "pack"))
MANIFEST = (PACK.path / "manifest.json").read_bytes()
PARAMETERS = PACK.network.parameters
GRID = PACK.manifest["grid"]
NETWORK = network_bytes(PARAMETERS)
SHAPES = [PARAMETERS.pre.weight.shape, PARAMETERS.pre.bias.shape]
HEAD = heads.head_bytes(tiny_head(seeds=1))
MOST_WAIT = 50  # frames to the last look: more than half a second is refused with the pack
VERIFIER = (PACK.path / PACK.manifest["verifier"]["head"]).read_bytes()


def pack_manifest(data: bytes) -> None:
    """A manifest, or fields in place of a good one's, is refused in a sentence or makes a model."""
    for text in (data, _merged(data)):
        try:
            manifest = parse_manifest(text)
        except PackError as error:
            sentence(error)
            continue
        try:
            front_end = features.build(manifest["features"])
            settings = DetectorSettings.from_dict(manifest["detector"])
            names = tuple(manifest["classes"]), tuple(manifest["keywords"])
            Detector(settings, *names, front_end.frame_s)
        except ParameterError as error:
            sentence(error)


def _merged(data: bytes) -> bytes:
    try:
        fields = json.loads(data)
        merged = json.loads(MANIFEST) | (fields if isinstance(fields, dict) else {})
        return json.dumps(merged).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return b""


def _replaced(archive: bytes, data: bytes) -> bytes:
    """A good archive whose member number data[0] is the rest of the data."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        members = old.infolist()
        for number, member in enumerate(members):
            other = number == data[0] % len(members)
            new.writestr(member.filename, data[1:] if other else old.read(member))
    return out.getvalue()


def pack_arrays(data: bytes) -> None:
    """An archive, or an array in place of a good one's, is refused or makes a network."""
    for archive in (data, _replaced(NETWORK, data) if data else b""):
        try:
            parameters = parse_network(archive, GRID)
        except ParameterError:
            continue
        if parameters.n_features <= 64 and parameters.width <= 64:
            network = Network(parameters)
            logits = network.run(np.zeros((2, parameters.n_features))).logits
            assert logits.shape == (2, parameters.n_classes)


def pack_graph(data: bytes) -> None:
    """A graph is refused in a sentence, or holds our operators alone."""
    try:
        check_graph(data, SHAPES)
    except ParameterError as error:
        sentence(error)


def pack_verifier(data: bytes) -> None:
    """The arrays of either kind of verifier are refused or score within their range; those of a
    microcontroller as much in C."""
    if not data:
        return
    for archive in (data, _replaced(HEAD, data)):
        try:
            head = heads.parse_head(archive)
        except ParameterError:
            continue
        with np.errstate(all="ignore"):  # finite numbers whose products are not
            score = head.score(np.zeros((heads.STEPS, heads.SIZE), np.float32))
        assert 0 <= score <= 1 or np.isnan(score)
    for archive in (data, _replaced(VERIFIER, data)):
        try:
            network = verifiers.parse_network(archive)
        except ParameterError:
            continue
        if network.multiplications < 10**6 and network.looks[-1] <= MOST_WAIT:
            window = np.full((network.frames, network.channels), 255, np.uint8)
            scores = network.scores(window)
            assert all(0 <= score <= 1 << 16 for score in scores)
            names = tuple(map(str, range(network.scores_of)))
            assert McuVerifier(network, 0.5, names, 320, 64.0).scores(window) == scores


def manifest_seeds() -> list[bytes]:
    """A manifest, and each of its fields alone."""
    fields: dict[str, Any] = json.loads(MANIFEST)
    return [MANIFEST, *(json.dumps({name: value}).encode() for name, value in fields.items())]


def _members(archive: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = opened.namelist()
        return [bytes([number]) + opened.read(name) for number, name in enumerate(names)]


def array_seeds() -> list[bytes]:
    """The archive of a network, and each array of it with its number."""
    return [NETWORK, *_members(NETWORK)]


def verifier_seeds() -> list[bytes]:
    """Both kinds of archive, and each array of theirs with its number."""
    return [HEAD, VERIFIER, *_members(HEAD), *_members(VERIFIER)]


def graph_seeds() -> list[bytes]:
    """The graphs of a shipped pack that are small, and of this one's stages where onnx is there."""
    shipped = [
        path for name in packs.list_packs() for path in (packs.models_dir() / name).glob("*.onnx")
    ]
    graphs = [path.read_bytes() for path in shipped if path.stat().st_size < 4096]
    try:
        from kws_stream.packs.stage_graphs import stage_graphs

        graphs += stage_graphs(PARAMETERS, PACK.network.exactness.dtype)
    except ImportError:
        pass
    return graphs
