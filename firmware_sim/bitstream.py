"""A model as bits for the chip, and back.

The bits of registers.py, zeros up to a whole byte, and a CRC-32 (IEEE 802.3, as zlib's) over all
bytes before it. A CRC-32 finds every flip of one bit, and every burst of errors up to 32 bits long.
"""

import zlib
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, frexp, ldexp
from typing import Any

import numpy as np

from kws_stream.brief import brief
from kws_stream.errors import BitstreamError, ParameterError
from kws_stream.parameters import Block, Layer, NetworkParameters

from . import registers
from .detector import score_code
from .integers import codes_of, exponent_of
from .model import DetectorDesign, FirmwareModel

HEAD_BITS = registers.offset_of("features")
MAX_CODE = 2**53


@dataclass(frozen=True, eq=False)
class Configuration:
    """What a chip is set to: the network, and all registers as numbers."""

    parameters: NetworkParameters
    registers: registers.Values
    crc: int

    __repr__ = brief


def _layer_values(layer: Layer) -> registers.Values:
    values: registers.Values = {}
    for name, array in (("weight", layer.weight.T), ("bias", layer.bias)):
        unit = exponent_of(array.ravel()) or 0
        codes = codes_of(array, unit, MAX_CODE, name).ravel().tolist()
        values |= {f"{name}_unit": unit, name: codes}
        values[f"{name}_bits"] = max(map(abs, codes)).bit_length()
    return values


def _block_values(block: Block) -> registers.Values:
    """A bias current is not negative: a cell with beta2 < 0 is always on, as with beta2 = 0."""
    below = block.beta2 < 0
    currents = {
        "threshold": np.where(below, 0.0, block.beta2),
        "hysteresis": np.where(below, 0.0, block.delta),
        "gain": block.alpha,
    }
    unit = exponent_of(np.concatenate(list(currents.values()))) or 0
    codes = {
        name: codes_of(values, unit, MAX_CODE, name).tolist() for name, values in currents.items()
    }
    return {
        "cells": block.cells,
        "candidate": _layer_values(block.candidate),
        "current_unit": unit,
        "current_bits": max(code for each in codes.values() for code in each).bit_length(),
        **codes,
        "initial": [int(bit) for bit in block.initial_state],
        "post": _layer_values(block.post),
    }


def _detector_values(detector: DetectorDesign) -> registers.Values:
    return {
        "frame_ms": detector.frame_ms,
        "window": detector.window,
        "warmup": detector.warmup,
        "refractory": detector.refractory,
        "onset_ms": detector.onset_ms,
        "threshold": [score_code(value) for value in detector.thresholds],
        "rearm": [score_code(value) for value in detector.rearms],
    }


def encode(model: FirmwareModel) -> bytes:
    """The bitstream of a model; raises BitstreamError for one that the register map cannot hold."""
    parameters = model.parameters
    grid = parameters.input_grid
    if grid is None:
        raise ParameterError("network: need one with an input_grid to program, got none")
    step = Fraction(grid.step)
    values: registers.Values = {
        "magic": registers.MAGIC,
        "version": registers.VERSION,
        "length": 0,
        "features": parameters.n_features,
        "width": parameters.width,
        "blocks": len(parameters.blocks),
        "classes": parameters.n_classes,
        "grid_unit": frexp(grid.step)[1] - 1,
        "grid_low": ceil(Fraction(grid.low) / step),
        "grid_high": floor(Fraction(grid.high) / step),
        "pre": _layer_values(parameters.pre),
        "block": [_block_values(block) for block in parameters.blocks],
        "classifier": _layer_values(parameters.classifier),
        "detector": _detector_values(model.detector),
    }
    payload = -(-len(registers.pack(values)) // 8) * 8
    values["length"] = payload + registers.CRC_BITS
    bits = registers.pack(values).ljust(payload, "0")
    data = int(bits, 2).to_bytes(payload // 8, "big")
    return data + zlib.crc32(data).to_bytes(4, "big")


def check(data: bytes) -> None:
    """Refuse what is no whole, intact bitstream of this version; raises BitstreamError."""
    if len(data) * 8 < HEAD_BITS + registers.CRC_BITS:
        raise BitstreamError(
            f"bitstream: need {(HEAD_BITS + registers.CRC_BITS) // 8} bytes at least, got "
            f"{len(data)}; program the model again"
        )
    magic, version = int.from_bytes(data[:4], "big"), data[4]
    length = int.from_bytes(data[5:9], "big")
    if magic != registers.MAGIC:
        raise BitstreamError(
            f"bitstream: need one that begins with {registers.MAGIC:#010x}, got {magic:#010x}; "
            "give a file written by kws-stream program"
        )
    if version != registers.VERSION:
        raise BitstreamError(
            f"bitstream: need version {registers.VERSION} of the register map, got {version}; "
            "get a matching kws-stream, or an intact copy"
        )
    if length != len(data) * 8:
        raise BitstreamError(
            f"bitstream: need the {length} bits that it promises, got {len(data) * 8}; "
            "it was cut, or bits are wrong: program the model again"
        )
    found, wanted = zlib.crc32(data[:-4]), int.from_bytes(data[-4:], "big")
    if found != wanted:
        raise BitstreamError(
            f"bitstream: need the CRC {wanted:#010x} that it promises, got {found:#010x}; "
            "bits are wrong: program the model again"
        )


def _layer(values: registers.Values, n_in: int, n_out: int) -> tuple[Any, Any]:
    weight = np.ldexp(np.array(values["weight"], float), values["weight_unit"])
    bias = np.ldexp(np.array(values["bias"], float), values["bias_unit"])
    return weight.reshape(n_out, n_in).T, bias


def _block(values: registers.Values, width: int) -> dict[str, Any]:
    threshold, hysteresis, gain = (
        np.array(values[name], np.int64) for name in ("threshold", "hysteresis", "gain")
    )
    unit, cells = values["current_unit"], values["cells"]
    return {
        "candidate": _layer(values["candidate"], width, cells),
        "beta1": np.ldexp((threshold - hysteresis).astype(float), unit),
        "delta": np.ldexp(hysteresis.astype(float), unit),
        "alpha": np.ldexp(gain.astype(float), unit),
        "initial_state": values["initial"],
        "post": _layer(values["post"], cells, width),
    }


def decode(data: bytes) -> Configuration:
    """What these bits set a chip to; BitstreamError as `check`, and for impossible values."""
    check(data)
    bits = format(int.from_bytes(data[:-4], "big"), f"0{len(data) * 8 - registers.CRC_BITS}b")
    values, used = registers.unpack(bits)
    if len(bits) - used > 7 or "1" in bits[used:]:
        raise BitstreamError(
            f"bitstream: need {used} bits and zeros up to a whole byte, got {len(bits)} bits; "
            "program the model again"
        )
    width = values["width"]
    try:
        step = ldexp(1.0, values["grid_unit"])
        with np.errstate(over="ignore"):  # what is infinite is refused as that
            parameters = NetworkParameters.from_arrays(
                _layer(values["pre"], values["features"], width),
                [_block(block, width) for block in values["block"]],
                _layer(values["classifier"], width, values["classes"]),
                (step, values["grid_low"] * step, values["grid_high"] * step),
            )
    except (ParameterError, OverflowError) as error:  # OverflowError: a grid of 2^1024 and more
        raise BitstreamError(f"bitstream: {error}; program the model again") from error
    return Configuration(parameters, values, int.from_bytes(data[-4:], "big"))
