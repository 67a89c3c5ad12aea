"""`kws-stream listen`: keywords in a microphone's sound, with a live picture in a terminal."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.options import (
    Threshold,
    json_option,
    make_spotter,
    model_option,
    parse_seconds,
    power_figure_option,
    power_option,
    threshold_option,
)
from kws_stream.cli.output import complain, print_event, print_power, uninterrupted
from kws_stream.errors import DeviceError

if TYPE_CHECKING:
    from kws_stream.audio import MicrophoneSource
    from kws_stream.detector import WakeEvent
    from kws_stream.pipeline import KeywordSpotter

REFRESH_S = 0.1


@click.command()
@model_option("commands-12")
@click.option("--device", metavar="D", help="Index, or part of the name; see `devices`.")
@click.option(
    *("--duration", "duration_s"),
    type=float,
    callback=parse_seconds,
    metavar="S",
    help="End after so many seconds of sound.",
)
@json_option()
@power_option()
@power_figure_option
@click.option("--reconnect", is_flag=True, help="Wait for a device that goes away.")
@threshold_option
def listen(
    model: str,
    device: str | None,
    duration_s: float | None,
    as_json: bool,
    power_report: bool,
    figure: Path | None,
    reconnect: bool,
    thresholds: list[Threshold],
) -> None:
    """Listen to a microphone.

    It ends after --duration, or with Ctrl-C.

    In a terminal a live picture shows level, scores, state bits and power; the events are printed
    when it ends. Without a terminal, or with --json, each event is a line as it comes.
    """
    from kws_stream.audio import MicrophoneSource
    from kws_stream.live import PowerMeter

    spotter = make_spotter(model, thresholds)
    meter = PowerMeter(spotter) if power_report or figure is not None else None
    display = _Picture(spotter) if not as_json and _is_terminal() else _Lines(as_json)
    source = MicrophoneSource(device, reconnect, duration_s, on_status=display.on_status)
    try:
        with source, display.shown():
            for block in source.blocks():
                with uninterrupted():
                    events = (meter or spotter).process(block)
                display.show(source, block, events)
    finally:
        if isinstance(sys.exception(), KeyboardInterrupt | DeviceError | None):
            for event in display.unprinted:
                print_event(event, source.name, as_json)
            complain(_summary(source, spotter))
            if meter is not None:
                print_power(meter.report(), as_json, figure)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _summary(source: "MicrophoneSource", spotter: "KeywordSpotter") -> str:
    text = f"heard {spotter.time_s:.2f} s of {source.name}"
    faults = {
        "clipped samples": source.clipped_samples,
        "overruns": source.overruns,
        "dropped blocks": source.dropped_blocks,
    }
    return text + "".join(f", {count} {name}" for name, count in faults.items() if count)


class _Lines:
    """Events as lines, as they come."""

    unprinted: "tuple[WakeEvent, ...]" = ()

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def shown(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def on_status(self, message: str) -> None:
        complain(message)

    def show(self, source: "MicrophoneSource", block: Any, events: "list[WakeEvent]") -> None:
        for event in events:
            print_event(event, source.name, self._as_json)


class _Picture:
    """The live picture, drawn anew ten times a second at most: sound goes first."""

    def __init__(self, spotter: "KeywordSpotter") -> None:
        from rich.console import Console
        from rich.live import Live

        self._spotter = spotter
        console = Console()
        self._plain = console.options.ascii_only
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self.unprinted: list[WakeEvent] = []
        self._status = ""
        self._drawn = 0.0
        self._peak, self._energy, self._samples = 0.0, 0.0, 0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        with self._live:
            yield

    def on_status(self, message: str) -> None:
        self._status = message
        self._live.update(message, refresh=True)

    def show(self, source: "MicrophoneSource", block: Any, events: "list[WakeEvent]") -> None:
        from kws_stream.audio import to_float32

        self.unprinted += events
        samples = to_float32(block)
        self._peak = max(self._peak, float(abs(samples).max()))
        self._energy += float(samples @ samples)
        self._samples += len(samples)
        now = time.monotonic()
        if now - self._drawn < REFRESH_S:
            return
        self._drawn = now
        self._live.update(self._draw(source), refresh=True)
        self._peak, self._energy, self._samples = 0.0, 0.0, 0

    def _draw(self, source: "MicrophoneSource") -> Any:
        from kws_stream.cli.screen import Score, State, screen

        spotter = self._spotter
        thresholds = spotter.thresholds
        return screen(
            State(
                model=spotter.pack.name,
                device=source.device_name,
                time_s=spotter.time_s,
                peak=self._peak,
                rms=(self._energy / self._samples) ** 0.5,
                clipped=source.clipped_samples,
                overruns=source.overruns,
                dropped=source.dropped_blocks,
                core_nw=spotter.recent_power().core_nw,
                scores=[
                    Score(name, float(score), thresholds.get(name))
                    for name, score in zip(spotter.classes, spotter.smoothed_scores, strict=True)
                ],
                bits=spotter.bits,
                events=self.unprinted,
                status=self._status,
                plain=self._plain,
            )
        )
