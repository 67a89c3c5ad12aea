"""Every way to compute a model's network, over the same features, compared bit by bit."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim import bitstream, toolchain
from firmware_sim.chip import Chip, program
from firmware_sim.integers import integer_network
from firmware_sim.scalar import run_scalar
from kws_stream.audio import read_whole
from kws_stream.brief import brief
from kws_stream.constants import RECORDING, SAMPLE_RATE_HZ
from kws_stream.errors import DataError, FirmwareError, ParameterError
from kws_stream.evaluation import Skipped, recordings_below, split_of
from kws_stream.export import BACKENDS
from kws_stream.export.comparison_sound import HEARING, Ways, missing_for
from kws_stream.export.firmware import firmware_model
from kws_stream.export.onnx_graph import run_streaming, streaming_graph
from kws_stream.features import FeatureSettings, build
from kws_stream.network import Network
from kws_stream.packs import Pack, load

if TYPE_CHECKING:
    from firmware_sim.model import FirmwareModel

Array = NDArray[np.float64]
Result = tuple[Array, list[NDArray[np.bool_]]]
Backend = Callable[[Array], Result]
"""Features (S, T, n) of S streams -> logits (S, T, K) and the bits (S, T, d) of each block."""

BATCH = 200  # streams at once: bounds the memory


@dataclass
class BackendComparison:
    """What was compared with the pack, to the bit."""

    pack: Pack
    clips: int
    frames: int
    compared: dict[str, int]
    """Frames of each backend: all of them, but for the scalar oracle."""
    left_out: dict[str, str]
    """Backends that this machine cannot run, and why."""
    notes: list[str]

    __repr__ = brief
    """What is to be known of the recordings."""


def compare_backends(
    model: "str | os.PathLike[str] | Pack",
    recordings: "str | os.PathLike[str] | None" = None,
    backends: str | Sequence[str] | None = None,
    *,
    scalar_frames: int = 2000,
    progress: Callable[[int, int], None] = lambda clips, of_clips: None,
) -> BackendComparison:
    """Compare a pack with all other ways to compute it, bit by bit, on real sound.

    model: a pack, its name or its folder. recordings: a folder, of Speech Commands or any other;
    by default the packaged recording. backends: some of BACKENDS, or one; by default all.
    scalar_frames: how many the scalar oracle computes, which is slow; 0: all.

    Raises FirmwareError at the first bit that differs and where none of the backends runs here,
    PackError as `packs.load`, DataError for a folder without recordings, ParameterError for a
    backend that is unknown, and MissingExtraError without the onnx package for "onnx".
    """
    if isinstance(backends, str):
        backends = [backends]
    names = list(BACKENDS if backends is None else backends)
    for name in names:
        if name not in BACKENDS:
            raise ParameterError(f"backends: know {', '.join(BACKENDS)}, got {name!r:.60}")
    pack = model if isinstance(model, Pack) else load(model)
    numbers = firmware_model(pack)
    missing = {name: missing_for(name, numbers) for name in names if name in HEARING}
    left_out = {name: reason for name, reason in missing.items() if reason}
    names = [name for name in names if name not in left_out]
    if not names:
        raise FirmwareError(
            "need a backend that runs here, got none"
            + ": " * bool(left_out)
            + "; ".join(f"{name} {reason}" for name, reason in left_out.items())
        )
    whole = recordings is None
    clips, notes = ([RECORDING], []) if recordings is None else clips_of(Path(recordings))
    done = BackendComparison(pack, len(clips), 0, dict.fromkeys(names, 0), left_out, notes)
    _compare(done, numbers, clips, scalar_frames, whole, lambda count: progress(count, len(clips)))
    return done


def clips_of(folder: Path) -> tuple[list[Path], list[str]]:
    """The validation clips of a folder in the layout of Speech Commands; else all recordings.

    Raises DataError for a folder without recordings.
    """
    skipped = Skipped()
    found = recordings_below(folder, skipped)
    files = [path for path in found if not path.parent.name.startswith("_")]
    if not files:
        raise DataError(
            f"{folder}: need recordings (wav, flac, ogg, opus), found none; "
            + "; ".join(["give the folder above the words", *skipped.notes])
        )
    chosen = [p for p in files if "_nohash_" in p.name and split_of(p.name) == "validation"]
    if chosen:
        return chosen, skipped.notes
    return files, ["no clips of the validation split: all recordings were taken", *skipped.notes]


def pcm_of(
    clips: Sequence[Path], whole: bool, rate_hz: int = SAMPLE_RATE_HZ
) -> list[NDArray[np.float32]]:
    """The first second of each clip, or all of one whole recording."""
    if whole:
        return [read_whole(path, to_hz=rate_hz) for path in clips]
    sounds = [read_whole(path, to_hz=rate_hz, limit=rate_hz) for path in clips]
    return [np.pad(sound, (0, rate_hz - len(sound))) for sound in sounds]


def features_of(pack: Pack, sounds: Sequence[NDArray[np.float32]]) -> Array:
    """Features (S, T, n) of sounds of one length."""
    front_end = build(pack.features)
    streams = []
    for pcm in sounds:
        front_end.reset()
        streams.append(front_end.process(pcm))
    return np.stack(streams)


def _runs(network: Network) -> Backend:
    def run(features: Array) -> Result:
        traces = [network.run(stream) for stream in features]
        blocks = range(len(network.parameters.blocks))
        bits = [np.stack([trace.bits[b] for trace in traces]) for b in blocks]
        return np.stack([trace.logits for trace in traces]), bits

    return run


def _chip(model: "FirmwareModel") -> Backend:
    """The network that a simulated chip runs, once the model's bitstream was sent to it."""
    data = bitstream.encode(model)
    chip = Chip(len(data) * 8)
    chip.supply(1.8)
    return _runs(Network(program(chip, data).parameters))


def network_backends(
    model: "FirmwareModel", names: Sequence[str], stack: ExitStack
) -> dict[str, Backend]:
    """The named backends; programs that they need live until the stack closes.

    Raises FirmwareError without a C compiler, MissingExtraError without the onnx package.
    """
    integers = integer_network(model.parameters)
    cells = [block.cells for block in model.parameters.blocks]
    made: dict[str, Backend] = {}

    def in_reals(logits: NDArray[np.int64]) -> Array:
        return np.ldexp(logits.astype(np.float64), -integers.logit_fraction)

    if "bitstream" in names:
        made["bitstream"] = _chip(model)
    if "c" in names:
        binary = stack.enter_context(toolchain.program(model, "network_main.c"))

        def in_c(features: Array) -> Result:
            codes = integers.features(features)
            logits, bits = toolchain.run_network(binary, codes, len(model.classes), cells)
            return in_reals(logits), bits

        made["c"] = in_c
    if "onnx" in names:
        graph = streaming_graph(model)
        initial = [block.initial_state for block in model.parameters.blocks]
        made["onnx"] = lambda features: run_streaming(graph, features, initial)
    for name, run in (("integers", integers.run), ("scalar", lambda x: run_scalar(integers, x))):
        if name in names:

            def in_integers(features: Array, run: Callable[[Any], Any] = run) -> Result:
                logits, bits = run(integers.features(features))
                return in_reals(logits), bits

            made[name] = in_integers
    return made


def _batches(
    clips: Sequence[Path], whole: bool, rate_hz: int
) -> Iterator[tuple[Sequence[Path], list[NDArray[np.float32]]]]:
    for at in range(0, len(clips), BATCH):
        batch = clips[at : at + BATCH]
        yield batch, pcm_of(batch, whole, rate_hz)


def _require_same(name: str, clips: Sequence[Path], wanted: Result, got: Result) -> None:
    """Raises FirmwareError that names the first frame with another bit."""
    kinds = ["logits", *(f"bits of block {b}" for b in range(1, len(wanted[1]) + 1))]
    pairs = zip(kinds, [wanted[0], *wanted[1]], [got[0], *got[1]], strict=True)
    for kind, ours, theirs in pairs:
        if ours.shape != theirs.shape or not np.array_equal(ours, theirs):
            where = [0, 0, 0]
            if ours.shape == theirs.shape:
                where = [int(i) for i in np.argwhere(ours != theirs)[0]]
            raise FirmwareError(
                f"{name}: need the {kind} of the pack, got others, first in "
                f"{clips[where[0]]} at frame {where[1]}, place {where[2]}; this is a bug or a "
                "broken compiler: please report it"
            )


def _compare(
    done: BackendComparison,
    model: "FirmwareModel",
    clips: Sequence[Path],
    scalar_frames: int,
    whole: bool,
    progress: Callable[[int], None],
) -> None:
    """Compare each backend with the pack on the clips; the scalar oracle on some frames alone.

    Backends of `comparison_sound` hear the samples, and their scores and events are compared.

    whole: the one clip is a recording to hear to its end; else a second of each is heard.

    Raises FirmwareError at the first bit that differs, and as `network_backends`.
    """
    pack, names = done.pack, list(done.compared)
    reference = _runs(pack.network)
    compared = 0
    with ExitStack() as stack:
        ways = network_backends(model, names, stack)
        by_sound = Ways(pack, model, names, stack)
        rate_hz = FeatureSettings.from_dict(pack.features).rate_hz
        for batch, sounds in _batches(clips, whole, rate_hz):
            features = features_of(pack, sounds)
            for name, frames in by_sound.compare(sounds, batch).items():
                done.compared[name] += frames
            wanted = reference(features)
            done.frames += features.shape[0] * features.shape[1]
            for name, way in ways.items():
                part = slice(None)
                if name == "scalar" and scalar_frames:
                    left = max(0, scalar_frames - done.compared[name])
                    part = slice(-(-left // features.shape[1]))
                seen = features[part]
                if len(seen):
                    same = wanted[0][part], [bits[part] for bits in wanted[1]]
                    _require_same(name, batch, same, way(seen))
                    done.compared[name] += seen.shape[0] * seen.shape[1]
            compared += len(batch)
            progress(compared)
