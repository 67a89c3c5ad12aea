"""`kws-stream program`: a model as the bitstream of a chip."""

from pathlib import Path

import click

from kws_stream.cli.files import check_file, write_file
from kws_stream.cli.output import say


@click.command()
@click.argument("model")
@click.option(
    "-o",
    "--output",
    callback=check_file,
    metavar="FILE",
    required=True,
    help="Write the bitstream to this file.",
)
def program(model: str, output: str) -> None:
    """Write the bitstream that programs a chip with a model.

    MODEL is a name or the folder of a pack. The bitstream is first sent to a simulated chip bit by
    bit, latched, and read back.

    Example: kws-stream program yes-4 -o yes-4.bit
    """
    from firmware_sim import bitstream
    from firmware_sim.chip import Chip
    from firmware_sim.chip import program as send
    from kws_stream.export.firmware import load_model

    pack, numbers = load_model(model)
    data = bitstream.encode(numbers)
    chip = Chip(len(data) * 8)
    chip.supply(1.8)
    configuration = send(chip, data)
    write_file(Path(output), data)
    say(
        f"wrote {pack.name} {pack.version} as a bitstream of {len(data) * 8} bits, CRC-32 "
        f"{configuration.crc:#010x}: {click.format_filename(output)}"
    )
    say("A simulated chip took it and latched it; what was read back is what was sent.")
