"""`kws-stream detect`: keywords in files and pipes."""

import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from kws_stream.cli.options import (
    Threshold,
    json_option,
    make_spotter,
    model_option,
    power_option,
    threshold_option,
)
from kws_stream.cli.output import complain, print_event, print_power, uninterrupted
from kws_stream.errors import AudioError, InputError

if TYPE_CHECKING:
    from kws_stream.audio import AudioSource
    from kws_stream.pipeline import KeywordSpotter


@click.command()
@click.argument("audio", nargs=-1, required=True)
@model_option("commands-12")
@json_option()
@power_option()
@threshold_option
@click.option(
    "--rate",
    type=click.IntRange(1000, 768_000),
    default=16_000,
    show_default=True,
    help='Sample rate of "-" in Hz.',
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
    thresholds: list[Threshold],
    rate: int,
    channels: int,
) -> None:
    """Print the keywords in files and pipes.

    AUDIO: wav, flac, ogg, opus, mp3 or aiff; "-" is raw little-endian 16-bit PCM on standard
    input, heard as it comes. Each file is a stream of its own; the power report is over all.
    """
    for option in ("rate", "channels"):
        given = context.get_parameter_source(option) is not ParameterSource.DEFAULT
        if given and "-" not in audio:
            raise click.UsageError(f'--{option} is for "-" alone; a file knows its own.')
    spotter = make_spotter(model, thresholds)
    failed = False
    try:
        for path in audio:
            spotter.reset(keep_power=True)
            try:
                with _open(path, rate, channels) as source:
                    _print_events(spotter, source, as_json, with_name=len(audio) > 1)
            except (AudioError, InputError) as error:
                complain(f"error: {error}")
                failed = True
    finally:
        # after Ctrl-C too, but not after a crash, nor where no file could be read at all
        early = sys.exception()
        nothing = failed and not spotter.power().frames
        if power_report and isinstance(early, KeyboardInterrupt | None) and not nothing:
            print_power(spotter, as_json)
    if failed:
        context.exit(1)


def _open(path: str, rate: int, channels: int) -> "AudioSource":
    from kws_stream.audio import FileSource, PipeSource

    if path != "-":
        return FileSource(path)
    if sys.stdin is None:
        raise AudioError("-: need an open standard input, got a closed one; connect a pipe")
    return PipeSource(sys.stdin.buffer, rate, channels)


def _print_events(
    spotter: "KeywordSpotter", source: "AudioSource", as_json: bool, with_name: bool
) -> None:
    count = 0
    for block in source.blocks():
        with uninterrupted():
            events = spotter.process(block)
        for event in events:
            print_event(event, source.name, as_json, with_name)
        count += len(events)
    if not count:
        name = click.format_filename(source.name)
        complain(f"{name}: no keyword in {spotter.time_s:.2f} s")
