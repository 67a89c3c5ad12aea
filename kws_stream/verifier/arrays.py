"""Arrays of a verifier as a .npz file; nothing in it is evaluated."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import ParameterError
from kws_stream.packs.arrays import member_bytes, plain_array

MAX_BYTES = 2**24


def archive_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The .npz file of arrays; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # else it tells on which system the file was written
            member = io.BytesIO()
            plain = np.asarray(array, order="C")
            np.lib.format.write_array(member, plain, (1, 0), allow_pickle=False)
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def archive_arrays(data: bytes, what: str) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of a .npz file, by name; what: that is read, for messages.

    Raises ParameterError for anything but plain arrays, for a name that is there twice, and for
    more than 16 MiB.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(set(names)) != len(names) or not all(n.endswith(".npy") for n in names):
                raise ParameterError(f"need arrays with different names, got {names!r:.300}")
            if sum(member.file_size for member in members) > MAX_BYTES:
                raise ParameterError(f"need {MAX_BYTES} bytes at most, got more")
            unpacked = {m.filename.removesuffix(".npy"): member_bytes(archive, m) for m in members}
            return {name: plain_array(name, array) for name, array in unpacked.items()}
    except ParameterError as error:
        raise ParameterError(f"{what}: {error}") from error
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
        *(ValueError, OSError, EOFError, LookupError),
    ) as error:  # what zipfile raises, depending on where the bytes are wrong
        raise ParameterError(f"{what}: need a plain file of arrays: {error!s:.200}") from error
