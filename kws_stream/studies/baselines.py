"""Other recurrent networks of the same size on virtual chips: minGRU and LRU, with NumPy.

The network of `kws_stream.network` with other blocks (its x is not cut at zero before them):

    minGRU  z = sigmoid(W_z·x + b_z), g = W_h·x + b_h, h = (1 - z)·h + z·g, o = W_p·h + b_p
    LRU     h = lambda·h + gamma·(B·x), lambda = exp(-rate + i·phase), o = Re(C·h) + D·x + b
    both    x <- x + relu(o)

Every programmed value is off by its own factor 1 + N(0, (p/3)^2), as on the chip of
`kws_stream.bmru.chip`. What an LRU's circuit programs is a choice, so there are two: the decay rate
-ln|lambda|, as the current of a leaky integrator; or |lambda| itself, as in a circuit that copies
its state every frame, where an error can make the state grow.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from kws_stream.bmru.fabricate import generator
from kws_stream.bmru.sums import ordered_sums
from kws_stream.brief import brief
from kws_stream.errors import DataError
from kws_stream.parameters import FloatArray
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import Called

PACKAGED_BASELINES = Path(__file__).parents[1] / "_data" / "baselines.npz"
KINDS = {"mingru": "minGRU", "lru": "LRU, rate", "lru-radius": "LRU, |lambda|"}
TRAINED = {"mingru": "mingru", "lru": "lru", "lru-radius": "lru"}  # the arrays of each kind

Arrays = Mapping[str, FloatArray]


@dataclass(frozen=True, eq=False)
class Baselines:
    """Trained baselines: arrays by kind and name, and what they were trained on and for."""

    about: dict[str, Any]
    arrays: dict[str, dict[str, FloatArray]]

    __repr__ = brief

    def of(self, kind: str) -> dict[str, FloatArray]:
        """The trained arrays of a kind."""
        return self.arrays[TRAINED[kind]]

    def parameter_count(self, kind: str) -> int:
        return sum(array.size for array in self.of(kind).values())


def load_baselines(path: str | os.PathLike[str] = PACKAGED_BASELINES) -> Baselines:
    """Those in a file of scripts/train_baselines.py. Raises DataError for another file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays: dict[str, dict[str, FloatArray]] = {kind: {} for kind in TRAINED.values()}
            for name in file.files:
                kind, _, rest = name.partition("/")
                if rest:
                    arrays[kind][rest] = file[name].astype(np.float64)
        for kind in arrays:
            run_baseline(kind, {n: a[..., None] for n, a in arrays[kind].items()}, _silence(about))
    except (OSError, EOFError, BadZipFile, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{os.fspath(path)}: need networks of scripts/train_baselines.py, got: {error!s:.100}"
        ) from error
    return Baselines(about, arrays)


def _silence(about: Mapping[str, Any]) -> FloatArray:
    features = about["features"]
    return np.zeros((1, features["channels"] * (1 + len(features["slow_s"]))))


def mismatched(
    kind: str, arrays: Arrays, percent: float, seed: int, chips: tuple[int, ...]
) -> Arrays:
    """The values that virtual chips have, chips along the last axis; percent is 3 sigma."""
    generators = [generator(seed, chip, 2) for chip in chips]
    values = {}
    for name in sorted(arrays):
        shape = arrays[name].shape
        errors = np.stack([rng.standard_normal(shape) for rng in generators], axis=-1)
        factors = 1 + percent / 300 * errors
        if kind == "lru-radius" and name.endswith(".rate"):
            values[name] = arrays[name][..., None] - np.log(factors)  # |lambda| times the factor
        else:
            values[name] = arrays[name][..., None] * factors
    return values


def run_baseline(kind: str, arrays: Arrays, features: FloatArray) -> FloatArray:
    """Logits (T, K, chips) of features (T, n_features); arrays have a last axis of chips."""
    return trace_baseline(kind, arrays, features, lambda inputs: inputs).logits


@dataclass(frozen=True, eq=False)
class BaselineTrace:
    """By block what drives the states and the states, each (T, ..., chips); logits (T, K, chips).

    An LRU's have real and imaginary parts as wires of their own.
    """

    drives: list[FloatArray]
    states: list[FloatArray]
    logits: FloatArray

    __repr__ = brief


def trace_baseline(
    kind: str, arrays: Arrays, features: FloatArray, disturb: Callable[[FloatArray], FloatArray]
) -> BaselineTrace:
    """As `run_baseline`; disturb: what becomes of what drives the states, g or B·x."""
    drives, states = [], []

    def affine(x: FloatArray, name: str) -> FloatArray:
        return ordered_sums(x, arrays[f"{name}.weight"], arrays[f"{name}.bias"])

    x = affine(features[:, :, None], "pre")
    index = 0
    while any(name.startswith(f"blocks.{index}.") for name in arrays):
        name = f"blocks.{index}"
        block = {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(name)}
        if kind == "mingru":
            gate = 1 / (1 + np.exp(-affine(x, f"{name}.gate")))
            drive = disturb(affine(x, f"{name}.value"))
            state = _leaky(gate, drive)
            out = affine(state, f"{name}.post")
        else:
            drive = disturb(ordered_sums(x, block["into"], None))
            state = _lru(block, drive)
            out = ordered_sums(state, block["out"], None) + block["through"] * x + block["bias"]
        drives.append(drive)
        states.append(state)
        x = x + np.maximum(out, 0)
        index += 1
    return BaselineTrace(drives, states, affine(x, "classifier"))


def _leaky(share: FloatArray, new: FloatArray) -> FloatArray:
    """States (T, ...) that move to `new` by `share` of the way, from 0."""
    states = np.empty_like(new)
    state = np.zeros_like(new[0])
    for t in range(len(new)):
        state = state + share[t] * (new[t] - state)
        states[t] = state
    return states


def _lru(block: Arrays, driven: FloatArray) -> FloatArray:
    radius, phase = np.exp(-block["rate"]), block["phase"]
    factor = radius * np.exp(1j * phase)
    cells = len(factor)
    drive = (driven[:, :cells] + 1j * driven[:, cells:]) * block["gain"]
    states = np.empty((len(drive), 2 * cells, *drive.shape[2:]))
    state = np.zeros_like(drive[0])
    for t in range(len(drive)):
        state = factor * state + drive[t]
        states[t, :cells], states[t, cells:] = state.real, -state.imag
    return states


@dataclass(frozen=True)
class BaselineTask:
    """Chips of one kind of network with this mismatch."""

    kind: str
    percent: float
    chips: tuple[int, ...]

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class BaselineSimulation:
    """A picklable function of a `BaselineTask`: what its chips call every utterance, (chips, n)."""

    baselines: Baselines
    utterances: Utterances
    seed: int

    def __call__(self, task: BaselineTask) -> Called:
        arrays = mismatched(
            task.kind, self.baselines.of(task.kind), task.percent, self.seed, task.chips
        )
        start, stop = self.utterances.window
        called = np.empty((len(task.chips), len(self.utterances)), np.int16)
        for clip in range(len(self.utterances)):
            logits = run_baseline(task.kind, arrays, self.utterances.frames_of(clip))
            called[:, clip] = logits[start:stop].mean(axis=0).argmax(axis=0)
        return called
