"""A self-contained C99 library of one model: the sources in c/ and the model's numbers."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from kws_stream.errors import ParameterError
from kws_stream.features.fixed_point import BLOCK, FixedBank

from . import export_verifier
from .detector import check_detector, score_code
from .integers import INT32, IntegerLayer, IntegerNetwork, integer_network
from .model import FirmwareModel, FrontEndDesign
from .new_folder import write_new_folder
from .registers import c_header

SOURCES = Path(__file__).parent / "c"
HOST = Path(__file__).parent / "host"


def _array(kind: str, name: str, values: Iterable[object], per_line: int = 12) -> str:
    """Definition of an array; C has none without entries, so those get a 0."""
    texts = [str(value) for value in values] or ["0"]
    lines = [
        "    " + ", ".join(texts[at : at + per_line]) + "," for at in range(0, len(texts), per_line)
    ]
    return f"{kind} {name}[{len(texts)}] = {{\n" + "\n".join(lines) + "\n};\n"


def _text(text: str) -> str:
    """A C string literal; bytes beyond ASCII in octal, which ends after three digits."""
    plain = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{plain}"'


def _integer_type(largest: int) -> str:
    return "int32_t" if largest <= INT32 else "int64_t"


def _sum(value: int) -> str:
    """A literal of any kws_sum: INT64_C keeps long ones from being too large for int."""
    return str(value) if abs(value) <= INT32 else f"INT64_C({value})"


def _weight_type(network: IntegerNetwork) -> str:
    layers = [network.pre, network.classifier]
    layers += [layer for block in network.blocks for layer in (block.candidate, block.post)]
    largest = max(int(abs(layer.weight).max()) for layer in layers)
    return next(
        kind
        for kind, limit in (("int8_t", 127), ("int16_t", 32767), ("int32_t", INT32))
        if largest <= limit
    )


def _header(model: FirmwareModel, network: IntegerNetwork, front_end: FrontEndDesign) -> str:
    detector = model.detector
    bank, conditioning = front_end
    widths = [layer.weight.shape for layer in (network.pre, network.classifier)]
    widths += [b.candidate.weight.shape for b in network.blocks]
    longest = max(len(name.encode()) for name in model.classes)
    wait = 0 if model.verifier is None else model.verifier.looks[-1]
    constants: dict[str, object] = {
        "FEATURES": network.pre.weight.shape[0],
        "WIDTH": network.pre.weight.shape[1],
        "BLOCKS": len(network.blocks),
        "CELLS": sum(len(block.alpha) for block in network.blocks),
        "CLASSES": len(model.classes),
        "WIDEST": max(size for shape in widths for size in shape),
        "LOGIT_FRACTION": network.logit_fraction,
        "CHANNELS": bank.channels,
        "SLOW_COPIES": len(conditioning.slow_gains),
        "BLOCK": BLOCK,
        "FRAME_SAMPLES": bank.frame_samples,
        "FRAME_MS": detector.frame_ms,
        "HALF_WAVE": int(bank.half_wave),
        "LOWPASS_GAIN": bank.lowpass_gain,
        "AGC_GAIN": conditioning.agc_gain,
        "START_ROOT": conditioning.start_root,
        "FLOOR": f"{conditioning.floor}u",
        "OFFSET": f"UINT64_C({conditioning.offset})",
        "ROOT_OFFSET": conditioning.root_offset,
        "STEP_SHIFT": conditioning.step_shift,
        "HALF_STEP": (1 << conditioning.step_shift) // 2,
        "FEATURE_MAX": conditioning.feature_max,
        "WINDOW": detector.window,
        "WARMUP": detector.warmup,
        "REFRACTORY": detector.refractory,
        "FINISH": f"{(detector.finish + wait) * bank.frame_samples}u",
        "ONSET_MS": detector.onset_ms,
        "RING_SAMPLES": f"{1 << (3 * bank.frame_samples - 1).bit_length()}u",
        "LINE": longest + 80,
    }
    if model.verifier is not None:
        constants |= export_verifier.constants(model.verifier)
    comment = re.sub(r"[^\w. -]", "_", f"{model.name} {model.version}", flags=re.ASCII)
    return "\n".join(
        [
            f"/* The numbers of the model {comment}; written by kws-stream export-c. */",
            "#ifndef KWS_MODEL_H",
            "#define KWS_MODEL_H",
            "",
            "#include <stdint.h>",
            "",
            f"typedef {_weight_type(network)} kws_weight;",
            f"typedef {_integer_type(network.largest_wire)} kws_wire; /* inputs of layers */",
            f"typedef {_integer_type(network.largest_sum)} kws_sum;   /* sums; none exceeds it */",
            "",
            *(f"#define KWS_{name} {value}" for name, value in constants.items()),
            "",
            "#endif",
            "",
        ]
    )


def _layer(layer: IntegerLayer, name: str) -> tuple[str, str]:
    """Definitions of a layer's arrays, and its initialiser."""
    n_in, n_out = layer.weight.shape
    arrays = _array("static const kws_weight", f"{name}_weight", layer.weight.ravel().tolist(), 20)
    arrays += _array("static const kws_sum", f"{name}_bias", map(_sum, layer.bias.tolist()))
    return arrays, f"{{{name}_weight, {name}_bias, {_sum(layer.gain)}, {n_in}, {n_out}}}"


def _bands(bank: FixedBank) -> Iterator[str]:
    """Initialisers of kws_band, a channel each."""
    for c in range(bank.channels):
        taps = bank.taps[c].tolist()
        odd = [taps[i ^ 1] for i in range(BLOCK)]
        even = [taps[0], 0, *(taps[i + step] for i in range(1, BLOCK - 1, 2) for step in (1, 0))]
        turn = [*bank.turn[:, c, ::2].T.ravel().tolist(), *bank.turn[:, c, 1::2].T.ravel().tolist()]
        arrays = [taps, odd, even, turn, bank.into[0, c].tolist(), bank.into[1, c].tolist()]
        words = [f"{{{', '.join(map(str, values))}}}" for values in arrays]
        words[4:] = [f"{{{words[4]}, {words[5]}}}"]
        words.append(f"{{{bank.pole[0, c] << 9}, {bank.pole[1, c] << 9}}}")
        words.append(f"{{{bank.before[c]}, {taps[0]}}}")
        words += map(str, (bank.tap_shift[c], bank.into_shift[c]))
        yield f"{{{', '.join(words)}}}"


def _definitions(model: FirmwareModel, network: IntegerNetwork, front_end: FrontEndDesign) -> str:
    parts = ['#include "kws.h"\n']
    blocks = []
    for name, layer in (("kws_pre", network.pre), ("kws_classifier", network.classifier)):
        arrays, initialiser = _layer(layer, name)
        parts += [arrays, f"const kws_layer {name} = {initialiser};\n"]
    for index, block in enumerate(network.blocks):
        name = f"block{index}"
        candidate, candidate_initialiser = _layer(block.candidate, f"{name}_candidate")
        post, post_initialiser = _layer(block.post, f"{name}_post")
        kind = "static const kws_sum"
        parts += [
            candidate,
            post,
            _array(kind, f"{name}_beta1", map(_sum, block.beta1.tolist())),
            _array(kind, f"{name}_beta2", map(_sum, block.beta2.tolist())),
            _array("static const kws_wire", f"{name}_alpha", block.alpha.tolist()),
            _array("static const uint8_t", f"{name}_initial", map(int, block.initial)),
        ]
        cells = ", ".join(f"{name}_{field}" for field in ("beta1", "beta2", "alpha", "initial"))
        blocks.append(
            f"{{{candidate_initialiser}, {post_initialiser}, {cells}, {len(block.alpha)}}}"
        )
    if not blocks:
        blocks = ["{{0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}, 0, 0, 0, 0, 0}"]
    detector = model.detector
    bank, conditioning = front_end
    return "\n".join(
        [
            *parts,
            _array("const kws_block", "kws_blocks", blocks, 1),
            _array("const kws_band", "kws_bands", _bands(bank), 1),
            _array("const uint32_t", "kws_weights", (f"{w}u" for w in bank.weights), 8),
            _array("const int32_t", "kws_slow_gains", [*conditioning.slow_gains, 0]),
            _array("const char *const", "kws_class_names", map(_text, model.classes), 6),
            _array("const uint32_t", "kws_thresholds", map(score_code, detector.thresholds), 8),
            _array("const uint32_t", "kws_rearms", map(score_code, detector.rearms), 8),
            *(
                []
                if model.verifier is None
                else export_verifier.definitions(model.verifier, model.classes, _array)
            ),
        ]
    )


def library(model: FirmwareModel) -> dict[str, str]:
    """The files of the C library by name; raises ParameterError for a model that does not fit."""
    network = integer_network(model.parameters)
    front_end = model.front_end
    if front_end is None:
        raise ParameterError(
            "fixed-point front end: need the analog filterbank, got a mel front end; use a model "
            "trained on the filterbank"
        )
    check_detector(model.detector, max(network.classifier.bounds))
    files = {
        path.name: path.read_text("ascii")
        for path in sorted(SOURCES.iterdir())
        if path.suffix in (".c", ".h")
        and (model.verifier is not None or path.name not in export_verifier.FILES)
    }
    files["kws_model.h"] = _header(model, network, front_end)
    files["kws_registers.h"] = c_header()
    files["kws_model.c"] = _definitions(model, network, front_end)
    return files


def export_c(model: FirmwareModel, directory: str | os.PathLike[str]) -> list[Path]:
    """Write the C library to a new or empty directory; all files or none.

    Raises ParameterError for a model that does not fit, FirmwareError for a directory that holds
    something or cannot be written.
    """
    texts = library(model)
    return write_new_folder(directory, {name: text.encode("ascii") for name, text in texts.items()})
