"""`kws-stream serve`: a Wyoming wake word service."""

import asyncio
import contextlib
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import click

from kws_stream.cli.consequences import Consequences, consequence_options, json_text
from kws_stream.cli.options import (
    Threshold,
    channel_option,
    json_option,
    no_verify_option,
    threshold_option,
    threshold_values,
)
from kws_stream.cli.output import complain, print_event
from kws_stream.errors import MissingExtraError, ParameterError, ServerError

if TYPE_CHECKING:
    from kws_stream.detector import WakeEvent
    from kws_stream.integrations.wyoming.server import Address
    from kws_stream.live import Hearing
    from kws_stream.packs import Pack

DEFAULT_MODEL = "commands-12"
_LOOPBACK = ("127.", "localhost", "::1")


@click.command()
@click.option(
    "--uri",
    default="tcp://127.0.0.1:10400",
    show_default=True,
    metavar="URI",
    help="Where to listen: tcp://HOST:PORT or unix://PATH.",
)
@click.option(
    *("-m", "--model", "models"),
    multiple=True,
    metavar="MODEL",
    help="Model to offer; repeatable. Default: all that are shipped, those of wake phrases first, "
    "then commands-12.",
)
@click.option(
    "--wake",
    multiple=True,
    metavar="NAME",
    help="What a client listens for that gives no names; repeatable. Default: the wake phrases, "
    "or all words of the first --model where that is of words.",
)
@threshold_option
@no_verify_option
@channel_option
@click.option(
    "--max-clients",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Refuse more clients at once. Default: as many as this machine serves in real time.",
)
@consequence_options
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
    help="How much to tell on standard error; debug: clients that come and go too.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Sentences, or JSON lines with time and level.",
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
    zeroconf: str | None,
    as_json: bool,
    consequences: Consequences,
) -> None:
    """Serve wake words to Home Assistant and other Wyoming clients.

    It ends with Ctrl-C or SIGTERM, after a last word that a client has said. SIGHUP loads the
    models again without letting a client go. Each detection is printed as it is sent.
    """
    from kws_stream.integrations.wyoming.server import (
        Address,
        WyomingServer,
        serve_until_stopped,
    )

    try:
        address = Address.from_uri(uri)
    except ParameterError as error:
        raise click.BadParameter(str(error), param_hint="--uri") from error
    if zeroconf is not None and address.path:
        raise click.UsageError("--zeroconf announces tcp:// alone.")
    log = _log(log_level, log_format)
    if as_json:
        consequences.on_text = json_text
    # of packs that somebody still hears, through any number of reloads
    changed: WeakKeyDictionary[Pack, dict[str, float]] = WeakKeyDictionary()

    def load() -> "list[Pack]":
        packs = _load(models)
        if no_verify:
            packs = [replace(pack, verifier=None) for pack in packs]
        changed.update(zip(packs, threshold_values(packs, thresholds), strict=True))
        return packs

    packs = load()

    def make_hearing(pack: "Pack", keywords: frozenset[str], client: str) -> "Hearing":
        from kws_stream.live import Hearing
        from kws_stream.pipeline import KeywordSpotter

        spotter = KeywordSpotter(pack, changed[pack] or None)
        hearing = Hearing(spotter, keywords=keywords)
        hearing.watchers = consequences.watchers(spotter, client, lambda: hearing.from_s)
        return hearing

    def on_event(client: str, event: "WakeEvent") -> None:
        print_event(event, client, as_json, with_name=True)

    try:
        server = WyomingServer(
            packs,
            make_hearing,
            max_clients,
            on_event=on_event,
            on_message=log.warning,
            on_detail=log.debug,
            channel=channel,
            wake=wake,
        )
    except ParameterError as error:
        raise click.BadParameter(str(error), param_hint="--wake") from error

    def on_ready(bound: "Address") -> None:
        names = ", ".join(pack.name for pack in packs)
        log.info(f"serving {names} at {bound} to {server.max_clients} clients at most")
        wake = server.catalogue.wake
        if len(wake) < len(server.catalogue.names):
            log.info(f"a client that gives no names listens for {', '.join(wake)}")
        if bound.host and not bound.host.startswith(_LOOPBACK):
            log.warning("everybody who reaches this address can use it: Wyoming has no passwords")
        if monitor is not None:
            log.info(f"health and metrics at http://{monitor.host}:{monitor.port}")

    monitor = None
    if health is not None:
        from kws_stream.integrations.wyoming.monitor import Monitor

        monitor = Monitor(server, address.host or "127.0.0.1", health)

    async def run() -> None:
        async with _announced(zeroconf, address):
            with monitor or contextlib.nullcontext():
                await serve_until_stopped(server, address, on_ready, load, log.warning)

    with consequences:
        asyncio.run(run())


class _Lines(logging.Handler):
    """Each record as a line on standard error."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not self._as_json:
            complain(text)
            return
        told = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": told, "level": record.levelname.lower(), "message": text}
        click.echo(json.dumps(line), err=True)


def _log(level: str, form: str) -> logging.Logger:
    log = logging.getLogger("kws_stream.serve")
    log.handlers[:] = [_Lines(form == "json")]
    log.setLevel(level.upper())
    log.propagate = False
    return log


def _load(models: tuple[str, ...]) -> "list[Pack]":
    from kws_stream import packs
    from kws_stream.integrations.wyoming.catalogue import is_wake_phrase

    if models:
        return [packs.load(name) for name in dict.fromkeys(models)]
    shipped = [packs.load(name) for name in packs.list_packs()]
    shipped.sort(key=lambda pack: (not is_wake_phrase(pack), pack.name != DEFAULT_MODEL))
    return shipped


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
