"""The arrays of a network as a .npz file, read without evaluating anything that it holds."""

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import ParameterError
from kws_stream.parameters import Layer, NetworkParameters

MAX_UNPACKED_BYTES = 2**26
MAX_AXES = 8
MAX_AXIS = 2**16  # features, cells, classes: more would take gigabytes for a second of sound
# The text that NumPy writes in front of an array; read by pattern, so that nothing is evaluated.
_HEADER = re.compile(
    r"\{'descr': '(\|[biu]1|<[iu][248]|<f[248])', 'fortran_order': (True|False), "
    r"'shape': \(([0-9, ]*)\), \} *\n"
)
_LAYER = ("weight", "bias")
_CELLS = ("beta1", "delta", "alpha", "initial_state")


def _names(blocks: int) -> list[str]:
    """Names of all arrays of a network, in the order in which they are written."""
    names = [f"pre.{part}" for part in _LAYER]
    for i in range(blocks):
        names += [f"block{i}.{layer}.{part}" for layer in ("candidate", "post") for part in _LAYER]
        names += [f"block{i}.{field}" for field in _CELLS]
    return [*names, *(f"classifier.{part}" for part in _LAYER)]


def plain_array(name: str, data: bytes) -> NDArray[Any]:
    """The array in the bytes of a .npy file, version 1.0, of numbers or truth values.

    Raises ParameterError, with `name`, for anything else, before memory is taken for it.
    """
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[10:start].decode("latin-1"))
    if data[:8] != b"\x93NUMPY\x01\x00" or header is None:
        raise ParameterError(f"need {name} as a plain array of .npy 1.0")
    sizes = [size.strip() for size in header[3].split(",") if size.strip()]
    if len(sizes) > MAX_AXES or not all(size.isdecimal() and len(size) <= 9 for size in sizes):
        raise ParameterError(f"need {name} of {MAX_AXES} axes at most, got {header[0]!r:.150}")
    shape, dtype = tuple(map(int, sizes)), np.dtype(header[1])
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ParameterError(
            f"need {name} of shape {shape} to fill its file, got {len(data) - start} bytes"
        )
    order: Any = "F" if header[2] == "True" else "C"
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order=order)


def _parse_array(name: str, data: bytes) -> NDArray[Any]:
    """Array of a network: float64 or bool."""
    array = plain_array(name, data)
    wanted = "|b1" if name.endswith(".initial_state") else "<f8"
    if array.dtype != wanted or not 1 <= array.ndim <= 2:
        raise ParameterError(
            f"need {name} as {wanted}, a shape of 1 or 2 axes, got {array.dtype.str} of "
            f"{array.shape}"
        )
    if max(array.shape, default=0) > MAX_AXIS:
        raise ParameterError(f"need {name} with axes of {MAX_AXIS} at most, got {array.shape}")
    if wanted == "|b1" and (array.view(np.uint8) > 1).any():
        raise ParameterError(f"need the bits of {name} as bytes 0 or 1")
    return array


def _members(data: bytes) -> dict[str, bytes]:
    """The unpacked members of a .npz file, once their names and sizes are known to be right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        found = [member.filename for member in members]
        blocks = sum(name.endswith(".candidate.weight.npy") for name in found)
        wanted = [f"{name}.npy" for name in _names(blocks)]
        if sorted(found) != sorted(wanted):
            missing, unknown = set(wanted) - set(found), set(found) - set(wanted)
            raise ParameterError(
                f"need each array of {blocks} blocks once; missing: "
                f"{sorted(missing) or 'none'!s:.200}, unknown: {sorted(unknown) or 'none'!s:.200}"
            )
        size = sum(member.file_size for member in members)
        if size > MAX_UNPACKED_BYTES:
            raise ParameterError(f"need {MAX_UNPACKED_BYTES} bytes at most, got {size} unpacked")
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ParameterError(f"need {member.filename} stored or deflated")
        return {m.filename.removesuffix(".npy"): member_bytes(archive, m) for m in members}


def member_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """All of a member, and no more than it says that it holds.

    `ZipFile.read` would unpack up to 2 GiB of what says that it is smaller.
    """
    with archive.open(member) as file:
        return file.read(member.file_size) + file.read(1)


def parse_network(data: bytes, grid: Mapping[str, float]) -> NetworkParameters:
    """Parameters from the bytes of a .npz file and the manifest's grid.

    Raises ParameterError for anything but the arrays of one network, in float64 and bool.
    """
    try:
        members = _members(data)
    except ParameterError:
        raise
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
        *(ValueError, OSError, EOFError, LookupError),
    ) as error:  # what zipfile raises, depending on where the bytes are wrong
        raise ParameterError(f"need a plain zip file of arrays: {error!s:.200}") from error
    arrays = {name: _parse_array(name, member) for name, member in members.items()}

    def layer(name: str) -> tuple[NDArray[Any], ...]:
        return tuple(arrays[f"{name}.{part}"] for part in _LAYER)

    blocks: list[dict[str, Any]] = []
    while f"block{len(blocks)}.beta1" in arrays:
        name = f"block{len(blocks)}"
        fields: dict[str, Any] = {field: arrays[f"{name}.{field}"] for field in _CELLS}
        fields |= {"candidate": layer(f"{name}.candidate"), "post": layer(f"{name}.post")}
        blocks.append(fields)
    return NetworkParameters.from_arrays(
        layer("pre"), blocks, layer("classifier"), (grid["step"], grid["low"], grid["high"])
    )


def network_bytes(parameters: NetworkParameters) -> bytes:
    """The .npz file of a network; the same parameters give the same bytes."""

    def pair(layer: Layer) -> list[NDArray[Any]]:
        return [layer.weight, layer.bias]

    arrays = pair(parameters.pre)
    for block in parameters.blocks:
        arrays += [*pair(block.candidate), *pair(block.post)]
        arrays += [getattr(block, field) for field in _CELLS]
    arrays += pair(parameters.classifier)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in zip(_names(len(parameters.blocks)), arrays, strict=True):
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # else it tells on which system the file was written
            member = io.BytesIO()
            plain = np.ascontiguousarray(array, "|b1" if array.dtype == np.bool_ else "<f8")
            np.lib.format.write_array(member, plain, version=(1, 0), allow_pickle=False)
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()
