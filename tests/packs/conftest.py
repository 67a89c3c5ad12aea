"""A small pack, and a copy of it to break."""

import shutil
from pathlib import Path

import pytest

from tests.pack_factory import small_pack


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_pack(tmp_path_factory.mktemp("packs") / "tiny")


@pytest.fixture
def pack(intact: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(intact, tmp_path / "tiny"))
