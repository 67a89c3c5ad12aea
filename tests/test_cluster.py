"""Evaluations on a cluster of several processes: the JSON of this machine, to the bit."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kws_stream.cli import main
from kws_stream.evaluation import TASKS, evaluate
from tests.clip_folders import COMMANDS, build_words
from tests.pack_factory import build_pack

distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=2, processes=True, dashboard_address=":0"
    ) as started:
        yield started


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs") / "twelve"
    return build_pack(folder, classes=TASKS["v2-12"], keywords=COMMANDS, cells=(6, 6))


def printed(*words: object) -> str:
    done = CliRunner().invoke(main, [*map(str, words), "--json", "-"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)
    return done.stdout


def test_evaluate_prints_the_same_json(cluster: Any, words: Path, pack: Path) -> None:
    command = ("evaluate", words, "--task", "v2-12", "-m", pack, "--snr", "--check-streaming")
    here = printed(*command, "--jobs", 1)
    assert printed(*command, "--cluster", cluster.scheduler_address) == here


def test_evaluate_stream_prints_the_same_json(cluster: Any, words: Path, pack: Path) -> None:
    command = ("evaluate-stream", words / "yes", words / "no", "-m", pack)
    options = ("--synthesise", words, "--hours", 0.02)
    here = printed(*command, *options, "--jobs", 1)
    assert printed(*command, *options, "--cluster", cluster.scheduler_address) == here


def test_a_worker_killed_during_an_evaluation_changes_nothing(
    cluster: Any, words: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kws_stream.evaluation.processes.CLIPS_AT_ONCE", 1)
    here = evaluate(words, "v2-12", model=pack, jobs=1)
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if not killed:
            killed.append(cluster.workers[1].pid)
            os.kill(killed[0], signal.SIGKILL)

    there = evaluate(words, "v2-12", model=pack, progress=kill, cluster=cluster.scheduler_address)
    assert killed
    assert there == here
