"""Files of a pack: anything missing, changed, unsafe or too large is one clear PackError."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import packs
from kws_stream.errors import PackError
from kws_stream.packs import loading
from tests.pack_factory import (
    edit_manifest,
    manifest_fields,
    random_network,
    replace_file,
)
from tests.packs.pack_bytes import FILES, arrays_of, refused

# Files.


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(pack: Path, name: str) -> None:
    (pack / name).unlink()
    assert f"{name} is missing" in refused(pack)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_changed_file_is_named(pack: Path, name: str) -> None:
    with (pack / name).open("ab") as file:
        file.write(b" ")
    assert f"{name} has another SHA-256" in refused(pack)


@pytest.mark.parametrize(
    "name",
    [
        "../network.npz",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "..",
        ".",
        "",
        ".hidden",
        "C:x",
        "x\n",
        "x" * 101,
    ],
)
def test_a_name_that_is_not_a_plain_file_name_is_refused(pack: Path, name: str) -> None:
    shutil.copy(pack / "network.npz", pack.parent)

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][name] = manifest["files"].pop("network.npz")
        manifest["network"] = name

    edit_manifest(pack, change)
    assert "need a plain file name" in refused(pack)


@pytest.mark.parametrize("name", FILES)
def test_a_link_out_of_the_pack_is_refused(pack: Path, name: str) -> None:
    (pack / name).rename(pack.parent / name)
    (pack / name).symlink_to(pack.parent / name)
    assert "leads out of the pack" in refused(pack)


def test_a_loop_of_links_is_refused(pack: Path) -> None:
    (pack / "network.npz").unlink()
    (pack / "network.npz").symlink_to("network.npz")
    assert "network.npz" in refused(pack)


@pytest.mark.parametrize("name", FILES[:2])
def test_a_folder_in_place_of_a_file_is_refused(pack: Path, name: str) -> None:
    (pack / name).unlink()
    (pack / name).mkdir()
    assert name in refused(pack)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
@pytest.mark.parametrize("name", FILES[:2])
def test_a_named_pipe_does_not_hang_the_reader(pack: Path, name: str) -> None:
    (pack / name).unlink()
    os.mkfifo(pack / name)
    assert f"{name} is not a regular file" in refused(pack)


@pytest.mark.parametrize(("name", "limit"), [("manifest.json", 2**20), ("network.npz", 2**26)])
def test_a_file_over_its_limit_is_refused(pack: Path, name: str, limit: int) -> None:
    os.truncate(pack / name, limit + 1)  # sparse: takes no room
    assert f"{name} is too large" in refused(pack)


def test_a_file_is_read_once_and_what_was_hashed_is_parsed(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = arrays_of(packs.load(pack).network)
    other = random_network(5, seed=1).parameters
    evil = packs.save(pack.parent / "evil", manifest_fields(), other) / "network.npz"
    read = loading._read_file
    reads = []

    def read_and_swap(directory: Path, name: str, limit: int) -> bytes:
        data = read(directory, name, limit)
        reads.append(name)
        if name == "network.npz":
            shutil.copy(evil, pack / name)
        return data

    monkeypatch.setattr(loading, "_read_file", read_and_swap)
    assert arrays_of(packs.load(pack).network) == wanted
    assert sorted(reads) == sorted(FILES)


def test_files_that_are_not_listed_are_not_read(pack: Path) -> None:
    (pack / "notes.txt").write_text("mine")
    packs.load(pack)


# Any byte, anywhere.


@settings(derandomize=True, deadline=None, max_examples=300)
@given(data=st.data())
def test_flipped_bytes_are_refused_or_change_no_array(intact: Path, data: st.DataObject) -> None:
    wanted = arrays_of(packs.load(intact).network)
    name = data.draw(st.sampled_from(FILES))
    broken = bytearray((intact / name).read_bytes())
    places = st.tuples(st.integers(0, len(broken) - 1), st.integers(1, 255))
    for at, flip in data.draw(st.lists(places, min_size=1, max_size=3)):
        broken[at] ^= flip
    if broken == (intact / name).read_bytes():
        return
    copy = intact.parent / "flipped"
    shutil.copytree(intact, copy)
    try:
        (copy / name).write_bytes(broken)
        try:
            pack = packs.load(copy)
        except PackError:
            return
        assert name == "manifest.json"  # all else has a SHA-256
        assert arrays_of(pack.network) == wanted
        assert pack.network.exactness.exact
    finally:
        shutil.rmtree(copy)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(data=st.data())
def test_a_forged_network_is_refused_or_makes_sense(intact: Path, data: st.DataObject) -> None:
    """Flipped bytes with the right SHA-256: the archive, the headers and the numbers."""
    broken = bytearray((intact / "network.npz").read_bytes())
    places = st.tuples(st.integers(0, len(broken) - 1), st.integers(1, 255))
    for at, flip in data.draw(st.lists(places, min_size=1, max_size=3)):
        broken[at] ^= flip
    copy = intact.parent / "forged"
    shutil.copytree(intact, copy)
    try:
        replace_file(copy, "network.npz", bytes(broken))
        pack = packs.load(copy)
        assert pack.network.exactness.exact
    except PackError:
        pass
    finally:
        shutil.rmtree(copy)
