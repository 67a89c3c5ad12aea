"""`kws-stream export-c`: a model as a C99 library."""

from pathlib import Path

import click

from kws_stream.cli.output import complain, say


@click.command(name="export-c")
@click.argument("model")
@click.option(
    *("-o", "--output"),
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Write the sources to this new or empty folder.",
)
def export_c(model: str, output: Path) -> None:
    """Write a model as a C99 library with an example.

    MODEL is a name or the folder of a pack. The library computes in integers, and needs no heap and
    no header but <string.h>.

    Example: kws-stream export-c yes-4 -o yes-4-c
    """
    from firmware_sim.export_c import export_c as write
    from kws_stream.export.firmware import load_model

    pack, numbers = load_model(model)
    files = write(numbers, output)
    folder = click.format_filename(output)
    say(f"wrote {pack.name} {pack.version} as {len(files)} files in the folder {folder}")
    if pack.verifier is not None and numbers.verifier is None:
        complain(f"note: the verifier of {pack.name} is not in it; every trigger is an event there")
    say(f"to build it: cc -std=c99 -Wall -Wextra -Wpedantic -Werror -O2 {output}/*.c -o spotter")
