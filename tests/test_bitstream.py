"""The bitstream and the chip that takes it: nothing wrong gets in, what was sent comes back."""

import ctypes
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_sim import bitstream, registers
from firmware_sim.chip import BROWN_OUT_V, Chip, bits_of, program, readback, serial_crc
from firmware_sim.export_c import SOURCES
from firmware_sim.integers import integer_network
from kws_stream import packs
from kws_stream.errors import BitstreamError, FirmwareError
from kws_stream.export.firmware import firmware_model
from kws_stream.network import Network
from tests.pack_factory import build_pack
from tests.test_firmware import model_of, random_features

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "bitstream.md"


@pytest.fixture(scope="module")
def stream() -> bytes:
    return bitstream.encode(model_of("yes-4")[1])


def chip_for(data: bytes, seed: int = 0) -> Chip:
    chip = Chip(len(data) * 8, seed)
    chip.supply(1.8)
    return chip


@pytest.mark.parametrize("name", packs.list_packs())
def test_a_programmed_chip_gives_the_bits_of_every_shipped_pack(name: str) -> None:
    pack, model = model_of(name)
    data = bitstream.encode(model)
    small = len(data) < 5000  # a large one would take seconds, bit by bit
    configuration = program(chip_for(data), data) if small else bitstream.decode(data)
    network = Network(configuration.parameters)
    (frames,) = random_features(pack.network, 1, 60)
    ours, wanted = network.run(frames), pack.network.run(frames)
    assert np.array_equal(ours.logits, wanted.logits)
    for bits, theirs in zip(ours.bits, wanted.bits, strict=True):
        assert np.array_equal(bits, theirs)


def test_registers_hold_the_very_numbers_of_the_pack() -> None:
    pack, model = model_of("commands-12")
    ours = bitstream.decode(bitstream.encode(model)).parameters
    wanted = pack.network.parameters
    for layer in ("pre", "classifier"):
        assert np.array_equal(getattr(ours, layer).weight, getattr(wanted, layer).weight)
        assert np.array_equal(getattr(ours, layer).bias, getattr(wanted, layer).bias)
    for block, theirs in zip(ours.blocks, wanted.blocks, strict=True):
        # a bias current is never negative: what a candidate always reaches is 0 on the chip
        for field in ("beta1", "beta2"):
            assert np.array_equal(getattr(block, field), np.maximum(getattr(theirs, field), 0))
        assert np.array_equal(
            block.delta, np.maximum(theirs.beta2, 0) - np.maximum(theirs.beta1, 0)
        )
        for field in ("alpha", "initial_state"):
            assert np.array_equal(getattr(block, field), getattr(theirs, field))


def test_a_cell_with_a_negative_threshold_is_always_on_and_programs_as_such(
    tmp_path: Path,
) -> None:
    model = model_of(build_pack(tmp_path / "pack", graphs=False))[1]
    block = model.parameters.blocks[0]
    beta1 = block.beta1.copy()
    beta1[0] = -9.0
    object.__setattr__(block, "beta1", beta1)
    parameters = bitstream.decode(bitstream.encode(model)).parameters
    features = random_features(Network(model.parameters), 1, 40)
    logits, bits = (
        integer_network(p).run(integer_network(p).features(features))
        for p in (model.parameters, parameters)
    )
    assert np.array_equal(logits[0], bits[0])
    assert logits[1][0][..., 0].all()


def test_every_flip_of_one_bit_is_detected(stream: bytes) -> None:
    for bit in range(len(stream) * 8):
        flipped = bytearray(stream)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        with pytest.raises(BitstreamError):
            bitstream.decode(bytes(flipped))


def test_every_cut_and_every_extra_byte_is_refused(stream: bytes) -> None:
    for length in range(len(stream)):
        with pytest.raises(BitstreamError):
            bitstream.decode(stream[:length])
    with pytest.raises(BitstreamError, match="promises"):
        bitstream.decode(stream + b"\0")


def forged(stream: bytes, change: Any) -> bytes:
    """A stream with other bytes and a right CRC."""
    body = bytearray(stream[:-4])
    change(body)
    return bytes(body) + zlib.crc32(bytes(body)).to_bytes(4, "big")


def test_a_forged_stream_with_a_right_crc_is_refused_in_one_sentence(stream: bytes) -> None:
    def wide(body: bytearray) -> None:
        body[9] = 0xFF  # features: more than there are bits

    def another(body: bytearray) -> None:
        body[4] = 9

    with pytest.raises(BitstreamError, match="more bits"):
        bitstream.decode(forged(stream, wide))
    with pytest.raises(BitstreamError, match="version"):
        bitstream.decode(forged(stream, another))


def test_readback_equals_what_was_sent_and_the_serial_crc_is_that_of_zlib(stream: bytes) -> None:
    chip = chip_for(stream)
    program(chip, stream)
    assert readback(chip) == stream
    assert readback(chip) == stream  # reading does not disturb
    assert serial_crc(bits_of(b"123456789")) == 0xCBF43926  # the check value of CRC-32


def test_after_power_up_a_chip_is_not_configured_whatever_its_register_holds() -> None:
    for seed in range(20):
        chip = Chip(256, seed)
        chip.supply(1.8)
        assert chip.powered
        assert not chip.configured
        assert not chip.latch()
        with pytest.raises(BitstreamError, match="without a configuration"):
            chip.configuration()


def test_without_supply_nothing_is_clocked_and_nothing_latched(stream: bytes) -> None:
    chip = Chip(len(stream) * 8)
    with pytest.raises(BitstreamError, match="refused"):
        program(chip, stream)
    assert chip.clock(1) == 0


@pytest.mark.parametrize("missing", [1, 7, 8, 1000])
def test_partial_programming_fails_the_crc_and_leaves_what_ran(stream: bytes, missing: int) -> None:
    chip = chip_for(stream)
    for bit in bits_of(stream)[: len(stream) * 8 - missing]:
        chip.clock(bit)
    assert not chip.latch()
    assert chip.crc_error
    assert not chip.configured
    program(chip, stream)
    before = readback(chip)
    for bit in bits_of(stream)[: len(stream) * 8 - missing]:
        chip.clock(bit)
    assert not chip.latch()
    assert chip.crc_error
    assert chip.configured
    assert readback(chip) == before
    for bit in [*bits_of(stream), 0]:  # one clock too many
        chip.clock(bit)
    assert not chip.latch()
    program(chip, stream)
    assert not chip.crc_error


def test_a_bit_lost_or_turned_on_the_wire_is_refused_by_the_chip(stream: bytes) -> None:
    chip = chip_for(stream)
    for at in (0, 77, len(stream) * 8 - 1):
        bits = bits_of(stream)
        bits[at] ^= 1
        for bit in bits:
            chip.clock(bit)
        assert not chip.latch()


def test_a_chip_made_for_another_model_refuses(stream: bytes) -> None:
    chip = Chip(len(stream) * 8 + 8)
    chip.supply(1.8)
    with pytest.raises(BitstreamError, match="made for this model"):
        program(chip, stream)


def test_a_brown_out_loses_the_configuration_and_is_remembered(stream: bytes) -> None:
    chip = chip_for(stream)
    program(chip, stream)
    chip.supply(BROWN_OUT_V)  # just enough
    assert chip.configured
    chip.supply(BROWN_OUT_V - 0.01)
    chip.supply(1.8)
    assert chip.brown_out
    assert not chip.configured
    with pytest.raises(BitstreamError, match="brown-out"):
        chip.configuration()
    program(chip, stream)
    assert chip.configured
    assert not chip.brown_out


class Pins(ctypes.Structure):
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("clock", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)),
        ("latch", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)),
        ("capture", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
    )


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_the_driver_in_c_programs_the_simulated_chip(tmp_path: Path, stream: bytes) -> None:
    (tmp_path / "kws_registers.h").write_text(registers.c_header())
    library = tmp_path / "chip.so"
    source = [SOURCES / "kws_chip.c", f"-I{SOURCES}", f"-I{tmp_path}"]
    subprocess.run(["gcc", "-std=c99", "-shared", "-fPIC", *source, "-o", library], check=True)
    driver = ctypes.CDLL(str(library))
    chip = chip_for(stream)
    broken = [0]  # clocks until a bit is turned

    def clock(context: Any, bit: int) -> int:
        broken[0] -= 1
        return chip.clock(bit ^ (broken[0] == 0))

    types = dict(Pins._fields_)
    pins = Pins(
        None,
        types["clock"](clock),
        types["latch"](lambda context: int(chip.latch())),
        types["capture"](lambda context: chip.capture()),
    )

    def send(data: bytes) -> int:
        return int(driver.kws_chip_program(ctypes.byref(pins), data, ctypes.c_size_t(len(data))))

    ok, bad_stream, refused, bad_readback = range(4)
    assert send(stream[:-1]) == bad_stream
    assert send(forged(stream, lambda body: body.__setitem__(0, 0))) == bad_stream
    assert not chip.configured
    broken[0] = 100
    assert send(stream) == refused
    assert send(stream) == ok
    assert readback(chip) == stream
    chip.supply(0.0)
    assert send(stream) == refused
    chip.supply(1.8)
    assert send(stream) == ok
    capture, pins.capture = pins.capture, types["capture"](lambda context: chip.clock(1))
    assert send(stream) == bad_readback
    pins.capture = capture


def test_the_document_shows_the_register_map_as_it_is() -> None:
    assert registers.markdown() in DOCUMENT.read_text("utf-8")


def test_a_model_that_the_map_cannot_hold_is_refused(tmp_path: Path) -> None:
    model = firmware_model(packs.load(build_pack(tmp_path / "pack", graphs=False)))
    object.__setattr__(model.detector, "onset_ms", 2**22)
    with pytest.raises(BitstreamError, match="onset_ms"):
        bitstream.encode(model)


def test_no_wrong_bit_of_a_backend_passes_the_comparison() -> None:
    from kws_stream.export.comparison import _require_same

    logits, bits = np.zeros((2, 3, 4)), [np.zeros((2, 3, 5), bool)]
    wrong = bits[0].copy()
    wrong[1, 2, 4] = True
    names = [Path("one.wav"), Path("two.wav")]
    _require_same("c", names, (logits, bits), (logits.copy(), [bits[0].copy()]))
    with pytest.raises(FirmwareError, match=r"bits of block 1.*two.wav at frame 2, place 4"):
        _require_same("c", names, (logits, bits), (logits, [wrong]))
    with pytest.raises(FirmwareError, match="logits"):
        _require_same("c", names, (logits, bits), (logits + 2.0**-40, bits))


@pytest.mark.parametrize("unit", [4095, 1024, -4095])
def test_units_beyond_all_numbers_are_a_sentence(stream: bytes, unit: int) -> None:
    """grid_unit is the first exponent of the map: 2^1024 is no float."""
    values = bitstream.decode(stream).registers
    at = registers.pack(values | {"grid_unit": 0})
    changed = registers.pack(values | {"grid_unit": unit})
    assert len(at) == len(changed)

    def change(body: bytearray) -> None:
        bits = changed.ljust(len(body) * 8, "0")
        body[:] = int(bits, 2).to_bytes(len(body), "big")

    with pytest.raises(BitstreamError, match="program the model again"):
        bitstream.decode(forged(stream, change))
