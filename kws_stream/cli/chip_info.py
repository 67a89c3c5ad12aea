"""`kws-stream chip-info`: what a bitstream sets a chip to."""

from pathlib import Path
from typing import Any

import click

from kws_stream.cli.output import counted, print_rows

MAX_BYTES = 2**26


@click.command("chip-info")
@click.argument("bitstream", type=click.Path(path_type=Path))
def chip_info(bitstream: Path) -> None:
    """Check the file BITSTREAM and show what it sets a chip to."""
    from firmware_sim.bitstream import decode
    from kws_stream.errors import BitstreamError

    try:
        with open(bitstream, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BitstreamError(f"{bitstream}: need a file to read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise BitstreamError(f"{bitstream}: need {MAX_BYTES} bytes at most, got more")
    configuration = decode(data)
    registers, parameters = configuration.registers, configuration.parameters
    detector, grid = registers["detector"], parameters.input_grid
    assert grid is not None  # a bitstream always has one
    rows = [
        ("version", str(registers["version"])),
        ("length", f"{registers['length']} bits"),
        ("CRC-32", f"{configuration.crc:#010x}, right"),
        (
            "network",
            f"{parameters.n_features} features, {parameters.width} wires, "
            f"{parameters.cells_in_words}, {parameters.n_classes} classes",
        ),
        ("input grid", f"{grid.low:g} to {grid.high:g} in steps of {grid.step:g}"),
        ("pre", _layer(registers["pre"])),
    ]
    for number, block in enumerate(registers["block"], 1):
        cells = (
            f"{counted(block['cells'], 'cell')}, bias DACs of {block['current_bits']} bits in "
            f"steps of 2^{block['current_unit']}, {sum(block['initial'])} on at the start"
        )
        rows.append((f"block {number}", cells))
        rows += [(f"  {name}", _layer(block[name])) for name in ("candidate", "post")]
    ms = detector["frame_ms"]
    timing = (
        f"frames of {ms} ms, window {detector['window'] * ms} ms, refractory "
        f"{detector['refractory'] * ms} ms, warm-up {detector['warmup'] * ms} ms"
    )
    rows += [
        ("classifier", _layer(registers["classifier"])),
        ("detector", timing),
        ("thresholds", _scores(detector["threshold"])),
        ("re-arm below", _scores(detector["rearm"])),
    ]
    print_rows((f"{title}:", text) for title, text in rows)


def _layer(layer: dict[str, Any]) -> str:
    return (
        f"{counted(len(layer['weight']), 'weight')} of sign and "
        f"{counted(layer['weight_bits'], 'bit')} in steps of 2^{layer['weight_unit']}, "
        f"{len(layer['bias'])} biases of sign and "
        f"{counted(layer['bias_bits'], 'bit')} in steps of 2^{layer['bias_unit']}"
    )


def _scores(codes: list[int]) -> str:
    return " ".join("-" if code > 2**24 else f"{code / 2**24:.3g}" for code in codes)
