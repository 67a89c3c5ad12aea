"""Several processes that share one port: one accepts clients and hands each to a worker.

The parent holds the listening sockets and gives every connection, by SCM_RIGHTS, to the worker with
the fewest clients, so that they are spread evenly however few they are. A worker is a
`WyomingServer` that listens nowhere. It tells the parent, every second and with each client that
comes or goes, what it has counted; the parent's figures are the sums.

A worker that dies is replaced, and costs its own clients alone. Workers end with the parent.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from kws_stream.errors import KwsStreamError, ServerError
from kws_stream.integrations.wyoming.counts import ServiceCounts
from kws_stream.integrations.wyoming.server import NO_MORE, Address, listening
from kws_stream.integrations.wyoming.worker import CLIENT, OF_THE_PARENT, RELOAD, STOP, WorkerReport
from kws_stream.packs import Pack

_START_S = 60.0  # for a worker to load its models
_STOP_S = 8.0  # for a worker to end; systemd's unit waits for ten
_AGAIN_S = 5.0  # between two starts of a worker that dies at once
_BACKLOG = 128


Start = Callable[[socket.socket, Connection, int], None]
"""What a worker's process runs: its ends of both lines, and its number from 0; it is pickled."""


@dataclass(eq=False)
class _Worker:
    """The parent's side of a worker."""

    process: BaseProcess
    control: socket.socket
    reports: Connection
    began: float = field(default_factory=time.monotonic)
    sent: int = 0
    report: WorkerReport | None = None

    @property
    def load(self) -> tuple[bool, int]:
        """Whether it has no place left, and the places that are taken; to be compared.

        A client that it has not told of yet takes one.
        """
        if self.report is None:
            return True, self.sent
        taken = self.report.taken + self.sent - self.report.seen
        return taken >= self.report.max_clients, taken

    def say(self, command: bytes, numbers: Sequence[int] = ()) -> bool:
        """Whether it could be told: a worker that hangs takes nothing in the end."""
        try:
            socket.send_fds(self.control, [command], list(numbers))
        except OSError:
            return False
        return True

    def close(self) -> None:
        self.control.close()
        self.reports.close()


class Crew:
    """`workers` processes that serve one address; see the module."""

    def __init__(
        self,
        workers: int,
        start: Start,
        on_message: Callable[[str], None] = lambda text: None,
    ) -> None:
        """on_message: told what people should know, in sentences."""
        self._count, self._start, self._on_message = workers, start, on_message
        self._workers: dict[int, _Worker] = {}
        self._former = ServiceCounts()  # of workers that died
        self._came_round = time.monotonic()
        self._changed = asyncio.Event()
        self._ready = self._stopping = False
        self._failed = ""  # how a worker ended that never served
        self._told: list[str] = []

    @property
    def workers(self) -> int:
        """How many are there and have loaded their models."""
        return sum(worker.report is not None for worker in self._all())

    @property
    def max_clients(self) -> int:
        return sum(report.max_clients for report in self._reports())

    @property
    def clients(self) -> int:
        return sum(report.clients for report in self._reports())

    @property
    def counts(self) -> ServiceCounts:
        """The sums, also of workers that died; alive while all workers and the parent are."""
        reports = self._reports()
        total = _sum([self._former, *(report.counts for report in reports)])
        rounds = [report.counts.came_round for report in reports]
        total.came_round = min([self._came_round, *rounds])
        if len(reports) < self._count and not self._stopping:
            total.came_round = min([total.came_round, *(w.began for w in self._all())])
        return total

    def _all(self) -> list[_Worker]:
        return list(self._workers.values())

    def _reports(self) -> list[WorkerReport]:
        return [worker.report for worker in self._all() if worker.report is not None]

    async def serve(
        self,
        address: Address,
        on_ready: Callable[[Address], None],
        load: Callable[[], list[Pack]],
    ) -> None:
        """Serve until the task is cancelled or SIGTERM comes; SIGHUP loads the models again.

        Raises ServerError where it cannot listen and for workers that end before they serve.
        """
        loop, stopped, asked = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        with contextlib.suppress(RuntimeError):  # elsewhere than in the main thread none comes
            loop.add_signal_handler(signal.SIGTERM, stopped.set)
            loop.add_signal_handler(signal.SIGHUP, asked.set)
        server, bound = await listening(address, lambda reader, writer: None, start_serving=False)
        listeners = [_listener(each.fileno()) for each in server.sockets]
        jobs: list[asyncio.Task[None]] = []
        try:
            for number in range(self._count):
                self._begin(number)
            await self._until_ready()
            on_ready(bound)
            jobs += [loop.create_task(self._accept(listener)) for listener in listeners]
            jobs += [
                loop.create_task(self._beat()),
                loop.create_task(self._reload_when_asked(asked, load)),
            ]
            await stopped.wait()
        finally:
            self._stopping = True
            for job in jobs:
                job.cancel()
            for listener in listeners:
                listener.close()
            server.close()
            await self._stop()
            if bound.path:
                Path(bound.path).unlink(missing_ok=True)

    def _begin(self, number: int) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        context = get_context("spawn")  # a fork would share ONNX Runtime's threads
        reports, told = context.Pipe(duplex=False)
        process = context.Process(
            target=self._start, args=(theirs, told, number), name=f"worker {number + 1}"
        )
        with _deaf():
            process.start()
        theirs.close()
        told.close()
        worker = self._workers[number] = _Worker(process, ours, reports)
        loop = asyncio.get_running_loop()
        loop.add_reader(reports.fileno(), self._hear, number, worker)

    def _hear(self, number: int, worker: _Worker) -> None:
        try:
            worker.report = worker.reports.recv()
        except (EOFError, OSError):
            self._gone(number, worker)
        else:
            assert worker.report is not None
            if worker.report.told:
                self._told.append(f"worker {number + 1}: {worker.report.told}")
        self._changed.set()

    def _gone(self, number: int, worker: _Worker) -> None:
        asyncio.get_running_loop().remove_reader(worker.reports.fileno())
        worker.close()
        worker.process.join(1.0)
        if self._workers.get(number) is not worker:
            return
        if worker.report is not None:
            self._former = _sum([self._former, worker.report.counts])
            worker.report = None
        if self._stopping:
            return
        code = worker.process.exitcode
        why = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        if not self._ready:
            self._failed = why
            return
        self._on_message(f"worker {number + 1} ended with {why}; another takes its place")
        wait_s = max(0.0, worker.began + _AGAIN_S - time.monotonic())
        asyncio.get_running_loop().call_later(wait_s, self._begin_again, number)

    def _begin_again(self, number: int) -> None:
        if not self._stopping:
            self._begin(number)

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(_START_S):
                while self.workers < self._count:
                    await self._changed.wait()
                    self._changed.clear()
                    if self._failed:
                        raise ServerError(
                            f"need {self._count} workers, got one that ended with {self._failed} "
                            "before it served; see what it says above"
                        )
        except TimeoutError as error:
            raise ServerError(
                f"need {self._count} workers within {_START_S:g} s, got {self.workers}; use fewer"
            ) from error
        self._ready = True

    async def _beat(self) -> None:
        while True:
            self._came_round = time.monotonic()
            await asyncio.sleep(1)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in NO_MORE:
                    self._on_message(f"new clients have to wait: {error.strerror}")
                    await asyncio.sleep(1.0)
                continue  # or the client is gone already
            with connection:
                self._hand_over(connection)

    def _hand_over(self, connection: socket.socket) -> None:
        """To the worker with the fewest clients that has a place; without any one refuses it."""
        for worker in sorted(self._all(), key=lambda each: each.load):
            if worker.report is not None and worker.say(CLIENT, [connection.fileno()]):
                worker.sent += 1
                return
        self._on_message("refused a client: no worker is there to take it")

    async def _reload_when_asked(
        self, asked: asyncio.Event, load: Callable[[], list[Pack]]
    ) -> None:
        while True:
            await asked.wait()
            asked.clear()
            try:  # here first: what cannot be read changes nothing anywhere
                packs = await asyncio.to_thread(load)
            except KwsStreamError as error:
                self._on_message(f"goes on with the models that it has: {error}")
                continue
            wanted = self.counts.reloads_total + self.workers
            for worker in self._all():
                worker.say(RELOAD)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_START_S):
                    while self.counts.reloads_total + len(self._told) < wanted:
                        await self._changed.wait()
                        self._changed.clear()
            for text in self._told:
                self._on_message(f"goes on with the models that it has: {text}")
            if not self._told:
                self._on_message(f"loaded again: {', '.join(pack.name for pack in packs)}")
            self._told.clear()

    async def _stop(self) -> None:
        """End all workers: they send last words; what does not end is killed."""
        for worker in self._all():
            worker.say(STOP)
        until = time.monotonic() + _STOP_S
        while any(worker.process.is_alive() for worker in self._all()):
            if time.monotonic() > until:
                for worker in self._all():
                    worker.process.kill()
            await asyncio.sleep(0.02)
        loop = asyncio.get_running_loop()
        for number, worker in self._workers.items():
            if not worker.reports.closed:
                with contextlib.suppress(EOFError, OSError):
                    while worker.reports.poll():
                        self._hear(number, worker)
                if not worker.reports.closed:
                    loop.remove_reader(worker.reports.fileno())
                    worker.close()


def _sum(several: Sequence[ServiceCounts]) -> ServiceCounts:
    total = ServiceCounts()
    for counts in several:
        for each in fields(ServiceCounts):
            mine, other = getattr(total, each.name), getattr(counts, each.name)
            if isinstance(mine, dict):
                for key, value in other.items():
                    mine[key] += value
            elif each.name != "came_round":
                setattr(total, each.name, mine + other)
    return total


def _listener(number: int) -> socket.socket:
    """A bound socket by another number, for us to accept from."""
    listener = socket.socket(fileno=os.dup(number))
    listener.setblocking(False)
    listener.listen(_BACKLOG)
    return listener


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """What is started meanwhile gets no Ctrl-C and no SIGHUP until `be_a_worker` ignores them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
