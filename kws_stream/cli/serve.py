"""`kws-stream serve`: a Wyoming wake word service."""

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.actions import action_options, json_text
from kws_stream.cli.options import (
    Threshold,
    channel_option,
    json_option,
    no_verify_option,
    threshold_option,
)
from kws_stream.errors import MissingExtraError, ParameterError, ServerError

if TYPE_CHECKING:
    from kws_stream.cli.service import Service
    from kws_stream.integrations.actions import EventActions
    from kws_stream.integrations.wyoming.crew import Crew
    from kws_stream.integrations.wyoming.server import Address

_LOOPBACK = ("127.", "localhost", "::1")


@click.command()
@click.option(
    "--uri",
    default="tcp://127.0.0.1:10400",
    show_default=True,
    metavar="URI",
    help="Address of the service: tcp://HOST:PORT or unix://PATH.",
)
@click.option(
    *("-m", "--model", "models"),
    multiple=True,
    metavar="MODEL",
    help="Model to offer. Repeatable. Default: all packaged models, those of wake phrases "
    "first, then commands-12.",
)
@click.option(
    "--wake",
    multiple=True,
    metavar="NAME",
    help="Word to detect for a client that asks for none by name. Repeatable. Default: the "
    "wake phrases, or all words of the first --model if that is a model of words.",
)
@threshold_option
@no_verify_option
@channel_option
@click.option(
    "--max-clients",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Serve at most this many clients at once. Default: as many as this machine serves in "
    "real time.",
)
@action_options
@click.option(
    "--health",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Answer /healthz and /metrics (Prometheus) over HTTP at this port of the same host. "
    "Needs the extra metrics.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    default="info",
    show_default=True,
    help="How much to report on standard error. debug also reports clients that come and go.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Report in sentences, or in JSON lines with time and level.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes that share the address, best one for each core. Each one loads "
    "the models and has its own limits of --exec and --transcribe. Not available on "
    "Windows.",
)
@click.option("--zeroconf", metavar="NAME", help="Announce the service by mDNS under this name.")
@json_option()
def serve(
    uri: str,
    models: tuple[str, ...],
    wake: tuple[str, ...],
    thresholds: list[Threshold],
    no_verify: bool,
    channel: int | None,
    max_clients: int | None,
    health: int | None,
    log_level: str,
    log_format: str,
    workers: int,
    zeroconf: str | None,
    as_json: bool,
    actions: "EventActions",
) -> None:
    """Serve wake words to Home Assistant (Wyoming).

    Any client of the Wyoming protocol can use the service. It ends with Ctrl-C or SIGTERM, after
    the last word that a client has said. SIGHUP loads the models again and keeps all clients. Each
    detection is printed as it is sent.

    Example: kws-stream serve --model commands-12 --wake stop
    """
    import asyncio

    from kws_stream.cli.service import Service, Settings
    from kws_stream.integrations.wyoming.server import (
        Address,
        WyomingServer,
        places_of,
        serve_until_stopped,
    )

    try:
        address = Address.from_uri(uri)
    except ParameterError as error:
        raise click.BadParameter(str(error), param_hint="--uri") from error
    if zeroconf is not None and address.path:
        raise click.UsageError("--zeroconf announces tcp:// alone.")
    _check_workers(workers, max_clients)
    if as_json:
        actions.on_text = json_text
    service = Service(
        Settings(
            *(models, wake, tuple(thresholds), no_verify, channel, max_clients),
            *(log_level, log_format, as_json, actions),
        )
    )
    packs = service.load()
    # one process measures this machine for all
    capacity = places_of(packs, max_clients)
    server = service.server(packs, capacity)
    watched: WyomingServer | Crew = server
    if workers > 1:
        watched = _crew(service, workers, capacity)

    def on_ready(bound: "Address") -> None:
        names = ", ".join(pack.name for pack in packs)
        several = f", in {workers} workers" if workers > 1 else ""
        service.log.info(
            f"serving {names} at {bound} to {watched.max_clients} clients at most{several}"
        )
        if len(server.catalogue.wake) < len(server.catalogue.names):
            heard = ", ".join(server.catalogue.wake)
            service.log.info(f"a client that gives no names listens for {heard}")
        if bound.host and not bound.host.startswith(_LOOPBACK):
            service.log.warning(
                "everybody who reaches this address can use it: Wyoming has no passwords"
            )
        if monitor is not None:
            service.log.info(f"health and metrics at http://{monitor.host}:{monitor.port}")

    monitor = None
    if health is not None:
        from kws_stream.integrations.wyoming.monitor import ServiceMonitor

        monitor = ServiceMonitor(watched, address.host or "127.0.0.1", health)

    async def run() -> None:
        async with _announced(zeroconf, address):
            with monitor or contextlib.nullcontext():
                if isinstance(watched, WyomingServer):
                    await serve_until_stopped(
                        watched, address, on_ready, service.load, service.log.warning
                    )
                else:
                    await watched.serve(address, on_ready, service.load)

    # workers have actions of their own
    with service, contextlib.nullcontext() if workers > 1 else actions:
        asyncio.run(run())


def _check_workers(workers: int, max_clients: int | None) -> None:
    from kws_stream.integrations.wyoming import worker

    if workers > 1 and not worker.AVAILABLE:
        raise click.UsageError("--workers: this system cannot hand a connection to a process.")
    if max_clients is not None and max_clients < workers:
        raise click.UsageError("--workers: need a client for each at least; raise --max-clients.")


def _crew(service: "Service", workers: int, capacity: tuple[int, list[int]]) -> "Crew":
    """The workers; --max-clients is of all together, what was measured is of each."""
    from kws_stream.cli.service import start_worker
    from kws_stream.integrations.wyoming.crew import Crew

    most, places = capacity
    shares = [most] * workers
    if service.settings.max_clients is not None:
        shares = [most // workers + (number < most % workers) for number in range(workers)]
    start = partial(start_worker, service.settings, places, shares)
    return Crew(workers, start, service.log.warning)


@contextlib.asynccontextmanager
async def _announced(name: str | None, address: "Address") -> Any:
    """Announce the service while the body runs, if it has a name."""
    if name is None:
        yield
        return
    try:
        from wyoming.zeroconf import HomeAssistantZeroconf
    except ImportError as error:
        raise MissingExtraError(
            "need the package zeroconf for --zeroconf, got none; "
            "install it with: pip install 'kws-stream[zeroconf]'"
        ) from error
    host = None if address.host in ("0.0.0.0", "::") else address.host
    try:
        announcer = HomeAssistantZeroconf(address.port, name=name, host=host)
        await announcer.register_server()
    except OSError as error:
        raise ServerError(
            f"need a network to announce {address} in, got {error}; leave --zeroconf out or give "
            "the address of a network as --uri"
        ) from error
    try:
        yield
    finally:
        await announcer._aiozc.async_close()
