"""One function over many items: in the processes of this machine, or on a Dask cluster.

Whatever the number of processes and wherever they are, the results are those of a plain loop, in
its order. So a function must depend on its item alone, draw random numbers from a seed that comes
with it, and be safe in threads, of which a cluster's worker may have several. docs/cluster.md says
what a cluster needs.
"""

import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any, Self, TypeVar

from kws_stream import __version__
from kws_stream.errors import MissingExtraError, ParameterError, WorkerError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CONNECT_S = 10  # for the scheduler to answer
WORKER_S = 60  # for the first worker to be there
# A group is given up after it was there when a worker died so often, each time as often as the
# scheduler allows (distributed.scheduler.allowed-failures, 3 unless configured).
ATTEMPTS = 3
POLL_S = 2.0  # a look at whether there still are workers
GONE_S = 10.0  # without any, before that is told
GRACE_S = 1.0
# A scheduler needs milliseconds for a piece of work, so a thread of a cluster gets few of them.
PIECES_A_THREAD = 16
MOST_GROUPS = 16  # in a piece
ADDRESS = re.compile(r"([a-z]+://)?[^/\s]+:[0-9]+|inproc://\S+")

_LOG = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Hears how many items are done, and of how many."""


class Workers:
    """Processes of this machine, by default one a processor, or a Dask cluster; closed by `with`.

    jobs: processes; 1 works in this one. cluster: address of a Dask scheduler, as
    tcp://10.0.0.1:8786, in place of processes here (extra `cluster`). Processes and connections
    are made when they are first needed and kept for the next `map`.

    Raises ParameterError for less than one process, and for both at once.
    """

    def __init__(self, jobs: int | None = None, cluster: str | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise ParameterError(f"jobs: need 1 process or more, got {jobs}")
        if jobs is not None and cluster is not None:
            raise ParameterError(
                f"need jobs or cluster, got jobs={jobs} and cluster={cluster!r}; the cluster "
                "knows how many workers it has"
            )
        self._jobs = (os.cpu_count() or 1) if jobs is None else jobs
        self._address = cluster
        self._pool: _Processes | None = None
        self._client: Any = None

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        at_once: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[Result]:
        """function(item) of every item, in their order, as they become known.

        function: of a module, or an object of a class of a module, that can be pickled with its
        arguments (a `packs.Pack` can); no lambda. at_once: items that a process is given at a
        time, more than one if each takes milliseconds. A cluster's worker that dies costs time
        alone: what it had is done again elsewhere. Leaving the iterator drops what still waits.

        Raises what the function raises; WorkerError if a process of this machine died, if there is
        no cluster or it is lost, or if workers die again and again over the same items;
        MissingExtraError without Dask.
        """
        groups = [items[at : at + at_once] for at in range(0, len(items), at_once)]
        batches: Iterator[list[Result]]
        if self._address is None and min(self._jobs, len(groups)) <= 1:
            batches = ([function(item)] for item in items)
        elif self._address is None:
            batches = self._in_processes(function, groups)
        elif groups:
            batches = self._on_cluster(function, groups)
        else:
            return
        done = 0
        for batch in batches:
            done += len(batch)
            if progress is not None:
                progress(done, len(items))
            yield from batch

    def _in_processes(
        self, function: Callable[[Item], Result], groups: Sequence[Sequence[Item]]
    ) -> Iterator[list[Result]]:
        self._pool = pool = self._pool or _Processes(self._jobs)
        futures: list[Future[list[Result]]] = []
        try:
            with _for_new_processes():
                for group in groups:
                    futures.append(pool.executor.submit(_work_on, function, group))
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            futures.clear()  # the pool ends them itself
            self.close()
            raise WorkerError(
                "a process ended before its work was done, perhaps for want of memory; "
                "try again with fewer processes"
            ) from error
        finally:
            for future in futures:
                future.cancel()

    def _on_cluster(
        self, function: Callable[[Item], Result], groups: Sequence[Sequence[Item]]
    ) -> Iterator[list[Result]]:
        if self._client is None:
            self._client = _connect(str(self._address))
        from distributed import CancelledError, KilledWorker

        groups = joined(groups, sum(self._client.nthreads().values()))

        def submit(group: Sequence[Item]) -> Any:
            return self._client.submit(_work_for, __version__, function, group, pure=False)

        futures = [submit(group) for group in groups]
        try:
            self._await_a_worker()
            for index, group in enumerate(groups):
                for attempt in range(1, ATTEMPTS + 1):
                    try:
                        batch = self._result_of(futures[index])
                        break
                    except KilledWorker as error:
                        if attempt == ATTEMPTS:
                            raise WorkerError(
                                f"cluster {self._address}: workers died again and again over the "
                                f"same {len(group)} items, perhaps for want of memory; look into "
                                "their logs"
                            ) from error
                        futures[index] = submit(group)
                futures[index].release()  # the scheduler may forget it
                yield batch
        except CancelledError as error:
            raise WorkerError(
                f"cluster {self._address}: lost the scheduler, and with it the work; start again "
                "when it is back"
            ) from error
        finally:
            for future in futures:
                future.release()

    def _result_of(self, future: Any) -> Any:
        """The result of a piece of work; a cluster without workers is told, and may get some."""
        gone_since: float | None = None
        told = False
        while True:
            try:
                return future.result(timeout=POLL_S)
            except TimeoutError:
                if future.done():  # meanwhile, or with an error of this kind of its own
                    return future.result()
            now = time.monotonic()
            if self._has_workers():
                gone_since, told = None, False
                continue
            gone_since = now if gone_since is None else gone_since
            if not told and now - gone_since >= GONE_S:
                told = True
                _LOG.warning(
                    "cluster %s: no worker is left, and work waits for one; start some with: "
                    "dask worker ADDRESS, or end with Ctrl-C",
                    self._address,
                )

    def _has_workers(self) -> bool:
        try:
            return bool(self._client.nthreads())
        except (OSError, ValueError):  # no answer: what has become of the work is told elsewhere
            return True

    def _await_a_worker(self) -> None:
        """A cluster that grows with its work has been given work before this."""
        try:
            self._client.wait_for_workers(1, timeout=WORKER_S)
        except TimeoutError as error:
            raise WorkerError(
                f"cluster {self._address}: need a worker within {WORKER_S} s, got none; start "
                "some with: dask worker ADDRESS"
            ) from error

    def close(self) -> None:
        """End the processes, or leave the cluster; what still runs there is dropped."""
        pool, self._pool = self._pool, None
        client, self._client = self._client, None
        if pool is not None:
            pool.stop()
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def joined(groups: Sequence[Sequence[Item]], threads: int) -> Sequence[Sequence[Item]]:
    """Larger pieces of the same items where a cluster's threads would get very many."""
    together = min(MOST_GROUPS, len(groups) // (PIECES_A_THREAD * threads or len(groups)))
    if together <= 1:
        return groups
    return [
        [item for group in groups[at : at + together] for item in group]
        for at in range(0, len(groups), together)
    ]


def _work_on(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]


def _work_for(
    version: str, function: Callable[[Item], Result], items: Sequence[Item]
) -> list[Result]:
    """As `_work_on`, on a worker that may have been installed at another time."""
    if version != __version__:
        raise WorkerError(
            f"need the same kws-stream everywhere, got {version} here and {__version__} on a "
            "worker of the cluster; install the same one"
        )
    return _work_on(function, items)


def _connect(address: str) -> Any:
    """A client of the scheduler at `address`."""
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError(
            f"need Dask for a cluster, got: {error}; pip install 'kws-stream[cluster]'"
        ) from error
    wanted = "need the address of a Dask scheduler, such as tcp://10.0.0.1:8786"
    if not ADDRESS.fullmatch(address):
        raise WorkerError(f"{wanted}, got {address!r:.200}")
    for name in ("distributed.client", "distributed.utils"):  # its tracebacks; we have a sentence
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        connect: Callable[..., Any] = Client  # it has no types
        return connect(address, timeout=CONNECT_S, set_as_default=False, name="kws-stream")
    except (OSError, ValueError) as error:
        raise WorkerError(f"{wanted}, got {address!r}: {error!s:.200}") from error


class _Processes:
    """A pool that can be stopped in the middle of its work."""

    def __init__(self, jobs: int) -> None:
        self._others = {process.pid for process in active_children()}
        self.executor = ProcessPoolExecutor(jobs, get_context("spawn"), _start_process)

    def stop(self) -> None:
        """End idle processes, and kill those that work for nobody any more."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        ours = [process for process in active_children() if process.pid not in self._others]
        until = time.monotonic() + GRACE_S  # to end by themselves; the pool drops what waited
        for process in ours:
            process.join(max(0.0, until - time.monotonic()))
        for process in ours:
            process.terminate()
        for process in ours:
            process.join(GRACE_S)
            process.kill()  # what had another piece of work waiting
            process.join()


@contextmanager
def _for_new_processes() -> Iterator[None]:
    """What processes inherit that are spawned here: one thread each, and deafness to Ctrl-C.

    The number of threads has to be known before NumPy loads. Ctrl-C is the parent's to answer; it
    waits until the processes have started. They are spawned, not forked, since a program that
    shows its progress has threads, which a fork breaks.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if sys.platform != "win32":
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, which has no mask
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: object) -> None:
    """Of a process whose work is not wanted any more: it clears away what it had begun."""
    raise SystemExit(1)
