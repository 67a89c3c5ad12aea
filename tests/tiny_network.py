"""Random verifiers for microcontrollers, and packs that have one."""

from pathlib import Path
from typing import Any

import numpy as np

from kws_stream import packs
from kws_stream.verifier import Convolution, VerifierNetwork, network_bytes
from tests.pack_factory import build_pack


def convolution(rng: np.random.Generator, shape: tuple[int, ...], stride: int = 1) -> Convolution:
    """A layer whose outputs are spread over their range, whatever its inputs are."""
    size = int(np.prod(shape[:-1]))
    shift = max(0, round(np.log2(size**0.5 * 90)))
    return Convolution(
        weight=rng.integers(-127, 128, shape).astype(np.int8),
        bias=rng.integers(-(2**shift) * 30, 2**shift * 100, shape[-1]).astype(np.int32),
        shift=np.clip(rng.integers(shift - 1, shift + 2, shape[-1]), 0, 30).astype(np.uint8),
        stride=stride,
    )


def random_network(
    rng: np.random.Generator,
    frames: int = 30,
    channels: int = 16,
    keywords: int = 2,
    looks: tuple[int, ...] = (0, 5, 12),
    layers: int = 3,
) -> VerifierNetwork:
    """Full and depthwise layers in turn, and a last one whose scores are spread over 0 to 1."""
    made: list[Convolution] = []
    width, left = channels, frames
    for index in range(layers):
        taps, stride = int(rng.integers(1, min(6, left) + 1)), int(rng.integers(1, 3))
        depthwise = bool(index % 2)
        n_out = width if depthwise else int(rng.integers(1, 9))
        shape = (taps, width) if depthwise else (taps, width, n_out)
        made.append(convolution(rng, shape, stride))
        width, left = n_out, made[-1].frames(left)
    weight = rng.integers(-127, 128, (left, width, keywords)).astype(np.int8)
    bias = rng.integers(-(2**14), 2**14, keywords).astype(np.int32)
    shift = np.full(
        keywords, max(0, round(np.log2((left * width) ** 0.5 * 7300 / 2**13))), np.uint8
    )
    return VerifierNetwork((*made, Convolution(weight, bias, shift, 1)), frames, looks)


def windows_of(network: VerifierNetwork, rng: np.random.Generator, count: int) -> np.ndarray:
    """Random ones, and the extremes."""
    windows = rng.integers(0, 256, (count, network.frames, network.channels)).astype(np.uint8)
    windows[0], windows[1] = 0, 255
    return windows


def mcu_pack(
    directory: Path, threshold: float = 0.5, network: VerifierNetwork | None = None, **fields: Any
) -> Path:
    """A pack that triggers often, with a verifier of this network or a random one."""
    plain = packs.load(build_pack(directory.with_name(directory.name + "-plain"), graphs=False))
    network = network or random_network(np.random.default_rng(2))
    detector = {**plain.detector, "threshold": 0.0, "rearm": 1.0, "refractory_s": 0.05}
    verifier = {"kind": "mcu", "threshold": threshold, "needs": {}}
    manifest = {**plain.manifest, "name": directory.name, "verifier": verifier | fields}
    manifest["detector"] = detector
    return packs.save(directory, manifest, plain.network.parameters, head=network_bytes(network))
