"""The numbers of a verifier as C."""

import math
from collections.abc import Callable, Iterable

from .model import ConvolutionDesign, VerifierDesign

FILES = ("kws_verifier.c", "kws_verifier.h")
SCORE_UNIT = 1 << 16

Array = Callable[[str, str, Iterable[object]], str]


def constants(verifier: VerifierDesign) -> dict[str, object]:
    """Of the model's header, without their prefix."""
    frames, rooms = verifier.frames, [verifier.frames * verifier.layers[0].weight.shape[1]]
    for layer in verifier.layers[:-1]:
        frames = (frames - len(layer.weight)) // layer.stride + 1
        rooms.append(frames * layer.weight.shape[-1])
    return {
        "VERIFIER": 1,
        "VERIFIER_LAYERS": len(verifier.layers),
        "VERIFIER_FRAMES": verifier.frames,
        "VERIFIER_KEYWORDS": len(verifier.keywords),
        "VERIFIER_LOOKS": len(verifier.looks),
        "VERIFIER_WAIT": verifier.looks[-1],
        "VERIFIER_WIDEST": max(layer.weight.shape[-1] for layer in verifier.layers),
        "VERIFIER_ROOM": max(rooms),
        "VERIFIER_THRESHOLD": math.ceil(verifier.threshold * SCORE_UNIT),
    }


def definitions(verifier: VerifierDesign, classes: tuple[str, ...], array: Array) -> list[str]:
    """The arrays. array: gives the definition of one, of its type, name and values."""
    parts, layers = [], []
    for index, layer in enumerate(verifier.layers):
        name = f"verifier{index}"
        parts += [
            array("static const int8_t", f"{name}_weight", layer.weight.ravel().tolist()),
            array("static const int32_t", f"{name}_bias", map(_int32, layer.bias.tolist())),
            array("static const uint8_t", f"{name}_shift", layer.shift.tolist()),
        ]
        layers.append(f"{{{name}_weight, {name}_bias, {name}_shift, {_sizes(layer)}}}")
    rows = [verifier.keywords.index(c) if c in verifier.keywords else 0 for c in classes]
    return [
        *parts,
        array("const kws_convolution", "kws_verifier_layers", layers),
        array("const uint16_t", "kws_verifier_looks", verifier.looks),
        array("const uint8_t", "kws_verifier_rows", rows),
    ]


def _sizes(layer: ConvolutionDesign) -> str:
    shape = layer.weight.shape
    return f"{shape[0]}, {layer.stride}, {shape[1]}, {shape[-1]}, {int(len(shape) == 2)}"


def _int32(value: int) -> str:
    return str(value) if value > -(2**31) else "(-2147483647 - 1)"
