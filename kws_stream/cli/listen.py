"""`kws-stream listen`: keywords in a microphone's sound, with a live picture in a terminal."""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.actions import action_options, json_text
from kws_stream.cli.options import (
    Threshold,
    channel_option,
    json_option,
    make_spotter,
    model_option,
    no_verify_option,
    parse_seconds,
    power_option,
    power_plot_option,
    threshold_option,
)
from kws_stream.cli.output import complain, print_event, print_power, uninterrupted
from kws_stream.cli.power_report import subject_of
from kws_stream.cli.session_report import make_log, report_option, write_report
from kws_stream.cli.web import WebSettings, serve_page, web_options
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DeviceError

if TYPE_CHECKING:
    from kws_stream.audio import MicrophoneSource
    from kws_stream.cli.live_view import Lines, LiveView
    from kws_stream.integrations.actions import EventActions
    from kws_stream.live import Hearing, Watcher
    from kws_stream.pipeline import KeywordSpotter


@click.command()
@model_option("commands-12")
@click.option(
    "--device",
    metavar="D",
    help="Microphone, by its index or a part of its name. `kws-stream devices` lists them.",
)
@channel_option
@click.option(
    *("--duration", "duration_s"),
    type=float,
    callback=parse_seconds,
    metavar="S",
    help="End after this many seconds of sound.",
)
@json_option()
@power_option()
@power_plot_option
@report_option
@click.option(
    "--reconnect", is_flag=True, help="Wait for a device that was unplugged to come back."
)
@threshold_option
@no_verify_option
@web_options
@action_options
def listen(
    model: str,
    device: str | None,
    channel: int | None,
    duration_s: float | None,
    as_json: bool,
    power_report: bool,
    full: bool,
    figure: Path | None,
    report: str | None,
    reconnect: bool,
    thresholds: list[Threshold],
    no_verify: bool,
    web: WebSettings | None,
    actions: "EventActions",
) -> None:
    """Listen to a microphone.

    The command ends after --duration, or with Ctrl-C. In a terminal, a live picture shows level,
    filterbank, scores, cells and power, and the events are printed at the end. Without a terminal,
    or with --json, each event is printed as it comes.

    Example: kws-stream listen --exec 'echo heard "$KWS_KEYWORD"'
    """
    from kws_stream.pipeline import need_speech_rate

    if as_json:
        actions.on_text = json_text
    spotter = make_spotter(model, thresholds, no_verify)
    need_speech_rate(spotter, "listen")
    if web is not None:
        if duration_s is not None or power_report or figure or report or reconnect:
            raise click.UsageError(
                "--duration, --power-report, --plot, --report and --reconnect are not for --web."
            )
        serve_page(spotter, device, web, actions, as_json, channel)
        return
    from kws_stream.audio import MicrophoneSource
    from kws_stream.cli.live_view import Lines, LiveView
    from kws_stream.live import Hearing, PowerMeter

    wants_power = power_report or figure is not None
    meter = PowerMeter(spotter) if wants_power or report is not None else None
    log = make_log(report, meter) if report is not None and meter is not None else None
    live_view = LiveView(spotter) if not as_json and _is_terminal() else None
    display = live_view or Lines(as_json)
    if live_view is not None:
        actions.on_text = live_view.on_text
    source = MicrophoneSource(
        device, reconnect, duration_s, on_status=display.on_status, channel=channel
    )
    try:
        with actions, source, display.shown():
            watchers: list[Watcher] = [*actions.watchers(spotter, source.name)]
            if log is not None:
                log.begin(source.name)
            watchers += [w for w in (meter, log, live_view) if w is not None]
            with contextlib.closing(Hearing(spotter, watchers)) as hearing:
                _hear_all(source, hearing, display)
    finally:
        if isinstance(sys.exception(), KeyboardInterrupt | DeviceError | None):
            for event in display.unprinted:
                print_event(event, source.name, as_json)
            complain(_summary(source, spotter))
            if meter is not None and wants_power:
                subject = subject_of(spotter.pack, [source.name])
                print_power(meter.report(), subject, as_json, figure, full=full)
            if report is not None and meter is not None and log is not None:
                write_report(report, log, meter)


def _hear_all(source: "MicrophoneSource", hearing: "Hearing", display: "LiveView | Lines") -> None:
    for block in source.blocks():
        began = time.perf_counter()
        with uninterrupted():
            display.unprinted += [] if display.paused else hearing.hear(block)
        display.spent(len(block) / SAMPLE_RATE_HZ, time.perf_counter() - began)
        if not display.show(source):
            return
    if hearing.spotter.verifier is not None:  # triggers may wait for more sound
        display.unprinted += hearing.end()
        display.show(source)


def _is_terminal() -> bool:
    """A terminal that can move its cursor; in any other, events are lines."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _summary(source: "MicrophoneSource", spotter: "KeywordSpotter") -> str:
    text = f"heard {spotter.time_s:.2f} s of {source.name}"
    faults = {
        "clipped samples": source.clipped_samples,
        "overruns": source.overruns,
        "dropped blocks": source.dropped_blocks,
    }
    return text + "".join(f", {count} {name}" for name, count in faults.items() if count)
