"""A model as one file for the engine in WebAssembly (web_package/index.js reads it).

    "KWSWEB1\\n" | bytes of facts, of blob: uint32 each | facts, JSON in ASCII | blob | weights
    | verifier

Everything is little-endian; facts and blob are filled up with zeros to 64 bytes, and so are weights
before a verifier. weights: (sums, 3) float64, what a unit of each mean sum adds to the cells', the
feedforward's and the classifier's power in nW at 1 nA; all are linear in the sums (docs/power.md).
verifier: the blob of one for microcontrollers, of `verifier.bytes` in the facts; there is none
where that is null.
"""

import json
import os
import struct
import sys
from importlib import resources
from pathlib import Path

import numpy as np

from firmware_sim.integers import integer_network
from firmware_sim.new_folder import write_new_folder
from kws_stream import __version__
from kws_stream.constants import RECORDING, SAMPLE_RATE_HZ
from kws_stream.detector import Detector, DetectorSettings
from kws_stream.engine.blob import DetectorFrames, check_room, model_blob, verifier_blob
from kws_stream.errors import ParameterError
from kws_stream.export.firmware import verifier_design
from kws_stream.features import FeatureSettings, centres_of, fixed_front_end
from kws_stream.packs import Pack
from kws_stream.parameters import FloatArray
from kws_stream.power import Activity
from kws_stream.verifier.cascade import wait_frames

PACKAGE = Path(__file__).parents[1] / "web_package"
PAGE = resources.files("kws_stream") / "integrations" / "web"
MODEL_FILE = "model.kws"
MAGIC = b"KWSWEB1\n"
_ALIGNMENT = 64


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


def web_model(pack: Pack) -> bytes:
    """The model file of a pack; a verifier for a host is left out.

    Raises ParameterError for a model that the engine has no room for, or with a mel front end,
    PackError for a broken verifier.
    """
    if sys.byteorder != "little":
        raise ParameterError("web model: need a little-endian machine to write it, got another")
    settings = FeatureSettings.from_dict(pack.features)
    if settings.kind != "analog":
        raise ParameterError(
            f"{pack.name}: need the analog filterbank for the web, got a {settings.kind} front "
            "end; use a model trained on the filterbank"
        )
    parameters = pack.network.parameters
    network = integer_network(parameters)
    detecting = DetectorSettings.from_dict(pack.detector)
    detector = Detector(detecting, pack.classes, pack.keywords, settings.frame_s)
    frames = DetectorFrames(parameters.n_classes, *detector.frames_of_settings)
    check_room(network, frames.window)
    blob = model_blob(*fixed_front_end(settings), network, frames)

    # one row a sum that the engine keeps: what it adds to the power, and the sum's unit
    cells = [block.cells for block in parameters.blocks]
    wire = 2.0**network.pre.exponent
    candidate_units = np.repeat([2.0**b.candidate.exponent for b in network.blocks], cells)
    alpha = np.concatenate([np.zeros(0), *(b.alpha for b in parameters.blocks)])
    inputs, width = parameters.width * len(cells), parameters.width
    units = np.concatenate(
        [np.full(inputs, wire), candidate_units, alpha, np.full(2 * width, wire)]
    )
    activity = Activity(parameters)
    rest = _power(activity, np.zeros(len(units)))
    # at currents so large that taking away the rest cancels no digits
    large = 2.0**40
    parts = [np.subtract(_power(activity, row), rest) for row in np.eye(len(units)) * large]
    weights = np.reshape(parts, (-1, 3)) / large * units[:, None]

    design = verifier_design(pack)
    verifier, told = b"", None
    if design is not None:
        verifier = verifier_blob(design, pack.classes, parameters.n_features)
        told = {
            "bytes": len(verifier),
            "threshold": design.threshold,
            "looks_s": [round(look * settings.frame_s, 6) for look in design.looks],
            "wait_samples": wait_frames(settings.frame_s) * settings.frame_samples,
        }
    facts = {
        "name": pack.name,
        "version": pack.version,
        "description": pack.manifest.get("description", ""),
        "licence": pack.manifest.get("licence", ""),
        "classes": list(pack.classes),
        "thresholds": detector.thresholds,
        "rearm": detecting.rearm,
        "onset_s": detecting.onset_s,
        "frame_s": settings.frame_s,
        "rate_hz": settings.rate_hz,
        "finish_samples": detecting.finish_frames(settings.frame_s) * settings.frame_samples,
        "frame_samples": settings.frame_samples,
        "step": settings.step,
        "high": settings.high,
        "channels": settings.channels,
        "slow_copies": len(settings.slow_s),
        "centres_hz": [round(float(hz), 1) for hz in centres_of(settings)],
        "width": width,
        "inputs": inputs,
        "cells": cells,
        "beta1": [block.beta1.tolist() for block in parameters.blocks],
        "beta2": [block.beta2.tolist() for block in parameters.blocks],
        "candidate_units": candidate_units.tolist(),
        "power_sums": len(units),
        "power_at_rest": rest,
        "verifier": told,
    }
    text = json.dumps(facts, allow_nan=False).encode("ascii")
    head = MAGIC + struct.pack("<II", len(text), len(blob)) + text
    data = _filled(head) + _filled(blob) + np.array(weights, "<f8").tobytes()
    return _filled(data) + verifier if verifier else data


def _power(activity: Activity, sums: FloatArray) -> list[float]:
    power = activity.estimate_sums(sums, 1)
    return [power.cells_nw, power.feedforward_nw, power.classifier_nw]


def package_files(pack: Pack) -> dict[str, bytes]:
    """The npm package of a pack by file name; errors as of `web_model`.

    A pack of speech comes with the page demo/, which plays and records at 16 kHz.
    """
    found = {
        path.relative_to(PACKAGE).as_posix(): path.read_bytes()
        for path in sorted(PACKAGE.rglob("*"))
        if path.is_file()
    }
    facts = json.loads(found["package.json"]) | {"version": __version__}
    found["package.json"] = (json.dumps(facts, indent=2) + "\n").encode()
    found[MODEL_FILE] = web_model(pack)
    if FeatureSettings.from_dict(pack.features).rate_hz != SAMPLE_RATE_HZ:
        return {name: data for name, data in found.items() if not name.startswith("demo/")}
    page = (PAGE / "page.html").read_text("utf-8")
    found["demo/index.html"] = page.replace('src="page.js"', 'src="demo.js"').encode()
    for name in ("view.js", "page.css"):
        found[f"demo/{name}"] = (PAGE / name).read_bytes()
    found["demo/demo.flac"] = RECORDING.read_bytes()
    return found


def export_web(pack: Pack, directory: str | os.PathLike[str]) -> list[Path]:
    """Write the npm package of a pack to a new or empty directory; all files or none.

    Raises ParameterError for a model that does not fit, PackError for a broken verifier,
    FirmwareError for a directory that holds something or cannot be written.
    """
    return write_new_folder(directory, package_files(pack))
