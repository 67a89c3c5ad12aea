"""Data sets: downloads that are cut go on, wrong or evil archives leave nothing behind."""

import gzip
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kws_stream.cli import main
from kws_stream.errors import DataError, ParameterError
from kws_stream.evaluation import fetching
from kws_stream.evaluation.fetching import SPEECH_COMMANDS, Archive, fetch, other_archive

pytest.importorskip("pooch", reason="the extra data is not installed")


class Server(ThreadingHTTPServer):
    """Serves `content`; cuts each of the first answers after so many bytes."""

    content = b""
    cuts: list[int]
    ranges = True
    asked: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/words.tar.gz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content, wanted = self.server.content, self.headers["Range"]
        self.server.asked.append(wanted)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        if self.path != "/words.tar.gz":
            self.send_error(404)
            return
        if wanted and self.server.ranges:
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            start = 0
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[start : start + stop])

    def log_message(self, *words: Any) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "WAIT_S", 0)
    with Server(("127.0.0.1", 0), Handler) as started:
        started.cuts, started.asked = [], []
        started.content = packed({"yes/a.wav": bytes(range(256)) * 40, "LICENSE": b"CC-BY"})
        thread = threading.Thread(target=started.serve_forever, daemon=True)
        thread.start()
        yield started
        started.shutdown()


def packed(files: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in others:
            archive.addfile(member)
    return buffer.getvalue()


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def archive_of(server: Server) -> Archive:
    return other_archive(server.url, hashlib.sha256(server.content).hexdigest())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_archive_becomes_a_folder(server: Server, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int | None]] = []
    folder = fetch(archive_of(server), tmp_path / "new", lambda *news: heard.append(news))
    assert folder == tmp_path / "new" / "words"
    assert (folder / "yes" / "a.wav").read_bytes() == bytes(range(256)) * 40
    assert names(tmp_path / "new") == ["words"]
    size = len(server.content)
    assert ("download", size, size) in heard
    assert heard[-1][0] == "unpack"


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch(archive_of(server), tmp_path, keep_archive=True)
    assert names(tmp_path) == ["words", "words.tar.gz"]
    fetch(archive_of(server), tmp_path)
    assert len(server.asked) == 1


def test_a_cut_download_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = [100, 50, 200]
    fetch(archive_of(server), tmp_path)
    assert server.asked == [None, "bytes=100-", "bytes=150-", "bytes=350-"]
    assert (tmp_path / "words" / "LICENSE").read_bytes() == b"CC-BY"


def test_the_next_call_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.cuts = [100, *[0] * fetching.FRUITLESS]
    with pytest.raises(DataError, match="got 100 bytes and then"):
        fetch(archive_of(server), tmp_path)
    assert not (tmp_path / "words").exists()
    fetch(archive_of(server), tmp_path)
    assert server.asked[-1] == "bytes=100-"
    assert names(tmp_path) == ["words"]


def test_a_server_that_cannot_go_on_starts_again(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranges = [100], False
    fetch(archive_of(server), tmp_path)
    assert names(tmp_path) == ["words"]


def test_a_part_that_is_longer_than_the_archive_starts_again(
    server: Server, tmp_path: Path
) -> None:
    archive = archive_of(server)
    (tmp_path / f".words.{archive.sha256[:12]}.part").write_bytes(b"x" * 10**6)
    fetch(archive, tmp_path)
    assert names(tmp_path) == ["words"]


def test_another_checksum_is_refused_and_nothing_stays(server: Server, tmp_path: Path) -> None:
    archive = archive_of(server)
    server.content = packed({"yes/a.wav": b"others"})
    with pytest.raises(DataError, match=r"(?i)hash"):
        fetch(archive, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "evil",
    [
        member("yes/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("yes/link", tarfile.LNKTYPE, "LICENSE"),
        member("../outside", tarfile.REGTYPE),
        member("/tmp/outside", tarfile.REGTYPE),
        member("C:\\outside", tarfile.REGTYPE),
        member("yes/pipe", tarfile.FIFOTYPE),
        member("yes/device", tarfile.CHRTYPE),
    ],
    ids=lambda evil: f"{evil.name} {evil.type!r}",
)
def test_anything_but_plain_files_inside_is_refused(
    server: Server, tmp_path: Path, evil: tarfile.TarInfo
) -> None:
    server.content = packed({"LICENSE": b"CC-BY"}, evil)
    with pytest.raises(DataError, match="plain files"):
        fetch(archive_of(server), tmp_path / "in")
    assert names(tmp_path) == ["in"]
    assert names(tmp_path / "in") == ["words.tar.gz"]


def test_an_archive_that_unpacks_to_too_much_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = packed({"zeros": bytes(10**6)})
    monkeypatch.setattr(fetching, "MAX_UNPACKED_BYTES", 10**5)
    with pytest.raises(DataError, match="more than"):
        fetch(archive_of(server), tmp_path)
    assert names(tmp_path) == ["words.tar.gz"]


@pytest.mark.parametrize("cut", ["middle", "no tar", "no gzip"])
def test_a_broken_archive_never_looks_like_a_data_set(
    server: Server, tmp_path: Path, cut: str
) -> None:
    whole = server.content
    server.content = {
        "middle": whole[: len(whole) // 2],
        "no tar": gzip.compress(b"x" * 5000),
        "no gzip": b"<html>",
    }[cut]
    with pytest.raises(DataError, match="intact"):
        fetch(archive_of(server), tmp_path)
    assert names(tmp_path) == ["words.tar.gz"]


def test_more_bytes_than_promised_are_not_downloaded(server: Server, tmp_path: Path) -> None:
    archive = archive_of(server)
    with pytest.raises(DataError, match="100 bytes at most"):
        fetch(Archive(archive.name, archive.url, archive.sha256, 100), tmp_path)
    assert not (tmp_path / "words").exists()


def test_no_server_and_no_file_are_said_in_a_sentence(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="need the whole archive, got 0 bytes"):
        fetch(other_archive("http://127.0.0.1:1/words.tar.gz", "0" * 64), tmp_path)
    with pytest.raises(DataError, match="404"):
        fetch(other_archive(server.url.replace("words", "other"), "0" * 64), tmp_path)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="need a place"):
        fetch(archive_of(server), tmp_path / "file")


@pytest.mark.parametrize(
    ("url", "sha256"),
    [("http://x/words.zip", "0" * 64), ("http://x/..tar.gz", "0" * 64), ("http://x/a.tgz", "0")],
)
def test_addresses_and_checksums_that_are_none_are_refused(url: str, sha256: str) -> None:
    with pytest.raises(ParameterError, match="need"):
        other_archive(url, sha256)


def test_the_command_prints_the_folder(server: Server, tmp_path: Path) -> None:
    words = ["data", "fetch", "speech-commands", "-o", str(tmp_path), "--url", server.url]
    digest = hashlib.sha256(server.content).hexdigest()
    done = CliRunner().invoke(main, [*words, "--sha256", digest])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "words")
    mirror = CliRunner().invoke(main, words)  # of the official archive, which it is not
    assert mirror.exit_code == 1
    assert not (tmp_path / "speech_commands_v0.02").exists()
    assert CliRunner().invoke(main, [*words[:5], "--sha256", digest]).exit_code == 2


def test_official_archives_come_with_a_checksum() -> None:
    for archive in SPEECH_COMMANDS.values():
        assert re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
        assert archive.url.startswith("http://download.tensorflow.org/data/speech_commands_v")
