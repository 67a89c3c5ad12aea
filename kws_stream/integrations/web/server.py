"""Listening for browsers: the socket, the certificate, uvicorn."""

import asyncio
import socket
import ssl

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from kws_stream.errors import ServerError
from kws_stream.integrations.web.app import MOST_BYTES, Pages

REQUEST_S = 10.0  # for a request to come whole
MOST_CONNECTIONS = 200  # beyond them a request is answered with 503


class _Bounded(H11Protocol):
    """A connection that is closed where a request, the first or a later one, does not come whole.

    uvicorn itself closes one that says nothing after an answer.
    """

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit = self.loop.call_later(REQUEST_S, self._close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answers():
            self._forget()
        elif self._limit is None:
            self._limit = self.loop.call_later(REQUEST_S, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _answers(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _forget(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = None

    def _close(self) -> None:
        # after an upgrade to a WebSocket the transport belongs to another protocol
        if not self._answers() and self.transport.get_protocol() is self:
            self.transport.close()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises ServerError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ServerError(
            f"need to listen at {host}, port {port}, got {error}; choose another port or stop "
            "what uses it"
        ) from error


def check_certificate(certificate: str, key: str | None) -> None:
    """Raises ServerError for a certificate or key that cannot be used."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ServerError(
            f"need a certificate and its key in PEM, got {error} for {certificate}; "
            "check both files"
        ) from error


def serve(
    pages: Pages, listening: socket.socket, certificate: str | None = None, key: str | None = None
) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    uvicorn.Server(settings(pages.app, certificate, key)).run(sockets=[listening])


def settings(
    app: ASGIApp, certificate: str | None = None, key: str | None = None
) -> uvicorn.Config:
    """How uvicorn serves an app: bounded in time, connections and size."""
    return uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        http=_Bounded,
        limit_concurrency=MOST_CONNECTIONS,
        ws="websockets-sansio",
        ws_max_size=MOST_BYTES,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
