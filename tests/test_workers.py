"""One function over many items: any number of processes, any cluster, the results of a loop."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kws_stream import KeywordSpotter, packs, workers
from kws_stream.errors import InputError, ParameterError, WorkerError
from kws_stream.workers import Workers
from tests.pack_factory import build_pack

ITEMS = tuple(range(23))


def draw(seed: int) -> bytes:
    return np.random.default_rng(seed).random(100).tobytes()


def slowly(seed: int) -> tuple[int, bytes]:
    time.sleep(0.05)
    return os.getpid(), draw(seed)


def refuse_seven(item: int) -> int:
    if item == 7:
        raise InputError(f"need no {item}")
    return item


def threads(item: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def die(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class DieOnce:
    """Kills the first process that it is called in."""

    marker: Path

    def __call__(self, item: int) -> bytes:
        if item == 5 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return draw(item)


@dataclass(frozen=True)
class Hear:
    """What a model makes of noise."""

    pack: packs.Pack

    def __call__(self, seed: int) -> bytes:
        noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 16_000).astype(np.float32)
        (trace,) = KeywordSpotter(self.pack).trace(noise)
        return trace.logits.tobytes()


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> packs.Pack:
    return packs.load(build_pack(tmp_path_factory.mktemp("packs") / "tiny"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as started:
        yield started


def test_results_come_in_order_from_any_number_of_processes(pack: packs.Pack) -> None:
    wanted = [Hear(pack)(seed) for seed in ITEMS]
    for jobs, at_once in ((1, 1), (2, 5), (3, 23)):
        heard: list[tuple[int, int]] = []
        with Workers(jobs) as here:
            found = here.map(
                Hear(pack), ITEMS, at_once=at_once, progress=lambda *n, to=heard: to.append(n)
            )
            assert list(found) == wanted
        assert heard[-1] == (23, 23)
        assert [done for done, _ in heard] == sorted({done for done, _ in heard})


def test_processes_have_one_thread_each_and_are_kept_for_the_next_map() -> None:
    with Workers(2) as here:
        first, second = (set(here.map(threads, ITEMS)) for _ in range(2))
    assert len(first | second) <= 2
    assert {number for _, number in first | second} == {"1"}
    assert os.getpid() not in dict(first | second)


def test_nothing_to_do_starts_nothing() -> None:
    with Workers(cluster="tcp://127.0.0.1:1") as nowhere:
        assert list(nowhere.map(draw, [])) == []
    with Workers(1) as here:
        assert list(here.map(threads, [0])) == [threads(0)]  # in this very process


def test_an_error_of_the_function_ends_the_map_but_not_the_workers() -> None:
    for jobs in (1, 2):
        with Workers(jobs) as here:
            found = here.map(refuse_seven, ITEMS)
            assert [next(found) for _ in range(7)] == list(range(7))
            with pytest.raises(InputError, match="need no 7"):
                next(found)
            assert list(here.map(draw, [1])) == [draw(1)]


def test_a_process_that_dies_here_is_said_in_a_sentence() -> None:
    with Workers(2) as here:
        with pytest.raises(WorkerError, match="fewer processes"):
            list(here.map(die, ITEMS))
        assert list(here.map(draw, [1, 2])) == [draw(1), draw(2)]


def test_leaving_early_does_not_wait_for_the_work() -> None:
    began = time.perf_counter()
    with Workers(2) as here:
        for _ in here.map(time.sleep, [0, 60, 60, 60]):
            break
    assert time.perf_counter() - began < 30


def write_slowly(path: Path | None) -> None:
    if path is None:
        return
    path.touch()
    try:
        time.sleep(60)
    finally:
        path.unlink()


def test_what_is_cut_off_clears_away_what_it_had_begun(tmp_path: Path) -> None:
    with Workers(2) as here:
        for _ in here.map(write_slowly, [None, tmp_path / "a", tmp_path / "b"]):
            while len(list(tmp_path.iterdir())) < 2:
                time.sleep(0.01)
            break
    assert list(tmp_path.iterdir()) == []


def test_wrong_numbers_of_processes_are_refused() -> None:
    with pytest.raises(ParameterError, match="1 process or more, got 0"):
        Workers(0)
    with pytest.raises(ParameterError, match="jobs or cluster"):
        Workers(2, "tcp://127.0.0.1:8786")


def test_a_cluster_gives_the_bits_of_a_loop(cluster: Any, pack: packs.Pack) -> None:
    heard: list[tuple[int, int]] = []
    with Workers(cluster=cluster.scheduler_address) as there:
        found = list(there.map(Hear(pack), ITEMS, at_once=2, progress=lambda *n: heard.append(n)))
        pids = {pid for pid, _ in there.map(slowly, ITEMS)}
    assert found == [Hear(pack)(seed) for seed in ITEMS]
    assert heard[-1] == (23, 23)
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_killed_workers_of_a_cluster_cost_time_alone(cluster: Any, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        """One worker that holds finished work and has more: at the first news."""
        if not killed:
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    with Workers(cluster=cluster.scheduler_address) as there:
        found = list(there.map(slowly, ITEMS, progress=kill))
        assert [bits for _, bits in found] == [draw(seed) for seed in ITEMS]
        assert killed
        suicide = there.map(DieOnce(tmp_path / "died"), ITEMS)
        assert list(suicide) == [draw(seed) for seed in ITEMS]
    assert (tmp_path / "died").exists()


def test_an_error_on_a_cluster_is_the_error_here(cluster: Any) -> None:
    with (
        Workers(cluster=cluster.scheduler_address) as there,
        pytest.raises(InputError, match="need no 7"),
    ):
        list(there.map(refuse_seven, ITEMS))


def test_another_version_on_a_cluster_is_refused(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "__version__", "99.0")
    with (
        Workers(cluster=cluster.scheduler_address) as there,
        pytest.raises(WorkerError, match=r"got 99\.0 here"),
    ):
        list(there.map(draw, ITEMS))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://", "odd://x:1"])
def test_no_cluster_is_said_in_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    monkeypatch.setattr(workers, "CONNECT_S", 0.5)
    with (
        Workers(cluster=address) as nowhere,
        pytest.raises(WorkerError, match="address of a Dask scheduler"),
    ):
        list(nowhere.map(draw, ITEMS))


def test_a_cluster_without_workers_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
    monkeypatch.setattr(workers, "WORKER_S", 1)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        Workers(cluster=empty.scheduler_address) as nobody,
        pytest.raises(WorkerError, match="got none"),
    ):
        list(nobody.map(draw, ITEMS))


@pytest.mark.parametrize(
    ("groups", "threads", "pieces"), [(313, 2, 35), (313, 0, 313), (5000, 2, 313), (20, 8, 20)]
)
def test_a_cluster_gets_few_pieces_for_a_thread_and_every_item_once(
    groups: int, threads: int, pieces: int
) -> None:
    items = [[2 * number, 2 * number + 1] for number in range(groups)]
    joined = workers.joined(items, threads)
    assert len(joined) == pieces
    assert [item for piece in joined for item in piece] == list(range(2 * groups))
