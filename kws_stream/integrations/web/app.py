"""The page's server: its files, and a WebSocket for each page."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from kws_stream.detector import WakeEvent
from kws_stream.errors import DeviceError, InputError
from kws_stream.integrations.web.allowed_hosts import AllowedHosts
from kws_stream.integrations.web.microphone import SharedMicrophone
from kws_stream.integrations.web.session import PageSession, demo_blocks

_FILES = {
    "/": ("page.html", "text/html"),
    "/view.js": ("view.js", "text/javascript"),
    "/page.js": ("page.js", "text/javascript"),
    "/worklet.js": ("worklet.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; worker-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# What starlette and uvicorn raise where a page went away, by their versions and by what was being
# done, and TimeoutError for one that does not read.
_GONE = (WebSocketDisconnect, RuntimeError, OSError, TimeoutError)
_PERIOD_S = 0.05  # between two moments
_SEND_S = 10.0  # for a page to take a message
MOST_PAGES = 8
MOST_BYTES = 2**18  # of a message; 2.7 s of 16-bit audio at 48 kHz


class Pages:
    """The application; `make_session` is called for each page, with the name of its source."""

    def __init__(
        self,
        make_session: Callable[[str], PageSession],
        allowed_hosts: AllowedHosts,
        microphone: SharedMicrophone,
        demo: Any,
        on_event: Callable[[str, WakeEvent], None] = lambda source, event: None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """demo: a recording (n,) to play where there is no microphone.

        facts: what `model_facts` says of the model, for a page before it listens.
        """
        self._make_session = make_session
        self._allowed_hosts = allowed_hosts
        self._microphone = microphone
        self._demo = demo
        self._on_event = on_event
        self._facts = dict(facts or {})
        self._pages = 0
        routes = [Route(path, self._file) for path in _FILES]
        routes.append(Route("/model.json", self._model))
        self.app = Starlette(routes=[*routes, WebSocketRoute("/live", self._live)])

    async def _file(self, request: Request) -> Response:
        if not self._allowed_hosts.host_is_ours(request.headers.get("host", "")):
            return PlainTextResponse("need a name of this server as Host", 421, _HEADERS)
        name, kind = _FILES[request.url.path]
        text = resources.files(__package__).joinpath(name).read_text("utf-8")
        return Response(text, media_type=kind, headers=_HEADERS)

    async def _model(self, request: Request) -> Response:
        """What a page draws before it listens to anything."""
        if not self._allowed_hosts.host_is_ours(request.headers.get("host", "")):
            return PlainTextResponse("need a name of this server as Host", 421, _HEADERS)
        known = self._facts | {"server_microphone": self._microphone.available()}
        return JSONResponse(known, headers=_HEADERS)

    async def _live(self, socket: WebSocket) -> None:
        host, origin = socket.headers.get("host", ""), socket.headers.get("origin")
        if not self._allowed_hosts.origin_is_ours(origin, host):
            await socket.close(1008)  # before it is accepted: an answer of 403
            return
        try:
            await socket.accept()
            await self._admit(socket)
        except _GONE:
            pass
        finally:
            if socket.application_state is WebSocketState.CONNECTED:
                with contextlib.suppress(*_GONE):
                    await socket.close()

    async def _admit(self, socket: WebSocket) -> None:
        if self._pages >= MOST_PAGES:
            await _send(socket, _error(f"need fewer pages, got more than {MOST_PAGES}"))
            await socket.close(1013)
            return
        self._pages += 1
        try:
            await self._serve(socket)
        finally:
            self._pages -= 1

    async def _serve(self, socket: WebSocket) -> None:
        source = socket.query_params.get("source", "demo")
        play = {"demo": self._play_demo, "server": self._play_microphone}.get(source)
        session = self._make_session(source)
        session.on_event = lambda event: self._on_event(source, event)
        hello = session.hello() | {"server_microphone": self._microphone.available()}
        await _send(socket, hello)
        jobs: list[Awaitable[None]] = [self._draw(socket, session), self._obey(socket, session)]
        if play is not None:
            jobs.append(play(socket, session))
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (InputError, DeviceError) as error:
            await _send(socket, _error(str(error)))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            session.close()

    async def _draw(self, socket: WebSocket, session: PageSession) -> None:
        while True:
            await _send(socket, session.moment())
            await asyncio.sleep(_PERIOD_S)

    async def _obey(self, socket: WebSocket, session: PageSession) -> None:
        """Messages of the page: audio, its rate before it, and what people change."""
        rate: Any = None
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                await session.hear_browser(message["bytes"], rate)
                continue
            text = message.get("text") or ""
            if text.startswith('{"rate":'):
                rate = _rate(text)
                session.restart()
            else:
                session.obey(text)

    async def _play_demo(self, socket: WebSocket, session: PageSession) -> None:
        """The recording over and over, in real time."""
        loop = asyncio.get_running_loop()
        while True:
            session.restart()
            began = loop.time()
            for number, block in enumerate(demo_blocks(self._demo)):
                await asyncio.sleep(began + 0.02 * number - loop.time())
                await session.hear(block)

    async def _play_microphone(self, socket: WebSocket, session: PageSession) -> None:
        queue = self._microphone.subscribe()
        before = self._microphone.lost
        session.lost = lambda: self._microphone.lost - before
        try:
            while (block := await queue.get()) is not None:
                await session.hear(block)
            raise DeviceError(self._microphone.fault or "need sound, got the end of it")
        finally:
            self._microphone.leave(queue)


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    async with asyncio.timeout(_SEND_S):
        await socket.send_text(json.dumps(message, allow_nan=False))


def _error(text: str) -> dict[str, Any]:
    return {"type": "error", "text": text}


def _rate(text: str) -> Any:
    try:
        return json.loads(text)["rate"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"need a rate, got {text[:80]!r}") from error
