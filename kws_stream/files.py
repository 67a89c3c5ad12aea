"""Files and folders that appear whole or not at all, and stay after a power cut.

What is written goes to a temporary name beside the target, reaches the disk (fsync), and only then
takes the target's name. A process that is killed leaves the old file, or the new one; its temporary
file goes with the next write to the same place. Everything here raises OSError.
"""

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PART = ".part"  # ending of temporary files: .NAME.part, or .NAME.XXXXXXXX.part if that is taken
NEW, OLD = ".new", ".old"  # of temporary folders
MANY = 1000  # files of a folder; beyond, the whole system is flushed at once
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_AT_FDCWD = -100


def decoded(data: bytes) -> str:
    """Text of a file that another program wrote: UTF-8, or UTF-16 where a byte order mark says so.

    Raises UnicodeDecodeError for bytes that are neither.
    """
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file of that text (UTF-8) or those bytes, all of it or nothing."""
    with replacing(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the name `path` at the end of the body.

    An error in the body, or while the file reaches the disk, leaves what was there. A link is
    followed, and what is no plain file, such as /dev/stdout, is written to as it is.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        with target.open("wb") as device:
            yield device
        return
    part, file = _new_part(target)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, part)
            if os.name != "nt":  # while we hold its lock, so that nobody takes it for a leftover
                os.replace(part, target)
        if os.name == "nt":  # where an open file has to keep its name
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(target.parent)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """An empty folder to fill, which takes the name `path` at the end of the body.

    A folder that is there is replaced whole. An error leaves what was there.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_folders(target)
    new, old = _temporary(target, NEW), _temporary(target, OLD)
    try:
        new.mkdir()
        with locked(new, shared=True):
            yield new
            _sync_below(new)
            if not target.exists():
                new.rename(target)
            elif not _exchange(new, target):
                target.rename(old)
                new.rename(target)
    finally:
        if old.exists() and not target.exists():  # interrupted between both renames
            old.rename(target)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(target.parent)


def check_file(path: str | os.PathLike[str]) -> None:
    """Raises OSError for a place where `replacing` could not write: before long work, not after."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if stat.S_ISREG(mode):
        _check_writable(target.parent)
    elif not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raises OSError where files could not be written in a folder, or where it cannot be made."""
    target = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        target.stat()  # a name that is too long, above all
    _check_writable(next(place for place in (target, *target.parents) if os.path.lexists(place)))


def _check_writable(folder: Path) -> None:
    number = errno.ENOENT if not folder.exists() else errno.ENOTDIR
    if folder.is_dir():
        number = 0 if os.access(folder, os.W_OK | os.X_OK) else errno.EACCES
    if number:
        raise OSError(number, os.strerror(number), str(folder))


def clear(folder: Path, names: str) -> list[Path]:
    """Remove temporary files whose names match `names`, a pattern of `glob`; give those removed.

    What a living process of this machine is writing stays.
    """
    removed = []
    for part in sorted(folder.glob(names)):
        if _is_abandoned(part):
            with contextlib.suppress(OSError):
                part.unlink()
                removed.append(part)
    return removed


def set_aside(path: Path) -> Path:
    """Give a damaged file a name at which nobody looks for it: NAME.damaged; returns that."""
    kept = path.with_name(f"{path.name}.damaged")
    os.replace(path, kept)
    return kept


@contextlib.contextmanager
def locked(folder: Path, *, shared: bool) -> Iterator[bool]:
    """Hold a folder: shared by many processes, or alone; yields whether it is held.

    Nobody waits, and only those that ask are kept apart. Where the system has no such locks, all
    share and nobody is alone.
    """
    if os.name == "nt":
        yield shared
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(number, shared)
    finally:
        os.close(number)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder reach the disk, where the system can do that."""
    if os.name == "nt":
        return
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:  # a folder that may be written and not read
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC):
            raise
    finally:
        os.close(number)


def _new_part(target: Path) -> tuple[Path, IO[bytes]]:
    """A new temporary file for a target, locked while it is open; what a killed process left of
    the same target goes.
    """
    part = target.with_name(f".{target.name}{PART}")
    while True:
        try:
            file = part.open("xb+")
        except FileExistsError:
            if os.name != "nt" and _is_abandoned(part):
                part.unlink(missing_ok=True)
            else:
                part = _temporary(target, PART)
            continue
        if _lock(file.fileno()) and _is_open_at(file, part):
            return part, file
        file.close()  # somebody took it for a leftover before it was locked


def _is_open_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _temporary(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{ending}")


def _lock(number: int, shared: bool = False) -> bool:
    """Lock an open file until its process ends or closes it; False where another one has it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(number, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_abandoned(temporary: Path) -> bool:
    """Whether no process has a temporary file or folder in its hands."""
    if os.name == "nt":
        return temporary.is_file()  # an open one cannot be removed there
    try:
        number = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return _lock(number)
    finally:
        os.close(number)


def _clear_folders(target: Path) -> None:
    """Undo what killed processes left of a folder: what they moved away comes back."""
    left = [
        path
        for path in target.parent.glob(".*")
        if path.suffix in (NEW, OLD) and path.name.startswith(f".{target.name}.")
    ]
    for path in left:
        if path.suffix == OLD and not target.exists() and _is_abandoned(path):
            path.rename(target)
    for path in left:
        if path.is_dir() and _is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _sync_below(folder: Path) -> None:
    """Make all that is in a folder reach the disk."""
    paths = list(folder.rglob("*"))
    if len(paths) > MANY and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        if path.is_dir():
            sync_folder(path)
            continue
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    sync_folder(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders take each other's name in one step, as Linux can; whether it did."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) == 0)
