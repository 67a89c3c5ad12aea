"""`kws-stream listen --web`: the live picture as a web page."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.options import with_options
from kws_stream.cli.outlet import Outlet
from kws_stream.cli.output import complain, event_line
from kws_stream.constants import RECORDING

if TYPE_CHECKING:
    from kws_stream.detector import WakeEvent
    from kws_stream.integrations.actions import EventActions
    from kws_stream.integrations.web.session import PageSession
    from kws_stream.pipeline import KeywordSpotter

PORT = 8760


@dataclass(frozen=True)
class WebSettings:
    """Where the page is served, and how."""

    host: str = "127.0.0.1"
    port: int = PORT
    names: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None


def web_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command, in one argument `web`: None without --web."""

    @functools.wraps(command)  # with the options that it has already
    def gather(
        *args: Any,
        web: bool,
        host: str | None,
        port: int | None,
        names: tuple[str, ...],
        tls_cert: str | None,
        tls_key: str | None,
        **settings: Any,
    ) -> Any:
        if not web and (host or port is not None or names or tls_cert or tls_key):
            raise click.UsageError("--host, --port, --allow-host and --tls-... need --web.")
        if tls_key is not None and tls_cert is None:
            raise click.UsageError("--tls-key needs --tls-cert.")
        port = PORT if port is None else port
        page = WebSettings(host or "127.0.0.1", port, names, tls_cert, tls_key)
        return command(*args, web=page if web else None, **settings)

    return with_options(gather, _OPTIONS)


_OPTIONS = [
    click.option("--web", is_flag=True, help="Show everything in a web page (extra: web)."),
    click.option(
        "--host",
        metavar="H",
        help="Address of the page. Default: an address that only this machine can reach.",
    ),
    click.option(
        "--port",
        type=click.IntRange(0, 65_535),
        metavar="P",
        help="Port of the page. Default: 8760.",
    ),
    click.option(
        *("--allow-host", "names"),
        multiple=True,
        metavar="NAME",
        help="Another name under which browsers reach the page. Repeatable.",
    ),
    click.option("--tls-cert", metavar="FILE", help="File of the certificate for HTTPS, in PEM."),
    click.option(
        "--tls-key", metavar="FILE", help="File of the certificate's key, if that is another one."
    ),
]


def serve_page(
    spotter: "KeywordSpotter",
    device: str | None,
    settings: WebSettings,
    actions: "EventActions",
    as_json: bool,
    channel: int | None = None,
) -> None:
    """Serve the page until Ctrl-C; each page has a stream of its own. `spotter` is a pattern.

    channel: of the microphone of this machine, from 1; None for the mean of all.
    """
    from kws_stream.audio import read_whole
    from kws_stream.integrations.web import server
    from kws_stream.integrations.web.allowed_hosts import AllowedHosts, is_loopback
    from kws_stream.integrations.web.app import Pages
    from kws_stream.integrations.web.microphone import SharedMicrophone
    from kws_stream.integrations.web.session import PageSession, model_facts
    from kws_stream.pipeline import KeywordSpotter

    if settings.certificate is not None:
        server.check_certificate(settings.certificate, settings.key)

    def make_session(source: str) -> "PageSession":
        own = KeywordSpotter(spotter.pack, spotter.thresholds)
        return PageSession(own, actions.watchers(own, f"web page, {source}"))

    def on_event(source: str, event: "WakeEvent") -> None:
        lines.put(event_line(event, f"web page, {source}", as_json, with_name=True))

    def on_lost(lost: int) -> None:
        complain(f"{lost} events were not read from standard output in time, and are lost")

    allowed_hosts = AllowedHosts(settings.host, settings.names)
    microphone = SharedMicrophone(device, channel, complain)
    facts = model_facts(spotter)
    pages = Pages(make_session, allowed_hosts, microphone, read_whole(RECORDING), on_event, facts)
    listening = server.bind(settings.host, settings.port)
    # the pages listen on, whoever reads the events or does not
    with Outlet(sys.stdout, on_lost) as lines, actions, listening:
        scheme = "http" if settings.certificate is None else "https"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        complain(f"open {scheme}://{host}:{listening.getsockname()[1]}")
        if not is_loopback(settings.host):
            complain("everybody who reaches this address can listen to this machine's microphone")
        server.serve(pages, listening, settings.certificate, settings.key)
