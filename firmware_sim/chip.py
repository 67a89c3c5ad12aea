"""The chip's digital side, bit by bit: a long shift register, latches, readback, and the supply.

    power-up          the register holds chance, nothing is latched: not configured, and quiet
    clock(bit)        the register moves one place; the bit at its far end comes out
    latch()           configured, if magic, version, length and CRC of the register are right;
                      else crc_error, and what was latched before stays
    capture()         the latches back into the register, to be clocked out: readback
    supply(volts)     below BROWN_OUT_V register and latches are lost: brown_out stays set until the
                      next good latch, and nothing runs until then

The register is as long as the bitstream that the chip is made for. Extra clocks push the first bits
out at the far end, too few leave old bits in; both fail the CRC.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np

from kws_stream.errors import BitstreamError

from .bitstream import Configuration, check, decode
from .registers import CRC_BITS, MAGIC, VERSION, offset_of

CRC_POLYNOMIAL = 0xEDB88320  # IEEE 802.3, reflected
BROWN_OUT_V = 1.2  # of a 1.8 V supply; a choice of this project, no silicon stands behind it


def serial_crc(bits: Iterable[int]) -> int:
    """CRC-32 of bits that come highest first in each byte, as a register of 32 flip-flops does.

    The CRC of Ethernet and zlib takes the lowest bit of a byte first, so bytes are turned.
    """
    state, byte = 0xFFFFFFFF, []
    for bit in bits:
        byte.append(bit)
        if len(byte) == 8:
            for each in reversed(byte):
                out = (state ^ each) & 1
                state = state >> 1 ^ (CRC_POLYNOMIAL if out else 0)
            byte = []
    return state ^ 0xFFFFFFFF


def _number(bits: Iterable[int]) -> int:
    return int("".join(map(str, bits)) or "0", 2)


class Chip:
    """A chip whose register has `length` bits; what it holds at power-up is drawn with `seed`."""

    def __init__(self, length: int, seed: int = 0) -> None:
        if length < offset_of("features") + CRC_BITS:
            raise BitstreamError(f"chip: need a register that holds a header, got {length} bits")
        self.length = length
        self._rng = np.random.default_rng(seed)
        self._volts = 0.0
        self.brown_out = False
        self._lose()

    def _lose(self) -> None:
        self._register = deque(self._rng.integers(0, 2, self.length).tolist(), self.length)
        self._latched: list[int] | None = None
        self.crc_error = False

    @property
    def powered(self) -> bool:
        return self._volts >= BROWN_OUT_V

    @property
    def configured(self) -> bool:
        return self.powered and self._latched is not None

    def supply(self, volts: float) -> None:
        """Set the supply; see the top for what a low one does."""
        was = self.powered
        self._volts = volts
        if was and not self.powered:
            self.brown_out = True
            self._lose()

    def clock(self, bit: int) -> int:
        """One clock: `bit` goes in, the oldest bit comes out; without power 0 comes."""
        if not self.powered:
            return 0
        out = self._register[0]
        self._register.append(bit & 1)
        return int(out)

    def latch(self) -> bool:
        """Take the register over if it is intact; returns whether it was."""
        if not self.powered:
            return False
        bits = list(self._register)
        crc = bits[-CRC_BITS:]
        head = bits[: offset_of("features")]
        good = (
            _number(head[: offset_of("version")]) == MAGIC
            and _number(head[offset_of("version") : offset_of("length")]) == VERSION
            and _number(head[offset_of("length") :]) == self.length
            and serial_crc(bits[:-CRC_BITS]) == _number(crc)
        )
        self.crc_error = not good
        if good:
            self._latched, self.brown_out = bits, False
        return good

    def capture(self) -> None:
        """Copy the latches into the register; without any the register stays as it is."""
        if self.configured and self._latched is not None:
            self._register = deque(self._latched, self.length)

    def configuration(self) -> Configuration:
        """What runs on the chip; BitstreamError while nothing does."""
        if not self.configured or self._latched is None:
            state = "after a brown-out" if self.brown_out else "without a configuration"
            raise BitstreamError(f"chip: need one that was programmed, got one {state}; program it")
        return decode(_number(self._latched).to_bytes(self.length // 8, "big"))


def bits_of(data: bytes) -> list[int]:
    """The bits of bytes in the order in which they are sent."""
    return [int(bit) for bit in format(int.from_bytes(data, "big"), f"0{len(data) * 8}b")]


def readback(chip: Chip) -> bytes:
    """What is latched, clocked out once round."""
    chip.capture()
    out = []
    for _ in range(chip.length):
        out.append(chip.clock(0))
    return _number(out).to_bytes(chip.length // 8, "big")


def program(chip: Chip, data: bytes) -> Configuration:
    """Send a bitstream, latch it, read it back and compare.

    Raises BitstreamError for a stream that is not intact, which is not sent, for a chip that
    refuses it or is made for another length, and where readback differs.
    """
    check(data)
    for bit in bits_of(data):
        chip.clock(bit)
    if not chip.latch():
        raise BitstreamError(
            f"chip: need it to take {len(data) * 8} bits, it refused them; check its supply and "
            f"that it is made for this model (its register has {chip.length} bits)"
        )
    if readback(chip) != data:
        raise BitstreamError("chip: need what was sent at readback, got other bits; program again")
    return chip.configuration()
