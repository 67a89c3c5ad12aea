"""A live stream whose surroundings fail: nobody reads what it prints, the clock jumps."""

import ast
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kws_stream import packs
from tests.pack_factory import build_pack
from tests.test_architecture import FILES, ROOT
from tests.wyoming_client import DETECTOR, events_of, int16_noise


def test_a_reader_that_stalls_loses_nothing_of_a_pipe(tmp_path: Path) -> None:
    """More events than a pipe holds; the writer of the sound waits, and is heard to its end."""
    pack = packs.load(build_pack(tmp_path / "tiny", graphs=False, seed=9, detector=DETECTOR))
    pcm = int16_noise(150.0)
    words = [sys.executable, "-m", "kws_stream", "detect", "-m", str(pack.path), "--json", "-"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        sound = process.stdin

        def play() -> None:
            sound.write(pcm.tobytes())
            sound.close()

        writer = threading.Thread(target=play)
        writer.start()
        writer.join(1.0)  # nobody has read a line yet
        lines = process.stdout.read().splitlines()
        writer.join(30)
        assert process.wait(30) == 0
    assert [json.loads(line)["time_s"] for line in lines] == [
        e.time_s for e in events_of(pack, pcm)
    ]
    assert sum(map(len, lines)) > 2**16


def calls(source: str) -> list[str]:
    nodes = ast.walk(ast.parse(source))
    return [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_duration_is_taken_from_a_clock_that_people_set(path: Path) -> None:
    """The time of day is for names and records: seconds are of samples, or monotonic."""
    found = calls(path.read_text("utf-8"))
    assert "time.time" not in found
    if any(call.startswith("datetime.") for call in found):
        assert path.name in {"live_view.py", "triggers.py", "service.py"}
