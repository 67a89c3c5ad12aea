"""`kws-stream serve`: a Wyoming wake word service."""

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    zeroconf: str | None,
    as_json: bool,
    consequences: Consequences,
) -> None:
    """Serve wake words to Home Assistant and other Wyoming clients.

    It ends with Ctrl-C or SIGTERM. Each detection is printed as it is sent.
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
    if as_json:
        consequences.on_text = json_text
    packs = _load(models)
    if no_verify:
        packs = [replace(pack, verifier=None) for pack in packs]
    changed = dict(zip(packs, threshold_values(packs, thresholds), strict=True))

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
            on_message=complain,
            channel=channel,
            wake=wake,
        )
    except ParameterError as error:
        raise click.BadParameter(str(error), param_hint="--wake") from error

    def on_ready(bound: "Address") -> None:
        names = ", ".join(pack.name for pack in packs)
        complain(f"serving {names} at {bound} to {server.max_clients} clients at most")
        wake = server.catalogue.wake
        if len(wake) < len(server.catalogue.names):
            complain(f"a client that gives no names listens for {', '.join(wake)}")
        if bound.host and not bound.host.startswith(_LOOPBACK):
            complain("everybody who reaches this address can use it: Wyoming has no passwords")

    async def run() -> None:
        async with _announced(zeroconf, address):
            await serve_until_stopped(server, address, on_ready)

    with consequences:
        asyncio.run(run())


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
