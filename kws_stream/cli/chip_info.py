"""`kws-stream chip-info`: what a bitstream sets a chip to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.options import NumberRange
from kws_stream.cli.output import print_rows, say
from kws_stream.names import counted

if TYPE_CHECKING:
    from firmware_sim.bitstream import Configuration
    from kws_stream.parameters import NetworkParameters


@click.command("chip-info")
@click.argument("bitstream", type=click.Path(path_type=Path))
@click.option(
    "--currents",
    is_flag=True,
    help="Print the circuit element of every parameter, with its current in nA or its mirror.",
)
@click.option(
    "--unit",
    "unit_na",
    type=NumberRange(0.01, 100),
    metavar="nA",
    help="With --currents, the current in nA that 1.0 stands for. Default: 1.",
)
def chip_info(bitstream: Path, currents: bool, unit_na: float | None) -> None:
    """Check a bitstream and show what it sets a chip to.

    BITSTREAM is a file. It may also be a model, by name or folder; then it is the bitstream that
    `program` would write.
    """
    if unit_na is not None and not currents:
        raise click.UsageError("--unit needs --currents.")
    from kws_stream.export.firmware import configuration_of

    configuration = configuration_of(bitstream)
    if currents:
        say(_elements(configuration.parameters, unit_na or 1.0))
    else:
        _summary(configuration)


def _summary(configuration: "Configuration") -> None:
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


def _elements(parameters: "NetworkParameters", unit_na: float) -> str:
    """A line an element; places, wires and cells counted from 1."""
    from kws_stream.bmru.elements import elements

    found = elements(parameters, unit_na)
    narrow = sum(one.too_narrow for one in found)
    lines = [
        f"{parameters.parameter_count} parameters in {len(found)} elements; those of 0 need none",
        f"at {unit_na:g} nA a unit; from, to: wires and cells, counted from 1",
        "",
        f"{'place':<19}{'element':<10}{'from':>5}{'to':>5}  {'rail':<4}{'current, nA':>13}"
        f"{'ratio':>10}{'width, um':>11}",
    ]
    for one in found:
        mirror = one.width_um is not None
        source = "" if one.source is None else f"{one.source + 1}"
        current = "" if mirror else f"{one.value:.5g}"
        ratio = f"{one.value:.5g}" if mirror else ""
        width = "" if one.width_um is None else "too narrow" if one.too_narrow else one.width_um
        width = f"{width:.2f}" if isinstance(width, float) else width
        lines.append(
            f"{one.place:<19}{one.kind:<10}{source:>5}{one.target + 1:>5}  {one.rail:<4}"
            f"{current:>13}{ratio:>10}{width:>11}".rstrip()
        )
    lines += [
        "",
        "Widths are of output devices at 180 nm, by a fit to published simulations at 1 nA;",
        f"{narrow} mirrors would be narrower than can be drawn (0.22 um).",
    ]
    return "\n".join(lines)


def _layer(layer: dict[str, Any]) -> str:
    return (
        f"{counted(len(layer['weight']), 'weight')} of sign and "
        f"{counted(layer['weight_bits'], 'bit')} in steps of 2^{layer['weight_unit']}, "
        f"{counted(len(layer['bias']), 'bias', 'biases')} of sign and "
        f"{counted(layer['bias_bits'], 'bit')} in steps of 2^{layer['bias_unit']}"
    )


def _scores(codes: list[int]) -> str:
    return " ".join("-" if code > 2**24 else f"{code / 2**24:.3g}" for code in codes)
