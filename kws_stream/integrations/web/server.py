"""Listening for browsers: the socket, the certificate, uvicorn."""

import socket
import ssl

import uvicorn

from kws_stream.errors import ServerError
from kws_stream.integrations.web.app import MOST_BYTES, Pages


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
    config = uvicorn.Config(
        pages.app,
        log_level="error",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=MOST_BYTES,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listening])
