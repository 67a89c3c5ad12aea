"""What `serve` is made of in one process: its models, its server, its log."""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import click

from kws_stream.cli.options import Threshold, threshold_values
from kws_stream.cli.output import complain, print_event
from kws_stream.errors import KwsStreamError, ParameterError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from socket import socket

    from kws_stream.detector import WakeEvent
    from kws_stream.integrations.actions import EventActions
    from kws_stream.integrations.wyoming.server import WyomingServer
    from kws_stream.live import Hearing
    from kws_stream.packs import Pack

DEFAULT_MODEL = "commands-12"


@dataclass(frozen=True)
class Settings:
    """The options of the command that a worker wants to know; it gets them pickled."""

    models: tuple[str, ...]
    wake: tuple[str, ...]
    thresholds: tuple[Threshold, ...]
    no_verify: bool
    channel: int | None
    max_clients: int | None
    log_level: str
    log_format: str
    as_json: bool
    actions: "EventActions"


class Service:
    """A process that serves; `settings.actions` is entered while it does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = _log(settings.log_level, settings.log_format)
        # of packs that somebody still hears, through any number of reloads
        self._thresholds: WeakKeyDictionary[Pack, dict[str, float]] = WeakKeyDictionary()

    def load(self) -> "list[Pack]":
        """The packs to offer, read anew; raises PackError."""
        packs = _load(self.settings.models)
        if self.settings.no_verify:
            packs = [replace(pack, verifier=None) for pack in packs]
        values = threshold_values(packs, list(self.settings.thresholds))
        self._thresholds.update(zip(packs, values, strict=True))
        return packs

    def server(self, packs: "list[Pack]", capacity: tuple[int, list[int]]) -> "WyomingServer":
        """A server of these packs; raises BadParameter for wake words that they have not."""
        from kws_stream.integrations.wyoming.server import WyomingServer

        try:
            return WyomingServer(
                packs,
                self._make_hearing,
                self.settings.max_clients,
                on_event=self._on_event,
                on_message=self.log.warning,
                on_detail=self.log.debug,
                channel=self.settings.channel,
                wake=self.settings.wake,
                capacity=capacity,
            )
        except ParameterError as error:
            raise click.BadParameter(str(error), param_hint="--wake") from error

    def _make_hearing(self, pack: "Pack", keywords: frozenset[str], client: str) -> "Hearing":
        from kws_stream.live import Hearing
        from kws_stream.pipeline import KeywordSpotter

        spotter = KeywordSpotter(pack, self._thresholds[pack] or None)
        hearing = Hearing(spotter, keywords=keywords)
        hearing.watchers = self.settings.actions.watchers(spotter, client, lambda: hearing.from_s)
        return hearing

    def _on_event(self, client: str, event: "WakeEvent") -> None:
        print_event(event, client, self.settings.as_json, with_name=True)


def start_worker(
    settings: Settings,
    places: list[int],
    shares: Sequence[int],
    control: "socket",
    reports: "Connection",
    number: int,
) -> None:
    """The process of a worker: as the command without --workers, but for clients it is handed.

    places: of each pack. shares: clients of each worker; number: this one's, from 0.
    """
    from kws_stream.integrations.wyoming.worker import be_a_worker, work

    be_a_worker()
    service = Service(settings)
    try:
        server = service.server(service.load(), (shares[number], places))
        with settings.actions:
            asyncio.run(work(server, control, reports, service.load))
    except KwsStreamError as error:
        complain(f"error: worker {number + 1}: {error}")
        sys.exit(1)


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
