"""Data sets from where their makers publish them: downloaded, checked, unpacked; all or nothing."""

import os
import re
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kws_stream.errors import DataError, MissingExtraError, ParameterError
from kws_stream.files import replacing_folder

CHUNK_BYTES = 1 << 16
PATIENCE_S = 30  # for the server's next bytes
FRUITLESS = 5  # attempts in a row that bring no byte, before giving up
WAIT_S = 1.0  # after each
MAX_FILES = 500_000
MAX_UNPACKED_BYTES = 16 << 30

Progress = Callable[[str, int, int | None], None]
"""Hears what is being done, how many bytes of it are done, and of how many if that is known."""


@dataclass(frozen=True)
class Archive:
    """name: of the folder that it becomes. size: in bytes, at most."""

    name: str
    url: str
    sha256: str
    size: int


SPEECH_COMMANDS = {
    "0.02": Archive(
        name="speech_commands_v0.02",
        url="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        # as in the checksums of TensorFlow Datasets and of torchaudio
        sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
        size=2_428_923_189,
    ),
}
"""By version; Pete Warden, Google, CC-BY-4.0."""


def other_archive(url: str, sha256: str) -> Archive:
    """An archive from elsewhere; raises ParameterError for a URL without .tar.gz or no SHA-256."""
    name = PurePosixPath(url.split("?")[0]).name
    stem = re.sub(r"\.(tar\.gz|tgz)$", "", name)
    if stem == name or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", stem):
        raise ParameterError(f"url: need one that ends in a plain NAME.tar.gz, got {url!r:.200}")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ParameterError(f"sha256: need 64 hexadecimal digits, got {sha256!r:.80}")
    return Archive(stem, url, sha256.lower(), MAX_UNPACKED_BYTES)


def fetch(
    archive: Archive,
    folder: str | os.PathLike[str] = ".",
    progress: Progress = lambda what, done, total: None,
    keep_archive: bool = False,
) -> Path:
    """FOLDER/NAME with the contents of an archive; what is there already is left as it is.

    A download that was cut goes on where it ended, in this call and in the next one. The folder
    appears when everything is in it: a cut extraction leaves none.

    Raises DataError for a server that cannot be reached, an archive with another SHA-256, one that
    holds anything but plain files, and a disk that is full; MissingExtraError without pooch.
    """
    target = Path(folder) / archive.name
    if target.is_dir():
        return target
    if os.path.lexists(target):
        raise DataError(f"{target}: need a place for the data set, got a file; name another folder")
    packed = target.with_name(f"{archive.name}.tar.gz")
    download(archive, packed, progress)
    try:
        _unpack(packed, target, progress)
        if not keep_archive:
            packed.unlink()
    except OSError as error:
        raise DataError(
            f"{target}: need a place for the data set, got {error.strerror or error}"
        ) from error
    return target


def download(
    archive: Archive, path: Path, progress: Progress = lambda what, done, total: None
) -> None:
    """An archive as a file at `path`; one that is there and right is left as it is.

    A download that was cut goes on where it ended. Raises as `fetch` does.
    """
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError(
            f"need pooch to fetch data sets, got: {error}; pip install 'kws-stream[data]'"
        ) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{archive.name}.{archive.sha256[:12]}.part")
        pooch.get_logger().setLevel("ERROR")
        pooch.retrieve(
            archive.url,
            known_hash=f"sha256:{archive.sha256}",
            fname=path.name,
            path=path.parent,
            downloader=_Downloader(part, archive.size, progress),
        )
    except ValueError as error:  # pooch's word for a wrong checksum, and for an unknown protocol
        raise DataError(f"{archive.url}: {str(error).splitlines()[0]:.300}; try again") from error
    except OSError as error:
        raise DataError(
            f"{path}: need a place for the data set, got {error.strerror or error}"
        ) from error


class _Downloader:
    """For pooch, whose own downloaders start from the beginning: goes on with a partial file."""

    def __init__(self, part: Path, limit: int, progress: Progress) -> None:
        self._part = part
        self._limit = limit
        self._progress = progress

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        import requests

        fruitless = 0
        while True:
            before = self._have()
            try:
                if self._once(url):
                    break
                trouble: Exception | str = "the connection ended early"
            except (requests.ConnectionError, requests.Timeout) as error:
                trouble = error
            except requests.RequestException as error:
                trouble = error
                if not isinstance(error, requests.exceptions.ChunkedEncodingError):
                    raise DataError(f"{url}: need a server that has it, got {error}") from error
            fruitless = fruitless + 1 if self._have() <= before else 0
            if fruitless == FRUITLESS:
                raise DataError(
                    f"{url}: need the whole archive, got {self._have()} bytes and then "
                    f"{trouble!s:.200}; run it again, it goes on from there"
                )
            time.sleep(WAIT_S)
        shutil.move(self._part, output_file)

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _once(self, url: str) -> bool:
        """One request for what is missing; whether nothing is missing then."""
        import requests

        have = self._have()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=PATIENCE_S) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable and have:
                self._part.unlink()  # it may be more than the server has: from the beginning
                return False
            response.raise_for_status()
            goes_on = re.match(rf"bytes {have}-", response.headers.get("Content-Range", ""))
            if have and not (response.status_code == 206 and goes_on):
                have = 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length and length.isdigit() else None
            if max(have, total or 0) > self._limit:
                raise DataError(f"{url}: need {self._limit} bytes at most, got {total}")
            response.raw.enforce_content_length = False  # else what came before a cut is lost
            with open(self._part, "ab" if have else "wb") as file:
                for chunk in response.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    have += len(chunk)
                    self._progress("download", have, total)
                    if have > self._limit:
                        raise DataError(f"{url}: need {self._limit} bytes at most, got more")
                file.flush()
                os.fsync(file.fileno())
        return total is None or have >= total


def _unpack(packed: Path, target: Path, progress: Progress) -> None:
    """The plain files of an archive as a folder that appears when it is whole."""
    size = packed.stat().st_size
    try:
        with (
            replacing_folder(target) as new,
            open(packed, "rb") as file,
            tarfile.open(fileobj=file, mode="r|gz") as archive,
        ):
            for member in _checked(archive):
                archive.extract(member, new, filter="data")
                progress("unpack", file.tell(), size)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(
            f"{packed}: need an intact .tar.gz of plain files, got: {error!s:.200}"
        ) from error


def _checked(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members: folders and plain files whose names stay inside, and not too much."""
    unpacked = 0
    for count, member in enumerate(archive):
        parts = PurePosixPath(member.name).parts
        if not (member.isreg() or member.isdir()):
            raise tarfile.ReadError(f"{member.name!r:.100} is no plain file")
        if member.name.startswith("/") or ".." in parts or re.search(r"[\\:\0]", member.name):
            raise tarfile.ReadError(f"{member.name!r:.100} leads out of the folder")
        unpacked += member.size
        if count >= MAX_FILES or unpacked > MAX_UNPACKED_BYTES:
            raise tarfile.ReadError(f"more than {MAX_FILES} files or {MAX_UNPACKED_BYTES} bytes")
        yield member
