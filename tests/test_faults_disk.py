"""A disk that fills up, cannot be written, or goes with its process while a command writes.

All moments of all commands are tried by `make faults`; here are some of some.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the extra: pip install 'kws-stream[report]'")
pytest.importorskip("onnx", reason="needs the extra: pip install 'kws-stream[onnx]'")

from tests.faults.disk import CASES, Disk, check, failing_disk, prepare, state

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("gcc") or shutil.which("clang")),
    reason="needs Linux and a C compiler",
)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with failing_disk(tmp_path_factory.mktemp("disk")) as started:
        yield started


@pytest.mark.parametrize("name", ["program", "export-web", "triggers label"])
def test_a_command_leaves_the_old_or_the_new_whatever_the_disk_does(
    name: str, disk: Disk, tmp_path: Path
) -> None:
    case, folder = CASES[name], tmp_path / "written"
    prepare(case, folder)
    done = disk.run(case, folder)
    assert done["status"] == 0, done["printed"]
    after, calls = state(folder), done["calls"]
    check(disk, case, folder, "read-only", 1, after)
    check(disk, case, folder, "full", 2, after)
    for at in sorted({1, 2, calls // 2, calls - 1}):
        check(disk, case, folder, "killed", at, after)


def test_the_shim_is_heard(disk: Disk, tmp_path: Path) -> None:
    case = CASES["program"]
    prepare(case, tmp_path)
    answer = disk.run(case, tmp_path, "full", 1)
    assert os.strerror(28) in answer["printed"]
