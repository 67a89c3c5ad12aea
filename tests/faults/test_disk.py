"""Every command that writes, and a disk that fails it at every moment: minutes."""

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
MOST = 12  # moments of a command, spread over all of its calls
_injected: list[str] = []


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with failing_disk(tmp_path_factory.mktemp("disk")) as started:
        yield started
    print(f"\n{len(_injected)} faults injected")


@pytest.mark.parametrize("name", CASES)
def test_at_every_moment(name: str, disk: Disk, tmp_path: Path) -> None:
    case, folder = CASES[name], tmp_path / "written"
    prepare(case, folder)
    done = disk.run(case, folder)
    assert done["status"] == 0, done["printed"]
    after, calls = state(folder), done["calls"]
    prepare(case, folder)
    assert disk.run(case, folder)["status"] == 0
    assert state(folder) == after, "a command that writes others each time cannot be compared"
    moments = sorted({1 + round(i * (calls - 1) / (MOST - 1)) for i in range(MOST)})
    check(disk, case, folder, "read-only", 1, after)
    _injected.append("read-only")
    for at in moments:
        for kind in ("full", "killed"):
            check(disk, case, folder, kind, at, after)
            _injected.append(kind)
