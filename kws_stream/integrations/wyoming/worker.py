"""A process of several that share a port (see crew.py): it is handed its clients.

The parent sends commands of a byte, one with a connection; the worker tells what it has counted.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from kws_stream.errors import KwsStreamError
from kws_stream.integrations.wyoming.counts import ServiceCounts
from kws_stream.integrations.wyoming.server import WyomingServer
from kws_stream.packs import Pack

AVAILABLE = hasattr(socket, "send_fds")
"""Whether this system lets a process hand a connection to another: Windows does not."""

CLIENT, RELOAD, STOP = b"c", b"r", b"s"
OF_THE_PARENT = {signal.SIGINT, signal.SIGHUP} if AVAILABLE else set[signal.Signals]()
"""Signals of a terminal, which the parent answers for all."""

_REPORT_S = 1.0


@dataclass(frozen=True)
class WorkerReport:
    """What a worker tells: clients handed to it so far, what it serves, and what it counted.

    taken: places. told: how loading the models again went, once.
    """

    seen: int
    clients: int
    taken: int
    max_clients: int
    counts: ServiceCounts
    told: str = ""


async def work(
    server: WyomingServer,
    control: socket.socket,
    reports: Connection,
    load: Callable[[], list[Pack]],
) -> None:
    """A worker's life, until the parent says that it is over, is gone, or SIGTERM comes."""
    loop, stopped, asked = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    seen, told = 0, list[str]()
    tasks = set[asyncio.Task[None]]()
    control.setblocking(False)
    loop.add_signal_handler(signal.SIGTERM, stopped.set)

    def obey() -> None:
        nonlocal seen
        while not stopped.is_set():
            try:
                command, numbers, _, _ = socket.recv_fds(control, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                command, numbers = b"", []
            seen += command == CLIENT  # also one that was lost on the way, for want of files
            for number in numbers:
                task = loop.create_task(server.adopt(socket.socket(fileno=number)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            if command == RELOAD:
                asked.set()
            elif command in (b"", STOP):
                stopped.set()
        loop.remove_reader(control)

    async def reload() -> None:
        while True:
            await asked.wait()
            asked.clear()
            try:
                packs = await asyncio.to_thread(load)
                server.reload(packs, *await asyncio.to_thread(server.places, packs))
                told.append("")
            except KwsStreamError as error:
                told.append(str(error) or "unknown")
            server.changed.set()

    def report() -> None:
        taken = server.clients + server.extra
        text = told.pop(0) if told else ""
        with contextlib.suppress(OSError):  # the parent is gone: that comes by `control` too
            reports.send(
                WorkerReport(seen, server.clients, taken, server.max_clients, server.counts, text)
            )

    async def keep_reporting() -> None:
        while True:
            report()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPORT_S):
                    await server.changed.wait()
            server.changed.clear()

    server.begin()
    loop.add_reader(control, obey)
    jobs = [loop.create_task(reload()), loop.create_task(keep_reporting())]
    try:
        await stopped.wait()
    finally:
        for job in jobs:
            job.cancel()
        await server.stop()
        report()


def be_a_worker() -> None:
    """For the beginning of a worker's process, which was started deaf to these signals."""
    for number in OF_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_THE_PARENT)
