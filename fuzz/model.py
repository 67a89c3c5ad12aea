"""A small model that fires at once and often, so that an input of a few frames goes everywhere."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from kws_stream import packs
from kws_stream.verifier import network_bytes
from tests.pack_factory import build_pack
from tests.tiny_network import random_network

FEATURES = {"channels": 4, "selectivity": 3.0, "high_hz": 4000.0}
DETECTOR = {
    "window_s": 0.05,
    "threshold": 0.0,
    "rearm": 1.0,
    "refractory_s": 0.05,
    "warmup_s": 0.02,
    "onset_s": 0.1,
}


def small_pack(folder: Path) -> Path:
    """A pack in a folder, over what is there: four channels, a verifier for microcontrollers."""
    with TemporaryDirectory() as name:
        plain = packs.load(build_pack(Path(name) / "plain", False, feature_settings=FEATURES))
    network = random_network(np.random.default_rng(2), 8, channels=4, looks=(0, 2, 5), layers=2)
    verifier = {"kind": "mcu", "threshold": 0.4, "needs": {}}
    manifest = {**plain.manifest, "name": folder.name, "verifier": verifier, "detector": DETECTOR}
    return packs.save(
        folder, manifest, plain.network.parameters, overwrite=True, head=network_bytes(network)
    )
