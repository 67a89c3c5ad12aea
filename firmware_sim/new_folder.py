"""Files of an export, in a folder of their own."""

import os
from collections.abc import Mapping
from pathlib import Path

from kws_stream.errors import FirmwareError
from kws_stream.files import replacing_folder


def write_new_folder(
    directory: str | os.PathLike[str], contents: Mapping[str, bytes]
) -> list[Path]:
    """Write files, by their names within it, to a new or empty folder; all files or none.

    Raises FirmwareError for a folder that holds something or cannot be written.
    """
    target = Path(directory)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FirmwareError(f"{target}: need a new or empty folder, got one that exists")
    try:
        with replacing_folder(target) as new:
            for name, content in contents.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
    except OSError as error:
        raise FirmwareError(f"{target}: need a folder that can be written: {error}") from error
    return [target / name for name in contents]
