"""Write demo.json: features and events of the packaged recording, by the slow twins alone.

    python -m tests.golden.make

Features come from tests/reference/front_end.py, logits from tests/reference/network.py, events from
tests/reference/detector.py, one sample, frame and class at a time in Python's own numbers. Of the
code under test they take the arrays of the pack and the integers that its front end is defined by,
no computing. It is to be run again where a pack or the definition of the front end has changed,
never because a test of the code fails. It takes minutes.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from kws_stream import packs
from kws_stream.constants import RECORDING
from kws_stream.detector import DetectorSettings
from kws_stream.features import FeatureSettings, fixed_front_end
from kws_stream.parameters import Layer
from tests.reference import detector, front_end, network

FILE = Path(__file__).with_name("demo.json")
MODELS = ("yes-4", "commands-12")
ORIGIN = (
    "Written by python -m tests.golden.make: the slow twins of tests/reference over "
    "kws_stream/_data/demo.flac. features: in steps of the input grid, added up over each second, "
    "and the SHA-256 of all of them as little-endian 32-bit integers, frame by frame. events: "
    "without a verifier, without silence behind the end."
)


def digest(features: np.ndarray) -> dict[str, Any]:
    """What demo.json holds of features (frames, n_features) in steps, 50 frames a second."""
    seconds = np.add.reduceat(features.sum(axis=1), np.arange(0, len(features), 50))
    data = features.astype("<i4").tobytes()
    return {
        "frames": len(features),
        "sums": seconds.tolist(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _pair(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight, layer.bias


def golden(model: str) -> dict[str, Any]:
    """The entry of a model."""
    pack = packs.load(model)
    settings = FeatureSettings.from_dict(pack.features)
    samples = soundfile.read(RECORDING, dtype="int16")[0].tolist()
    steps = np.array(front_end.features(*fixed_front_end(settings), samples))
    parameters = pack.network.parameters
    blocks = [
        {
            "candidate": _pair(block.candidate),
            "post": _pair(block.post),
            **{name: getattr(block, name) for name in ("beta1", "delta", "alpha")},
            "initial_state": block.initial_state,
        }
        for block in parameters.blocks
    ]
    trace = network.run(
        steps * settings.step, _pair(parameters.pre), blocks, _pair(parameters.classifier)
    )
    events, _ = detector.run(
        trace.logits,
        DetectorSettings.from_dict(pack.detector),
        pack.classes,
        pack.keywords,
        settings.frame_s,
    )
    return {"version": pack.version, "features": digest(steps), "events": events}


if __name__ == "__main__":
    entries = {model: golden(model) for model in MODELS}
    text = json.dumps({"origin": ORIGIN, "models": entries}, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")
