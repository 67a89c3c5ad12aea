"""Evaluations and studies on a cluster of several processes: the JSON of one here, to the bit."""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kws_stream import packs
from kws_stream import workers as workers_module
from kws_stream.bmru.chip import ChipSettings
from kws_stream.cli import main
from kws_stream.evaluation import TASKS, evaluate
from kws_stream.studies import load_utterances, montecarlo
from kws_stream.workers import Workers
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
    done = CliRunner().invoke(main, [*map(str, words), "--json"])
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


@pytest.mark.parametrize(
    "study",
    [
        ("montecarlo", "--chips", 120, "--mismatch", 10),
        ("noise", "--draws", 2, "--level", 0.05),
        ("robustness", "--chips", 2),
        ("pvt", "--chips", 2),
        ("quantise", "--weights", 5),
        ("scaling", "--also", "commands-12"),
    ],
    ids=lambda study: study[0],
)
def test_studies_of_chips_print_the_same_json(cluster: Any, study: tuple[object, ...]) -> None:
    command = ("chip", *study, "--clips", 6)
    here = printed(*command, "--jobs", 1)
    assert printed(*command, "--cluster", cluster.scheduler_address) == here


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


def test_a_worker_killed_during_a_study_of_chips_changes_nothing(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kws_stream.studies.simulation.CHIPS_AT_ONCE", 4)
    pack = packs.load("yes-4")
    utterances = load_utterances(pack, clips=6)
    settings = ChipSettings(mismatch_percent=10, candidate_noise_na=0.02)
    here = montecarlo(pack, utterances, settings, 80)
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if not killed:
            killed.append(cluster.workers[2].pid)
            os.kill(killed[0], signal.SIGKILL)

    with Workers(cluster=cluster.scheduler_address) as there:
        found = montecarlo(pack, utterances, settings, 80, workers=there, progress=kill)
    assert killed
    assert found.as_dict() == here.as_dict()


def slowly(number: int) -> int:
    time.sleep(0.2)
    return number


def test_a_cluster_whose_last_worker_is_gone_is_told_and_goes_on_with_a_new_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers_module, "POLL_S", 0.1)
    monkeypatch.setattr(workers_module, "GONE_S", 0.3)
    own = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    )
    with own, Workers(cluster=own.scheduler_address) as workers:
        results = workers.map(slowly, range(8))
        done = [next(results)]
        own.scale(0)
        help_comes = threading.Timer(0.1, own.scale, [1])

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                help_comes.start()

        log = logging.getLogger("kws_stream.workers")
        handler = Handler()
        log.addHandler(handler)
        try:
            done += list(results)
        finally:
            log.removeHandler(handler)
            help_comes.join()
    assert done == list(range(8))
    assert [record.getMessage() for record in caplog.records if "no worker" in record.getMessage()]
