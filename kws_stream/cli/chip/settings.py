"""`kws-stream chip settings`: every setting of the chip, with unit, range and source."""

from pathlib import Path

import click

from kws_stream.cli.chip.common import chip_settings, settings_options
from kws_stream.cli.options import json_option
from kws_stream.cli.output import print_json, say


@click.command()
@json_option("Print them as one JSON object, as --settings reads it.")
@settings_options
def settings(as_json: bool, settings_file: Path | None, changes: tuple[str, ...]) -> None:
    """List the settings of a chip.

    The list tells what each one means, its unit, range and source. [P]: arXiv:2605.15216. [F]:
    fitted to the transistor-level simulations published with it. [G]: fitted to this project's
    simulations in GF180MCU. [E]: estimated. None was measured on silicon.
    """
    chosen = chip_settings(settings_file, changes)
    if as_json:
        print_json(chosen.as_dict())
        return
    lines = [f"{'setting':<25}{'value':>9} {'unit':<9}{'range':<14}source", "  meaning", ""]
    for row in chosen.table():
        value = getattr(chosen, row["name"])
        text = str(value).lower() if isinstance(value, bool) else f"{value}"
        span = "" if isinstance(value, bool | str) else f"{row['low']:g}..{row['high']:g}"
        lines.append(f"{row['name']:<25}{text:>9} {row['unit']:<9}{span:<14}{row['source']}")
        lines.append(f"  {row['what']}")
    say("\n".join(lines))
