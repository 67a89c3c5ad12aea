"""The register map: one table, from which bits are packed and unpacked, and C and documents made.

A group is a list of fields and of further groups, in the order in which their bits are sent, each
code with its highest bit first. A field's width is a number or the name of an earlier field that
holds it; so is how often it stands there. Sign-magnitude codes have one bit more: the sign first,
1 for negative, as a current mirror's sign is the rail that it feeds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from kws_stream.brief import brief
from kws_stream.errors import BitstreamError

MAGIC = 0x4B575331  # "KWS1"
VERSION = 1
CRC_BITS = 32


@dataclass(frozen=True)
class Field:
    """count: names whose product is how many codes stand here; signed: sign-magnitude."""

    name: str
    bits: int | str
    unit: str
    meaning: str
    count: tuple[str, ...] = ()
    signed: bool = False

    __repr__ = brief


@dataclass(frozen=True)
class RegisterGroup:
    """The fields of `kind` at this place, once or `count` times, with names for its sizes."""

    name: str
    kind: str
    count: str = ""
    sizes: Mapping[str, str] = field(default_factory=dict)

    __repr__ = brief


EXPONENT = 12  # sign-magnitude: every exponent of a float64

REGISTERS: dict[str, list[Field | RegisterGroup]] = {
    "chip": [
        Field("magic", 32, "", f"{MAGIC:#010x}: KWS1 in ASCII"),
        Field("version", 8, "", f"of this map: {VERSION}"),
        Field("length", 32, "bits", "all bits, from magic to CRC"),
        Field("features", 12, "", "inputs of the network"),
        Field("width", 12, "", "wires of the skip path"),
        Field("blocks", 8, "", "blocks of cells"),
        Field("classes", 12, "", "logits"),
        Field("grid_unit", EXPONENT, "", "an input step is 2^this unit currents", signed=True),
        Field("grid_low", 32, "input steps", "lowest input", signed=True),
        Field("grid_high", 32, "input steps", "highest input", signed=True),
        RegisterGroup("pre", "layer", sizes={"n_in": "features", "n_out": "width"}),
        RegisterGroup("block", "block", count="blocks"),
        RegisterGroup("classifier", "layer", sizes={"n_in": "width", "n_out": "classes"}),
        RegisterGroup("detector", "detector"),
    ],
    "layer": [
        Field("weight_unit", EXPONENT, "", "a weight step is a ratio of 2^this", signed=True),
        Field("weight_bits", 6, "bits", "magnitude of a weight"),
        Field("bias_unit", EXPONENT, "", "a bias step is 2^this unit currents", signed=True),
        Field("bias_bits", 6, "bits", "magnitude of a bias"),
        Field(
            "weight",
            "weight_bits",
            "weight steps",
            "mirror ratios, output by output",
            ("n_out", "n_in"),
            signed=True,
        ),
        Field("bias", "bias_bits", "bias steps", "bias currents", ("n_out",), signed=True),
    ],
    "block": [
        Field("cells", 12, "", "cells of this block"),
        RegisterGroup("candidate", "layer", sizes={"n_in": "width", "n_out": "cells"}),
        Field("current_unit", EXPONENT, "", "a DAC step is 2^this unit currents", signed=True),
        Field("current_bits", 6, "bits", "width of a bias DAC code"),
        Field("threshold", "current_bits", "DAC steps", "I_thresh, beta2", ("cells",)),
        Field("hysteresis", "current_bits", "DAC steps", "I_width, delta", ("cells",)),
        Field("gain", "current_bits", "DAC steps", "I_gain, alpha", ("cells",)),
        Field("initial", 1, "", "state of the cell at the start", ("cells",)),
        RegisterGroup("post", "layer", sizes={"n_in": "cells", "n_out": "width"}),
    ],
    "detector": [
        Field("frame_ms", 8, "ms", "length of a frame"),
        Field("window", 16, "frames", "that are averaged"),
        Field("warmup", 20, "frames", "after the start in which nothing fires"),
        Field("refractory", 20, "frames", "between two events of a keyword"),
        Field("onset_ms", 22, "ms", "from a word's start to the rise of its score"),
        Field("threshold", 26, "2^-24", "score that fires; 2^25: never", ("classes",)),
        Field("rearm", 26, "2^-24", "score below which it arms again; 2^25: always", ("classes",)),
    ],
}

Values = dict[str, Any]


class _Writer:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def codes(self, field: Field, bits: int, count: int, given: list[int]) -> list[int]:
        if len(given) != count:
            raise BitstreamError(f"register {field.name}: need {count} codes, got {len(given)}")
        for code in given:
            if abs(code) >= 1 << bits or (code < 0 and not field.signed):
                raise BitstreamError(
                    f"register {field.name}: need codes of {bits} bits, got {code}; this model "
                    "does not fit the register map"
                )
            sign = ("1" if code < 0 else "0") if field.signed else ""
            self.parts.append(sign + (format(abs(code), f"0{bits}b") if bits else ""))
        return given


class _Reader:
    def __init__(self, bits: str) -> None:
        self._bits = bits
        self.at = 0

    def codes(self, field: Field, bits: int, count: int, given: list[int]) -> list[int]:
        each = bits + field.signed
        if each * count > len(self._bits) - self.at:
            raise BitstreamError(
                f"register {field.name}: need {each * count} more bits, got "
                f"{len(self._bits) - self.at}; the stream is cut or its sizes are wrong"
            )
        codes = []
        for _ in range(count):
            text = self._bits[self.at : self.at + each]
            self.at += each
            sign, magnitude = (text[:1], text[1:]) if field.signed else ("0", text)
            codes.append((-1 if sign == "1" else 1) * int(magnitude or "0", 2))
        return codes


def _walk(kind: str, codec: _Writer | _Reader, values: Values, sizes: Mapping[str, int]) -> Values:
    """Send or receive one group; gives its values: numbers, lists of numbers, groups."""
    known = dict(sizes)
    out: Values = {}
    for row in REGISTERS[kind]:
        if isinstance(row, RegisterGroup):
            inner = known | {name: known[of] for name, of in row.sizes.items()}
            if row.count:
                given = values.get(row.name) or [{}] * known[row.count]
                out[row.name] = [_walk(row.kind, codec, each, inner) for each in given]
            else:
                out[row.name] = _walk(row.kind, codec, values.get(row.name, {}), inner)
            continue
        bits = known[row.bits] if isinstance(row.bits, str) else row.bits
        value = values.get(row.name, [])
        given = value if isinstance(value, list) else [value]
        codes = codec.codes(row, bits, prod(known[name] for name in row.count), given)
        out[row.name] = codes if row.count else codes[0]
        if not row.count:
            known[row.name] = codes[0]
    return out


def pack(values: Values) -> str:
    """The bits of a chip, "0" and "1", no padding, no CRC; BitstreamError for one too big."""
    writer = _Writer()
    _walk("chip", writer, values, {})
    return "".join(writer.parts)


def unpack(bits: str) -> tuple[Values, int]:
    """The values in the bits of a chip, and how many bits they took; BitstreamError if cut."""
    reader = _Reader(bits)
    return _walk("chip", reader, {}, {}), reader.at


def offset_of(name: str) -> int:
    """Bit at which a field of the fixed head of the chip's registers begins."""
    at = 0
    for row in REGISTERS["chip"]:
        assert isinstance(row, Field)
        assert isinstance(row.bits, int)
        if row.name == name:
            break
        at += row.bits + row.signed
    return at


def _rows(kind: str) -> Iterator[tuple[str, str, str, str, str]]:
    for row in REGISTERS[kind]:
        if isinstance(row, RegisterGroup):
            sizes = ", ".join(f"{name} = {of}" for name, of in row.sizes.items())
            yield (
                f"{row.name}",
                "",
                row.count or "1",
                "",
                f"group `{row.kind}`; {sizes}".rstrip("; "),
            )
        else:
            bits = f"1 + {row.bits}" if row.signed else str(row.bits)
            yield row.name, bits, " · ".join(row.count) or "1", row.unit, row.meaning


def markdown() -> str:
    """The register map as tables, for docs/bitstream.md."""
    lines = []
    for kind in REGISTERS:
        lines += [f"### Group `{kind}`", "", "| field | bits | how often | unit | meaning |"]
        lines += ["|---|---|---|---|---|"]
        lines += ["| " + " | ".join([f"`{row[0]}`", *row[1:]]) + " |" for row in _rows(kind)]
        lines.append("")
    return "\n".join(lines).rstrip()


def c_header() -> str:
    """kws_registers.h: widths of all fields, and the places of those that the driver reads."""
    lines = [
        "/* The register map of the chip (docs/bitstream.md); written by kws-stream export-c.",
        " * A width that another field holds is not listed; SIGNED codes have a sign bit more. */",
        "#ifndef KWS_REGISTERS_H",
        "#define KWS_REGISTERS_H",
        "",
        f"#define KWS_REG_MAGIC {MAGIC:#x}u",
        f"#define KWS_REG_VERSION {VERSION}u",
        f"#define KWS_REG_CRC_BITS {CRC_BITS}",
        f"#define KWS_REG_LENGTH_OFFSET {offset_of('length')}",
        f"#define KWS_REG_VERSION_OFFSET {offset_of('version')}",
        "",
    ]
    for kind, rows in REGISTERS.items():
        for row in rows:
            if isinstance(row, Field) and isinstance(row.bits, int):
                signed = "_SIGNED" if row.signed else ""
                name = f"KWS_{kind}_{row.name}_BITS{signed}".upper()
                lines.append(f"#define {name} {row.bits} /* {row.meaning} */")
    return "\n".join([*lines, "", "#endif", ""])
