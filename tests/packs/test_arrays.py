"""The network of a pack: hostile archives and arrays are one clear PackError."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pack_factory import (
    replace_file,
)
from tests.packs.pack_bytes import loaded_arrays, npz, refused


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
        ("block0.alpha", np.zeros((1, 2, 2)), "1 or 2 axes"),
        ("block0.initial_state", np.zeros(3, bool), "shape"),
        ("block0.delta", np.full(4, -0.5), "delta >= 0"),
        ("block0.alpha", np.full(4, -0.5), "alpha >= 0"),
        ("block0.beta1", np.full(4, np.nan), "finite"),
        ("pre.weight", np.full((5, 4), np.inf), "finite"),
        ("pre.weight", np.zeros((5, 4), np.float32), "need pre.weight as <f8"),
        ("pre.weight", np.zeros((5, 4), ">f8"), "plain array"),
        ("pre.weight", np.zeros((5, 4), np.int64), "need pre.weight as <f8"),
        ("pre.weight", np.zeros((5, 4), bool), "need pre.weight as <f8"),
        ("block0.initial_state", np.zeros(4), "need block0.initial_state as |b1"),
        ("pre.weight", np.full((5, 4), {}), "plain array"),
        ("pre.weight", np.zeros((5, 4), [("a", "<f8")]), "plain array"),
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
    assert "plain array" in refused_network(pack, npz(loaded_arrays(pack) | {"pre.bias": value}))
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
