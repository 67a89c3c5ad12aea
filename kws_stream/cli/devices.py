"""`kws-stream devices`: the microphones of this machine."""

from dataclasses import asdict

import click

from kws_stream.cli.options import json_option
from kws_stream.cli.output import complain, print_json, say
from kws_stream.names import counted


@click.command()
@json_option("Print a JSON list.")
def devices(as_json: bool) -> None:
    """List the microphones; a * marks the default one."""
    from kws_stream.audio import list_devices

    found = list_devices()
    if as_json:
        print_json([asdict(device) for device in found])
        return
    for device in found:
        mark = "*" if device.is_default else " "
        say(f"{mark} {device}, {counted(device.channels, 'channel')}, {device.rate_hz} Hz")
    if not found:
        complain("no input device; connect a microphone")
