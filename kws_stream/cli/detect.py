"""`kws-stream detect`: keywords in files and pipes."""

import contextlib
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from kws_stream.cli.files import open_sound
from kws_stream.cli.options import (
    Threshold,
    channel_option,
    json_option,
    make_spotter,
    model_option,
    no_verify_option,
    power_option,
    power_plot_option,
    threshold_option,
)
from kws_stream.cli.output import complain, print_event, print_power, tell_channels, uninterrupted
from kws_stream.cli.power_report import subject_of
from kws_stream.cli.progress import progress
from kws_stream.cli.session_report import make_log, report_option, write_report
from kws_stream.errors import AudioError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kws_stream.audio import AudioSource
    from kws_stream.detector import WakeEvent
    from kws_stream.live import Hearing


@click.command()
@click.argument("audio", nargs=-1, required=True)
@model_option("commands-12")
@json_option()
@power_option()
@power_plot_option
@report_option
@threshold_option
@no_verify_option
@channel_option
@click.option(
    "--rate",
    type=click.IntRange(10, 768_000),
    help='Sample rate of "-" in Hz. Default: the one that the model hears, 16000 for speech.',
)
@click.option(
    "--channels",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help='Interleaved channels of "-".',
)
@click.pass_context
def detect(
    context: click.Context,
    audio: tuple[str, ...],
    model: str,
    as_json: bool,
    power_report: bool,
    full: bool,
    figure: Path | None,
    report: str | None,
    thresholds: list[Threshold],
    no_verify: bool,
    channel: int | None,
    rate: int | None,
    channels: int,
) -> None:
    """Print the keywords in files and pipes.

    AUDIO is a sound file: wav, flac, ogg, opus, mp3, aiff, caf, au or w64, and with the extra
    formats also m4a, mp4, aac, webm and more. "-" is raw little-endian 16-bit PCM on standard
    input, heard as it arrives. Each file is a stream of its own. The power report covers all files
    together.

    Example: kws-stream detect --threshold stop=0.9 evening.wav
    """
    for option in ("rate", "channels"):
        given = context.get_parameter_source(option) is not ParameterSource.DEFAULT
        if given and "-" not in audio:
            raise click.UsageError(f'--{option} is for "-" alone; a file knows its own.')
    if channel is not None and "-" in audio and channel > channels:
        raise click.UsageError(
            f'--channel {channel}: "-" has {channels} channel{"s" * (channels > 1)}; give their '
            "number with --channels."
        )
    from kws_stream.live import Hearing, PowerMeter, Watcher

    spotter = make_spotter(model, thresholds, no_verify)
    wants_power = power_report or figure is not None
    meter = PowerMeter(spotter) if wants_power or report is not None else None
    log = make_log(report, meter) if report is not None and meter is not None else None
    watchers: list[Watcher] = [watcher for watcher in (meter, log) if watcher is not None]
    hearing = Hearing(spotter, watchers)
    failed = False
    heard = []
    try:
        for path in audio:
            (meter or spotter).reset(keep_power=True)
            if log is not None:
                log.begin(path)
            try:
                with _open(path, spotter.rate_hz, rate, channels, channel) as source:
                    heard.append(path)
                    _print_events(hearing, source, as_json, with_name=len(audio) > 1)
            except (AudioError, InputError) as error:
                complain(f"error: {error}")
                failed = True
    finally:
        # after Ctrl-C too, but not after a crash, nor where no file could be read at all
        early = sys.exception()
        nothing = failed and not spotter.power().frames
        calm = isinstance(early, KeyboardInterrupt | None) and not nothing
        if meter is not None and calm:
            if wants_power:
                subject = subject_of(spotter.pack, heard)
                print_power(meter.report(), subject, as_json, figure, full=full)
            if report is not None and log is not None:
                write_report(report, log, meter)
    if failed:
        context.exit(1)


def _open(
    path: str, to_hz: int, rate: int | None, channels: int, channel: int | None
) -> "AudioSource":
    from kws_stream.audio import PipeSource

    if path != "-":
        return open_sound(path, channel, to_hz)
    if sys.stdin is None:
        raise AudioError("-: need an open standard input, got a closed one; connect a pipe")
    return PipeSource(
        sys.stdin.buffer,
        rate or to_hz,
        channels,
        channel=channel,
        on_note=lambda note: tell_channels([note]),
        to_hz=to_hz,
    )


def _heard(
    hearing: "Hearing", source: "AudioSource", events: "deque[WakeEvent]"
) -> "Iterator[None]":
    """Adds the events of a source, block by block, and of its end; a cut, which raises, is none."""
    for block in source.blocks():
        with uninterrupted():
            events += hearing.hear(block)
        yield
    events += hearing.end()
    yield


def _print_events(
    hearing: "Hearing", source: "AudioSource", as_json: bool, with_name: bool
) -> None:
    count = 0
    unprinted: deque[WakeEvent] = deque()
    name = click.format_filename(source.name)
    long = getattr(source, "duration_s", None)  # a pipe may go on for ever
    shown = (
        contextlib.nullcontext() if long is None else progress(f"{name}: heard", "s", lines=True)
    )
    try:
        with shown as heard:
            for _ in _heard(hearing, source, unprinted):
                count += len(unprinted)
                while unprinted:
                    print_event(unprinted.popleft(), source.name, as_json, with_name)
                if heard is not None:
                    heard(hearing.spotter.time_s, long)
    except KeyboardInterrupt:  # Ctrl-C, while the block with these was heard
        for event in unprinted:
            print_event(event, source.name, as_json, with_name)
        raise
    if not count:
        complain(f"{name}: no keyword in {hearing.spotter.time_s:.2f} s")
