"""Health and metrics of a server over HTTP, in the text format of Prometheus."""

import io
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from kws_stream.errors import MissingExtraError, ServerError
from kws_stream.integrations.wyoming.counts import ServiceCounts

_REQUEST_S = 5.0  # for a client to send its request, from the first byte to the last
_MOST_REQUESTS = 32  # at once; who is one too many is let go


class Watched(Protocol):
    """A server, or several processes that are one."""

    @property
    def clients(self) -> int: ...
    @property
    def max_clients(self) -> int: ...
    @property
    def workers(self) -> int: ...
    @property
    def counts(self) -> ServiceCounts: ...


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.Semaphore(_MOST_REQUESTS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread is to be had
            self._places.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or is too slow, is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Request(io.RawIOBase):
    """What a client sends, until its time is over."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._until = time.monotonic() + _REQUEST_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client sends too slowly")
        self._link.settimeout(left)
        return self._link.recv_into(buffer)


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Request(self.connection))

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are no news."""


class ServiceMonitor:
    """Answers /healthz and /metrics in a thread of its own while it is entered.

    /healthz is 200 while the server's loop comes round, else 503. port: 0 for any; then `port` has
    it. Raises MissingExtraError without the extra metrics, ServerError for a port that is taken.
    """

    def __init__(self, server: Watched, host: str, port: int) -> None:
        try:
            from prometheus_client import CollectorRegistry, make_wsgi_app
        except ImportError as error:
            raise MissingExtraError(
                "need the package prometheus-client for --health, got none; "
                "install it with: pip install 'kws-stream[metrics]'"
            ) from error
        registry = CollectorRegistry(auto_describe=True)
        registry.register(_Collector(server))
        self._metrics = make_wsgi_app(registry)
        self._watched = server
        try:
            self._http = make_server(host, port, self._answer, _Server, _Handler)
        except (OSError, OverflowError) as error:
            raise ServerError(
                f"need to listen at {host}:{port} for --health, got {error}; choose another port"
            ) from error
        self.host = f"[{host}]" if ":" in host else host
        self.port: int = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self) -> "ServiceMonitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start_response)
            return answer
        alive = self._watched.counts.alive
        status, text = ("200 OK", b"ok\n") if alive else ("503 Service Unavailable", b"hangs\n")
        if environ["PATH_INFO"] != "/healthz":
            status, text = "404 Not Found", b"there are /healthz and /metrics\n"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text]


class _Collector:
    """Reads a server's counts when it is asked; names are those of docs/wyoming.md."""

    def __init__(self, server: Watched) -> None:
        self._server = server

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        server, counts = self._server, self._server.counts
        places = server.max_clients
        yield GaugeMetricFamily("kws_workers", "Processes that serve", value=server.workers)
        yield GaugeMetricFamily("kws_clients", "Clients now", value=server.clients)
        yield GaugeMetricFamily("kws_places", "Clients that are served at most", value=places)
        for name, what, value in (
            ("kws_clients_served", "Clients that came and were served", counts.clients_total),
            ("kws_clients_refused", "Clients refused for want of a place", counts.refused_total),
            ("kws_clients_ended", "Clients ended for what they sent or not", counts.ended_total),
            ("kws_reloads", "Times that the models were loaded again", counts.reloads_total),
            ("kws_audio_unheard_seconds", "Sound that no model had a place for", counts.unheard_s),
        ):
            yield CounterMetricFamily(name, what, value=value)
        heard = CounterMetricFamily("kws_audio_seconds", "Sound heard", labels=["model"])
        busy = CounterMetricFamily("kws_busy_seconds", "Time that hearing took", labels=["model"])
        factor = GaugeMetricFamily(
            "kws_real_time_factor", "Time that hearing took a second of sound", labels=["model"]
        )
        for model, seconds in list(counts.heard_s.items()):
            heard.add_metric([model], seconds)
            busy.add_metric([model], counts.busy_s[model])
            factor.add_metric([model], counts.busy_s[model] / seconds if seconds else 0.0)
        yield from (heard, busy, factor)
        triggers = CounterMetricFamily(
            "kws_triggers", "Triggers of the network, before a verifier", labels=["model"]
        )
        for model, value in list(counts.triggers.items()):
            triggers.add_metric([model], value)
        yield triggers
        detections = CounterMetricFamily(
            "kws_detections", "Detections sent to clients", labels=["model", "keyword"]
        )
        for labels, value in list(counts.detections.items()):
            detections.add_metric(list(labels), value)
        yield detections
