"""One model under many settings: over corners, supply and temperature, or over numbers of bits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import Any

import numpy as np

from kws_stream import power
from kws_stream.bmru.chip import ChipBatch, ChipSettings, extrapolations
from kws_stream.bmru.chip_settings import CORNERS, NOMINAL_V
from kws_stream.brief import brief
from kws_stream.engine.chip import sums
from kws_stream.errors import ParameterError
from kws_stream.network import Network
from kws_stream.packs import Pack
from kws_stream.parameters import FloatArray
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import exact, heading, headline
from kws_stream.workers import Progress, Workers

SUPPLIES_V = (1.62, 1.8, 1.98)  # 1.8 V less and more 10 %
TEMPERATURES_C = (-20.0, 27.0, 85.0)
BITS = (2, 3, 4, 5, 6, 7, 8, 0)


@dataclass(frozen=True, eq=False)
class Condition:
    """Accuracies (chips,) under these settings, and mean core power of the first chip in nW."""

    settings: ChipSettings
    accuracies: FloatArray
    core_nw: float

    __repr__ = brief

    @property
    def accuracy(self) -> float:
        return float(self.accuracies.mean())


@dataclass(frozen=True, eq=False)
class _Run:
    """A picklable function of settings: a `Condition` of chips 0 to chips - 1."""

    network: Network
    utterances: Utterances
    seed: int
    chips: int

    def __call__(self, settings: ChipSettings) -> Condition:
        settings = replace(settings, frame_s=self.utterances.frame_s)
        chips = self.chips if settings.differs or settings.random else 1
        batch = ChipBatch(self.network.parameters, settings, self.seed, range(chips), sums)
        start, stop = self.utterances.window
        n = len(self.utterances)
        called = np.empty((chips, n), np.int16)
        activity = power.Activity(self.network.parameters)
        for clip in range(n):
            trace = batch.run(self.utterances.frames_of(clip), clip)
            called[:, clip] = trace.logits[start:stop].mean(axis=0).argmax(axis=0)
            activity.add(trace.of_chip(0))
        frame_s = self.utterances.frame_s
        estimate = activity.estimate(self.network, settings.unit_na, frame_s=frame_s)
        core_nw = estimate.core_nw * settings.supply_v / NOMINAL_V
        return Condition(settings, headline(called, self.utterances), core_nw)


@dataclass(frozen=True, eq=False)
class Conditions:
    """A study of several settings; names: the settings that differ between them."""

    head: dict[str, Any]
    names: tuple[str, ...]
    exact: float
    conditions: tuple[Condition, ...]

    __repr__ = brief

    def values(self, name: str) -> list[Any]:
        """The values that a setting takes, in order."""
        return list(dict.fromkeys(getattr(one.settings, name) for one in self.conditions))

    def at(self, **settings: Any) -> Condition:
        """The condition with these settings; LookupError if there is none."""
        for one in self.conditions:
            if all(getattr(one.settings, name) == value for name, value in settings.items()):
                return one
        raise LookupError(f"no condition with {settings}")

    def as_dict(self) -> dict[str, Any]:
        return self.head | {
            "exact": self.exact,
            "conditions": [
                {name: getattr(one.settings, name) for name in self.names}
                | {
                    "mean": one.accuracy,
                    "min": float(one.accuracies.min()),
                    "max": float(one.accuracies.max()),
                    "chips": len(one.accuracies),
                    "core_nw": one.core_nw,
                }
                for one in self.conditions
            ],
        }


def pvt(
    pack: Pack,
    utterances: Utterances,
    settings: ChipSettings,
    *,
    corners: Sequence[str] = tuple(CORNERS),
    supplies_v: Sequence[float] = SUPPLIES_V,
    temperatures_c: Sequence[float] = TEMPERATURES_C,
    chips: int = 20,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Conditions:
    """Every corner at every supply and temperature; one chip is enough where all are alike.

    Raises ParameterError for a condition out of range, or less than one chip.
    """
    varied = [
        replace(settings, corner=corner, supply_v=supply, temperature_c=temperature)
        for corner, supply, temperature in product(corners, supplies_v, temperatures_c)
    ]
    names = ("corner", "supply_v", "temperature_c")
    return _study("pvt", pack, utterances, settings, varied, names, chips, seed, workers, progress)


def quantise(
    pack: Pack,
    utterances: Utterances,
    settings: ChipSettings,
    *,
    weight_bits: Sequence[int] = BITS,
    bias_bits: Sequence[int] = BITS,
    chips: int = 1,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Conditions:
    """Weights and bias currents rounded to so many bits, sign included; 0 is as programmed.

    Raises ParameterError for a number of bits out of range, or less than one chip.
    """
    varied = [
        replace(settings, weight_bits=weights, bias_bits=biases)
        for weights, biases in product(weight_bits, bias_bits)
    ]
    names = ("weight_bits", "bias_bits")
    return _study(
        "quantise", pack, utterances, settings, varied, names, chips, seed, workers, progress
    )


def _study(
    study: str,
    pack: Pack,
    utterances: Utterances,
    settings: ChipSettings,
    varied: Sequence[ChipSettings],
    names: tuple[str, ...],
    chips: int,
    seed: int,
    workers: Workers | None,
    progress: Progress | None,
) -> Conditions:
    if chips < 1:
        raise ParameterError(f"chips: need 1 or more, got {chips}")
    parameters = pack.network.parameters
    # ONNX Runtime does not travel; the arrays do, and give the same bits
    run = _Run(Network(parameters), utterances, seed, chips)
    conditions = tuple((workers or Workers(1)).map(run, varied, progress=progress))
    head = heading(study, pack, utterances, seed, settings)
    notes = chain.from_iterable(extrapolations(parameters, one) for one in varied)
    head["extrapolations"] = list(dict.fromkeys(notes))
    nominal = headline(exact(pack, utterances).called, utterances)
    return Conditions(head, names, float(nominal[0]), conditions)
