"""Bitstreams from strangers, and what a simulated chip gives back."""

import zlib

from firmware_sim import bitstream, registers
from firmware_sim.chip import Chip, program, readback
from fuzz.pack_files import PACK
from fuzz.places import sentence
from kws_stream.errors import BitstreamError
from kws_stream.export.firmware import firmware_model

_LENGTH_AT = registers.offset_of("length") // 8
_MOST_BYTES = 2048  # sent bit by bit


def _mended(data: bytes) -> bytes:
    """With the length and the CRC that it should have, so that what is between them counts."""
    body = bytearray(data[:-4])
    body[_LENGTH_AT : _LENGTH_AT + 4] = (len(data) * 8 & 0xFFFF_FFFF).to_bytes(4, "big")
    return bytes(body) + zlib.crc32(body).to_bytes(4, "big")


def chip_bitstream(data: bytes) -> None:
    """A stream is refused, or a chip takes it, gives back those very bits, and runs on them."""
    streams = [data, _mended(data)] if len(data) > _LENGTH_AT + 8 else [data]
    for stream in streams:
        try:
            configuration = bitstream.decode(stream)
        except BitstreamError as error:
            sentence(error)
            continue
        if len(stream) > _MOST_BYTES:
            continue
        chip = Chip(len(stream) * 8)
        chip.supply(1.8)
        assert program(chip, stream).registers == configuration.registers
        assert readback(chip) == stream
        chip.supply(0.0)
        assert not chip.configured


def bitstream_seeds() -> list[bytes]:
    """The bitstream of the small model, and cuts of it."""
    stream = bitstream.encode(firmware_model(PACK))
    return [stream, stream[:-1], stream[: len(stream) // 2]]
