"""Files appear whole or not at all: on a full disk, after errors, when a process is killed."""

import ast
import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kws_stream import files
from tests.test_architecture import FILES, ROOT

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and locks of another kind")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full(*args: object, **settings: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in ("\u00fc\n", b"\0\xff", ""):
        files.write(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("fault", ["fsync", "replace", "body"])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_fault_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, before: bytes | None
) -> None:
    path = tmp_path / "a.json"
    if before is not None:
        path.write_bytes(before)
    if fault in ("fsync", "replace"):
        monkeypatch.setattr(os, fault, full)

    def fill() -> None:
        with files.replacing(path) as file:
            file.write(b"half of it")
            if fault == "body":
                full()

    with pytest.raises(OSError, match="No space"):
        fill()
    assert names(tmp_path) == ([] if before is None else ["a.json"])
    assert before is None or path.read_bytes() == before


def test_the_data_is_on_the_disk_before_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    fsync, replace = os.fsync, os.replace

    def noted(number: int) -> None:
        folder = os.path.isdir(f"/proc/self/fd/{number}") if sys.platform == "linux" else None
        done.append("folder" if folder or (done and folder is None) else "file")
        fsync(number)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", lambda *pair: (done.append("replace"), replace(*pair)))
    files.write(tmp_path / "a", "x")
    assert done == (["file", "replace"] if os.name == "nt" else ["file", "replace", "folder"])


def test_a_folder_that_cannot_be_flushed_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems refuse it."""
    fsync = os.fsync

    def refused(number: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{number}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(number)

    monkeypatch.setattr(os, "fsync", refused)
    files.write(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"


@POSIX
def test_links_are_followed_modes_stay_and_devices_are_written_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "a"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    files.write(link, "new")
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o640)
    files.write("/dev/null", "gone")
    assert not Path("/dev/null").is_file()
    assert names(tmp_path) == ["link", "real"]


def filled(folder: Path, text: str) -> None:
    for name in ("a", "b"):
        (folder / name).write_text(text)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = tmp_path / "pack"
    for text in ("old", "new"):
        with files.replacing_folder(target) as folder:
            filled(folder, text)
        assert {path.read_text() for path in target.iterdir()} == {text}
    assert names(tmp_path) == ["pack"]

    def fill(then: Callable[[], None]) -> None:
        with files.replacing_folder(target) as folder:
            filled(folder, "newer")
            then()

    with pytest.raises(OSError, match="No space"):
        fill(full)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        fill(lambda: None)
    assert {path.read_text() for path in target.iterdir()} == {"new"}
    assert names(tmp_path) == ["pack"]


KILLED = """
import os, signal, sys
from pathlib import Path
from kws_stream import files

target, point = Path(sys.argv[1]), sys.argv[2]
end = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
if point in ("fsync", "replace"):
    setattr(os, point, end)
if point == "rename":
    files._exchange = lambda one, other: False
    first = Path.rename
    Path.rename = lambda path, to: (first(path, to), end())
if sys.argv[3] == "file":
    with files.replacing(target) as file:
        file.write(b"new")
        if point == "body":
            end()
else:
    with files.replacing_folder(target) as folder:
        (folder / "a").write_text("new")
        if point == "body":
            end()
"""


@POSIX
@pytest.mark.parametrize("point", ["body", "fsync", "replace"])
def test_a_killed_writer_leaves_the_old_file_and_the_next_write_clears_up(
    tmp_path: Path, point: str
) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    words = [sys.executable, "-c", KILLED, str(target), point, "file"]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(names(tmp_path)) == 2
    files.write(target, "newer")
    assert names(tmp_path) == ["a"]
    assert target.read_text() == "newer"


@POSIX
@pytest.mark.parametrize("point", ["body", "fsync", "rename"])
def test_a_killed_writer_of_a_folder_costs_nothing(tmp_path: Path, point: str) -> None:
    target = tmp_path / "pack"
    target.mkdir()
    (target / "a").write_text("old")
    words = [sys.executable, "-c", KILLED, str(target), point, "folder"]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    with contextlib.suppress(RuntimeError), files.replacing_folder(target):
        raise RuntimeError("only to clear up")
    assert names(tmp_path) == ["pack"]
    assert (target / "a").read_text() == "old"


@POSIX
def test_what_another_process_is_writing_is_left_to_it(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with files.replacing(target) as file:
        file.write(b"slow")
        files.write(target, "quick")
        assert files.clear(tmp_path, ".*.part") == []
        assert target.read_text() == "quick"
    assert target.read_text() == "slow"
    assert names(tmp_path) == ["a"]
    (tmp_path / ".b.part").touch()
    assert files.clear(tmp_path, ".*.part") == [tmp_path / ".b.part"]


TEMPORARY = {  # write to folders that nobody else sees, and that go at once or are moved whole
    *("kws_stream/files.py", "kws_stream/packs/saving.py", "kws_stream/spice/tools.py"),
    *("kws_stream/speech/phrase.py", "firmware_sim/toolchain.py", "firmware_sim/export_c.py"),
    "firmware_sim/cortex_m/__init__.py",
}
WRITERS = {"write_text", "write_bytes", "rename", "save_file", "copyfile", "copytree", "os.replace"}
INTO_FILES = {"savefig", "savez", "np.save", "soundfile.write"}  # given an open file, all is well


def unsafe_writes(source: str) -> list[str]:
    """Calls that write a file under its own name, or move one, by themselves."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        names = {called, called.rpartition(".")[2]}
        first = ast.unparse(node.args[0]) if node.args else ""
        modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
        opens = "open" in names and any(
            isinstance(mode, str) and len(mode) <= 3 and set(mode) & set("wax") for mode in modes
        )
        moves = "replace" in names and len(node.args) == 1 and not node.keywords
        by_name = names & INTO_FILES and first not in ("file", "stream", "wav")
        if opens or moves or names & WRITERS or by_name:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_is_written_through_the_helper(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() in TEMPORARY:
        return
    faults = unsafe_writes(path.read_text("utf-8"))
    # a download that is cut goes on later: there the part is what is wanted
    faults = [call for call in faults if "self._part" not in call]
    # and what goes into the new folder of `replacing_folder` is moved whole
    faults = [call for call in faults if not call.startswith("(new / ")]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "source",
    [
        "path.write_text('x')",
        "open(path, 'w')",
        "path.open('ab')",
        "os.replace(a, b)",
        "part.replace(path)",
        "figure.savefig(path)",
        "np.savez(path, a)",
        "soundfile.write(path, pcm, 16000)",
    ],
)
def test_the_rule_sees_a_write(source: str) -> None:
    assert unsafe_writes(source)
    assert not unsafe_writes("text.replace('a', 'b')\nopen(path, 'rb')\nfigure.savefig(file)")
