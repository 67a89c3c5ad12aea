"""What a pack is made of, and the sentence with which a broken one is refused."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kws_stream import packs
from kws_stream.errors import PackError
from kws_stream.network import Network

FILES = ("manifest.json", "network.npz", "stage0.onnx", "stage1.onnx", "stage2.onnx")


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
