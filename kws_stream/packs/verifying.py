"""The full check of a pack: checksums, arrays, and ONNX graphs that give the arrays' bits."""

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kws_stream.errors import PackError
from kws_stream.layers import MatmulLayers, OnnxLayers
from kws_stream.network import Network
from kws_stream.packs.loading import find, load_directory

BLOCK_FRAMES = (1, 50)


def _grid_inputs(network: Network, frames: int, rng: "np.random.Generator") -> NDArray[np.float64]:
    """Random inputs (frames, n_features) on the grid; the first frames hold its ends."""
    grid = network.parameters.input_grid
    assert grid is not None  # load refuses a network without a grid
    first, last = np.ceil(grid.low / grid.step), np.floor(grid.high / grid.step)
    steps = first + np.floor(
        rng.random((frames, network.parameters.n_features)) * (last - first + 1)
    )
    if frames > 2:
        steps[0], steps[1] = first, last
    inputs: NDArray[np.float64] = np.minimum(steps, last) * grid.step
    return inputs


def _compare_stages(network: Network, graphs: Mapping[str, bytes]) -> None:
    """Require equal bits of every stage, for random inputs and random states."""
    parameters = network.parameters
    numpy_layers = MatmulLayers(parameters)
    onnx_layers = OnnxLayers(list(graphs.values()), parameters, network.exactness.dtype)
    rng = np.random.default_rng(0)
    for frames in BLOCK_FRAMES:
        x, states = _grid_inputs(network, frames, rng), None
        for index, name in enumerate(graphs):
            try:
                got = onnx_layers.stage(index, x, states)
            except Exception as error:  # ONNX Runtime raises its own types from its C layer
                raise PackError(f"{name}: ONNX Runtime cannot run it: {error}") from error
            wanted = numpy_layers.stage(index, x, states)
            for ours, theirs in zip(wanted, got, strict=True):
                if ours.shape != theirs.shape or ours.tobytes() != theirs.tobytes():
                    raise PackError(
                        f"{name}: need the bits of the arrays for a block of {frames} frames, got "
                        "others; export the graphs again"
                    )
            x = wanted[0]
            if index < len(parameters.blocks):
                alpha = parameters.blocks[index].alpha
                states = alpha * (rng.random((frames, len(alpha))) < 0.5)


def _compare_splits(network: Network) -> None:
    """Require equal logits of a sequence at once (on the graphs) and frame by frame (NumPy)."""
    frames = _grid_inputs(network, max(BLOCK_FRAMES), np.random.default_rng(1))
    stream = network.stream()
    steps = np.concatenate([stream.process(frame[None]) for frame in frames])
    if network.run(frames).logits.tobytes() != steps.tobytes():
        raise PackError("need equal logits at once and frame by frame, got others")


def verify(model: str | os.PathLike[str]) -> list[str]:
    """Check everything about a pack; one line for each thing that was found to be right.

    Raises PackError for the first thing that is not.
    """
    directory = find(model)
    try:
        pack, graphs = load_directory(directory)
        lines = [f"{name}: sha256 ok" for name in pack.manifest["files"]]
        parameters, exactness = pack.network.parameters, pack.network.exactness
        lines.append(
            f"{pack.manifest['network']}: {parameters.parameter_count} parameters, "
            f"{parameters.cells_in_words}, {parameters.n_features} features, "
            f"{parameters.n_classes} classes"
        )
        lines.append(f"exact in {exactness.dtype}: {exactness.reason}")
        blocks = " and ".join(map(str, BLOCK_FRAMES))
        if graphs:
            _compare_stages(pack.network, graphs)
            lines.append(f"ONNX Runtime and NumPy: blocks of {blocks} frames, equal bits")
        else:
            lines.append("ONNX Runtime: this pack has no graphs, NumPy runs all layers")
        _compare_splits(pack.network)
        lines.append(f"stream: {max(BLOCK_FRAMES)} frames at once and one by one, equal bits")
    except PackError as error:
        raise PackError(f"pack {os.fsdecode(model)}: {error}") from error
    return lines
