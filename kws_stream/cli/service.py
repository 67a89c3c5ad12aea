"""What `serve` is made of in one process: its models, its server, its log."""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

import click

from kws_stream.cli.options import Threshold, threshold_values
from kws_stream.cli.outlet import Outlet
from kws_stream.cli.output import complain, complaint, event_line
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
    """A process that serves. While it is entered nobody waits for who reads what it prints.

    `settings.actions` is entered by whoever hears sound.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._detections: Outlet | None = None
        self._messages: Outlet | None = None
        self.log = logging.getLogger("kws_stream.serve")
        self.log.handlers[:] = [_Lines(settings.log_format == "json", self._print_message)]
        self.log.setLevel(settings.log_level.upper())
        self.log.propagate = False
        # of packs that somebody still hears, through any number of reloads
        self._thresholds: WeakKeyDictionary[Pack, dict[str, float]] = WeakKeyDictionary()

    def __enter__(self) -> Self:
        self._outlets = contextlib.ExitStack()
        self._messages = Outlet(sys.stderr, self._tell_lost_messages)
        self._detections = Outlet(sys.stdout, self._tell_lost_detections)
        self._outlets.enter_context(self._messages)
        self._outlets.enter_context(self._detections)
        return self

    def __exit__(self, *error: object) -> None:
        self._detections = self._messages = None
        self._outlets.close()

    def _print_message(self, line: str) -> None:
        if self._messages is not None:
            self._messages.put(line)
        else:
            click.echo(line, err=True)

    def _tell_lost_messages(self, lost: int) -> None:
        self.log.warning(f"{lost} messages were not read in time, and are lost")

    def _tell_lost_detections(self, lost: int) -> None:
        self.log.warning(
            f"{lost} detections were not read from standard output in time, and are lost"
        )

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
        line = event_line(event, client, self.settings.as_json, with_name=True)
        if self._detections is not None:
            self._detections.put(line)


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
        with service, settings.actions:
            asyncio.run(work(server, control, reports, service.load))
    except KwsStreamError as error:
        complain(f"error: worker {number + 1}: {error}")
        sys.exit(1)


class _Lines(logging.Handler):
    """Each record as a line."""

    def __init__(self, as_json: bool, write: Callable[[str], None]) -> None:
        super().__init__()
        self._as_json = as_json
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if self._as_json:
            told = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            line = {"time": told, "level": record.levelname.lower(), "message": text}
            self._write(json.dumps(line))
        else:
            self._write(complaint(text))


def _load(models: tuple[str, ...]) -> "list[Pack]":
    from kws_stream import packs
    from kws_stream.integrations.wyoming.catalogue import is_wake_phrase

    if models:
        return [packs.load(name) for name in dict.fromkeys(models)]
    shipped = [packs.load(name) for name in packs.list_packs()]
    shipped.sort(key=lambda pack: (not is_wake_phrase(pack), pack.name != DEFAULT_MODEL))
    return shipped
