"""The fuzzing targets: their seeds, what they once found, and a moment of mutations of both."""

import importlib.util
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
pytest.importorskip("starlette", reason="needs the extra: pip install 'kws-stream[web]'")
pytest.importorskip("onnx", reason="needs the extra: pip install 'kws-stream[onnx]'")

from fuzz import native
from fuzz.__main__ import KEPT
from fuzz.model import small_pack
from fuzz.python import TARGETS
from kws_stream import packs

ROOT = Path(__file__).parents[1]
MUTATIONS = 60
MISSING = native.missing()


def inputs(name: str) -> list[bytes]:
    return [*TARGETS[name].seeds(), *(path.read_bytes() for path in sorted(KEPT.glob(f"{name}/*")))]


def mutations(found: list[bytes]) -> Iterator[bytes]:
    """Bytes changed, left out and put in, the same every time."""
    rng = random.Random(0)
    for _ in range(MUTATIONS):
        data = bytearray(rng.choice(found)[:2048])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
        yield bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_strangers_send_is_refused_in_a_sentence_or_taken(name: str) -> None:
    found = inputs(name)
    assert found
    for data in (*found, *mutations(found)):
        TARGETS[name].run(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("recipe", b'name = "x"\ntask = "yes"'),
        ("labels", b'{"words": [{"word": "yes", "start_s": 0.5, "end_s": 1.0}]}'),
        ("pack_graph", b"\x08"),
    ],
)
def test_a_target_sees_a_broken_promise(
    name: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise KeyError("a foreign error")

    places = {"recipe": "fuzz.text.shown", "labels": "fuzz.text.read_labels"}
    monkeypatch.setattr(places.get(name, "fuzz.pack_files.check_graph"), broken)
    with pytest.raises(KeyError):
        TARGETS[name].run(data)


def test_the_small_model_is_made_anew_where_one_was_left(tmp_path: Path) -> None:
    first = packs.load(small_pack(tmp_path / "pack"))
    assert packs.load(small_pack(tmp_path / "pack")).manifest == first.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in KEPT.iterdir()} <= {*TARGETS, *native.TARGETS}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return native.build(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.parametrize("name", native.TARGETS)
def test_the_c_sources_are_clean_under_asan_and_ubsan(
    name: str, programs: dict[str, Path], tmp_path: Path
) -> None:
    for number, data in enumerate(native.seeds(name)):
        (tmp_path / f"{number:03}").write_bytes(data)
    places = [tmp_path, *([KEPT / name] if (KEPT / name).is_dir() else [])]
    options = ["-seed=1", "-runs=150", "-max_len=4096", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run([programs[name], *options, *places], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr


@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="needs the extra fuzz")
def test_the_runner_tells_what_a_target_did_and_what_there_is(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fuzz", "--folder", str(tmp_path), "--minutes", "0.02"]
    done = subprocess.run([*words, "labels"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout
    done = subprocess.run([*words, "lables"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "need targets that can run here" in done.stderr
