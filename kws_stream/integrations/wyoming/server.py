"""The server: accepts clients, within bounds, and keeps their faults from one another."""

import asyncio
import contextlib
import errno
import math
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from wyoming.error import Error

from kws_stream.audio.mix import checked_channel
from kws_stream.detector import WakeEvent
from kws_stream.errors import InputError, KwsStreamError, ParameterError, ServerError
from kws_stream.integrations.wyoming.catalogue import Catalogue
from kws_stream.integrations.wyoming.counts import ServiceCounts
from kws_stream.integrations.wyoming.messages import Limits, read_message, write_message
from kws_stream.integrations.wyoming.session import Session
from kws_stream.live import Hearing
from kws_stream.live.decoder import ChunkDecoder
from kws_stream.packs import Pack
from kws_stream.pipeline import KeywordSpotter, need_speech_rate

# The share of one core that all clients together may need: messages cost as much again as the
# spotting that is measured (docs/wyoming.md).
_SHARE = 0.4
_MOST_CLIENTS = 500
_FAREWELL_S = 1.0  # for a client to hear why it is let go
NO_MORE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}  # files, or memory for them
_TELL_AGAIN_S = 10.0
_MOST_UNKNOWN = 100  # names that are asked for in vain and told of, each once


@dataclass(frozen=True)
class Address:
    """Where to listen: host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def from_uri(cls, uri: str) -> "Address":
        """From tcp://HOST:PORT or unix://PATH; raises ParameterError for anything else."""
        try:
            parts = urlsplit(uri)
            if parts.scheme == "tcp" and parts.hostname and parts.port is not None:
                return cls(host=parts.hostname, port=parts.port)
            if parts.scheme == "unix" and (path := parts.netloc + parts.path):
                return cls(path=path)
        except ValueError:  # a port that is none
            pass
        raise ParameterError(f"uri: need tcp://HOST:PORT or unix://PATH, got {uri!r:.200}")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix://{self.path}" if self.path else f"tcp://{host}:{self.port}"


def measure_capacity(pack: Pack, seconds: float = 2.0) -> int:
    """How many clients this machine serves in real time with this pack."""
    return int(min(max(1, _SHARE / max(measure_cost(pack, seconds), 1e-6)), _MOST_CLIENTS))


def measure_cost(pack: Pack, seconds: float = 2.0) -> float:
    """The share of a core that one client at 48 kHz needs, measured on so much sound."""
    hearing, decoder = Hearing(KeywordSpotter(pack)), ChunkDecoder()
    noise = np.random.default_rng(0).integers(-3000, 3000, 960, np.int16).tobytes()
    began = time.process_time()
    for _ in range(round(seconds * 50)):
        hearing.hear(decoder.decode(noise, 48_000, 2, 1))
    return (time.process_time() - began) / seconds


def places_of(packs: list[Pack], max_clients: int | None = None) -> tuple[int, list[int]]:
    """How many clients are served at most, and how many places each pack takes of theirs.

    max_clients: of the first pack, and then a place for each; None measures this machine.
    """
    if max_clients is not None:
        return max_clients, [1] * len(packs)
    capacities = [measure_capacity(pack) for pack in packs]
    return capacities[0], [max(1, round(capacities[0] / capacity)) for capacity in capacities]


MakeHearing = Callable[[Pack, frozenset[str], str], Hearing]
"""What hears a pack's keywords for a client of this name."""


class WyomingServer:
    """Serves packs to at most `max_clients` clients at once; more are refused with a reason."""

    def __init__(
        self,
        packs: list[Pack],
        make_hearing: MakeHearing | None = None,
        max_clients: int | None = None,
        limits: Limits | None = None,
        on_event: Callable[[str, WakeEvent], None] = lambda client, event: None,
        on_message: Callable[[str], None] = lambda text: None,
        on_detail: Callable[[str], None] = lambda text: None,
        channel: int | None = None,
        wake: Sequence[str] = (),
        capacity: tuple[int, list[int]] | None = None,
    ) -> None:
        """wake: what clients hear that give no names; by default wake phrases of all packs, or,
        where the first pack is none, all keywords of the first.

        make_hearing: a plain one by default. max_clients: of the first pack; None measures this
        machine, and lets a pack that costs more take more places. on_event: told the client and
        each event that it is sent. on_message: told what people should know, in sentences.
        on_detail: told of clients that come and go.
        channel: of the clients' sound, from 1; None for the mean of its channels.
        capacity: what `places_of` gave elsewhere, in place of max_clients.

        Raises ParameterError for names in `wake` that no pack has, and for such a channel, and
        PackError for a pack of another rate than 16 kHz.
        """
        for pack in packs:
            need_speech_rate(KeywordSpotter(pack, verify=False), "serve")
        self.catalogue = Catalogue(packs, wake)
        self._wake = wake
        self._measures = max_clients is None
        self.max_clients, self._places = capacity or places_of(packs, max_clients)
        self.clients = 0
        self.changed = asyncio.Event()  # set when a client comes or goes; whoever waits clears it
        self.counts = ServiceCounts()
        self._make_hearing = make_hearing or _plain_hearing
        self._limits = limits or Limits()
        self._on_event = on_event
        self._on_message = on_message
        self._on_detail = on_detail
        self._stopping = False
        self._heart: asyncio.Task[None] | None = None
        self._channel = checked_channel(channel)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: set[Session] = set()
        self._unknown: set[str] = set()
        self._server: asyncio.Server | None = None
        self._path = ""

    @property
    def workers(self) -> int:
        """Processes that serve: this one."""
        return 1

    async def start(self, address: Address) -> Address:
        """Begin to listen; gives the address with the port that port 0 became.

        Raises ServerError where that is not possible.
        """
        self._server, address = await listening(address, self._accept, self._limits.line_bytes)
        self._path = address.path
        self.begin()
        return address

    def begin(self) -> None:
        """Be alive without listening: for clients that `adopt` brings."""
        self._heart = asyncio.get_running_loop().create_task(self._beat())

    async def adopt(self, connection: socket.socket) -> None:
        """Serve a client that somebody else accepted."""
        try:
            streams = await asyncio.open_connection(sock=connection, limit=self._limits.line_bytes)
        except OSError:  # it is gone already
            connection.close()
            return
        self._accept(*streams)

    async def _beat(self) -> None:
        while True:
            self.counts.came_round = time.monotonic()
            await asyncio.sleep(1)

    async def stop(self) -> None:
        """Stop listening, send clients the words that they have just said, and end them."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        if self._heart is not None:
            self._heart.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._path:
            Path(self._path).unlink(missing_ok=True)

    def reload(
        self, packs: list[Pack], max_clients: int | None = None, places: list[int] | None = None
    ) -> None:
        """Offer these packs from now on; clients stay, and hear them from their next message on.

        max_clients, places: as `places_of` gives them; by default the numbers stay, a place each.
        Raises ParameterError where the server's wake words are not among their names.
        """
        self.catalogue = Catalogue(packs, self._wake)
        self._places = places or [1] * len(packs)
        if max_clients is not None:
            self.max_clients = max_clients
        self._unknown.clear()
        self.counts.reloads_total += 1
        for session in self._sessions:
            session.offer(self.catalogue, self._places)

    def places(self, packs: list[Pack]) -> tuple[int, list[int]]:
        """What `reload` wants to know of packs; it measures where the server measured."""
        return places_of(packs, None if self._measures else self.max_clients)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _client_name(writer)
        writer.transport.set_write_buffer_limits(self._limits.line_bytes)
        try:
            if self._free() < 1:
                await self._refuse(client, reader, writer)
                return
            self.clients += 1
            self.counts.clients_total += 1
            self.changed.set()
            self._on_detail(f"{client} came; {self.clients} now")
            try:
                await self._talk(client, reader, writer)
            finally:
                self.clients -= 1
                self.changed.set()
                self._on_detail(f"{client} went; {self.clients} now")
        except OSError:
            pass  # the client went away
        finally:
            writer.transport.abort()  # never waits for a client that does not read

    def _free(self) -> int:
        """Places that are left: a client takes one, or those of all packs that it hears."""
        return self.max_clients - self.clients - self.extra

    @property
    def extra(self) -> int:
        """Places that clients take beyond one each."""
        return sum(session.extra for session in self._sessions)

    async def _refuse(
        self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        text = f"need fewer clients, got more than {self.max_clients}; try again later"
        self.counts.refused_total += 1
        self.changed.set()
        self._on_message(f"refused {client}: {self.max_clients} clients already")
        await self._say_last(Error(text=text, code="busy"), reader, writer)

    async def _talk(
        self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = Session(
            self.catalogue,
            lambda pack, keywords: self._make_hearing(pack, keywords, client),
            lambda event: self._on_event(client, event),
            self._free,
            self._places,
            ChunkDecoder(self._channel, client, self._on_message),
            lambda names: self._tell_unknown(client, names),
            self.counts,
        )
        self._sessions.add(session)
        try:
            while (message := await read_message(reader, self._limits)) is not None:
                async for reply in session.answer(message):
                    await write_message(reply, writer, self._limits)
                await asyncio.sleep(0)  # what is buffered needs no waiting: let others in
        except asyncio.CancelledError:
            if self._stopping:
                await self._say_rest(session, writer)
            raise
        except InputError as error:
            self.counts.ended_total += 1
            self._on_message(f"ended {client}: {error}")
            await self._say_last(Error(text=str(error), code="bad-message"), reader, writer)
        finally:
            self._sessions.discard(session)
            session.close()

    def _tell_unknown(self, client: str, names: Sequence[str]) -> None:
        """Once for each name: Home Assistant asks again with every stream."""
        new = [name for name in names if name not in self._unknown]
        new = new[: _MOST_UNKNOWN - len(self._unknown)]
        self._unknown.update(new)
        if new:
            asked = ", ".join(f"{name!r:.60}" for name in new)
            there = ", ".join(self.catalogue.names)
            self._on_message(f"{client} asks for {asked}, which is not offered; there are {there}")

    async def _say_rest(self, session: Session, writer: asyncio.StreamWriter) -> None:
        """What a client has said when the server ends, up to its last word."""
        with contextlib.suppress(InputError, OSError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                for reply in session.finish():
                    await write_message(reply, writer, self._limits)
                if writer.can_write_eof():
                    writer.write_eof()
                await writer.drain()
                await asyncio.sleep(0)

    async def _say_last(
        self, error: Error, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Tell a client why it is let go, if it reads."""
        with contextlib.suppress(InputError, OSError):
            await write_message(error.event(), writer, self._limits)
            if writer.can_write_eof():
                writer.write_eof()
            # what lies unread when we close would take the words back from the client
            async with asyncio.timeout(_FAREWELL_S):
                while await reader.read(self._limits.line_bytes):
                    pass


async def listening(
    address: Address,
    accept: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None],
    limit: int = Limits.line_bytes,
    start_serving: bool = True,
) -> tuple[asyncio.Server, Address]:
    """A server at an address, and the address with the port that port 0 became.

    Raises ServerError where that is not possible.
    """
    try:
        if address.path:
            if _answers(address.path):
                raise OSError("an answer from another server")
            server = await asyncio.start_unix_server(
                accept, address.path, limit=limit, start_serving=start_serving
            )
            return server, address
        server = await asyncio.start_server(
            accept, address.host, address.port, limit=limit, start_serving=start_serving
        )
    except (OSError, OverflowError, AttributeError) as error:
        raise ServerError(
            f"need to listen at {address}, got {error}; choose another address or stop what uses it"
        ) from error
    return server, Address(address.host, server.sockets[0].getsockname()[1])


async def serve_until_stopped(
    server: WyomingServer,
    address: Address,
    on_ready: Callable[[Address], None],
    load: Callable[[], list[Pack]] | None = None,
    on_message: Callable[[str], None] = lambda text: None,
) -> None:
    """Serve until the task is cancelled or, where the system has it, SIGTERM comes.

    load: gives the packs anew when SIGHUP comes. If it cannot, the server goes on with those that
    it has; on_message is told either way.
    """
    loop, stopped, asked = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    loop.set_exception_handler(_Shortage(on_message))
    # Windows has none of them; elsewhere than in the main thread none comes
    with contextlib.suppress(NotImplementedError, RuntimeError):
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        if load is not None and hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, asked.set)
    on_ready(await server.start(address))
    reloading = None
    if load is not None:
        reloading = loop.create_task(_reload_when_asked(server, asked, load, on_message))
    try:
        await stopped.wait()
    finally:
        if reloading is not None:
            reloading.cancel()
        await server.stop()


class _Shortage:
    """What asyncio tells when it cannot accept clients for want of files: a sentence, now and then.

    It tries again after a second; the clients wait so long.
    """

    def __init__(self, on_message: Callable[[str], None]) -> None:
        self._on_message = on_message
        self._told = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in NO_MORE:
            loop.default_exception_handler(context)
        elif time.monotonic() - self._told > _TELL_AGAIN_S:
            self._told = time.monotonic()
            self._on_message(f"new clients have to wait: {error.strerror}")


async def _reload_when_asked(
    server: WyomingServer,
    asked: asyncio.Event,
    load: Callable[[], list[Pack]],
    on_message: Callable[[str], None],
) -> None:
    while True:
        await asked.wait()
        asked.clear()
        try:  # in a thread: clients are served meanwhile
            packs = await asyncio.to_thread(load)
            max_clients, places = await asyncio.to_thread(server.places, packs)
            server.reload(packs, max_clients, places)
        except KwsStreamError as error:
            on_message(f"goes on with the models that it has: {error}")
            continue
        on_message(f"loaded again: {', '.join(pack.name for pack in packs)}")


def _plain_hearing(pack: Pack, keywords: frozenset[str], client: str) -> Hearing:
    return Hearing(KeywordSpotter(pack), keywords=keywords)


def _client_name(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) > 1 else "local client"


def _answers(path: str) -> bool:
    """Whether somebody listens at a Unix socket; asyncio replaces one that an old run left."""
    with socket.socket(socket.AF_UNIX) as probe:
        return Path(path).is_socket() and probe.connect_ex(path) == 0
