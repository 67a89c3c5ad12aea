"""What mismatch does to the BMRU network, and to a minGRU and an LRU of the same size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from kws_stream.bmru.chip import ChipSettings, extrapolations
from kws_stream.brief import brief
from kws_stream.errors import ParameterError, TaskError
from kws_stream.packs import Pack
from kws_stream.parameters import FloatArray
from kws_stream.studies.baselines import KINDS, Baselines, BaselineSimulation, BaselineTask
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import (
    CHIPS_AT_ONCE,
    exact,
    heading,
    headline,
    joined,
    listen,
    spread,
    tasks_of,
)
from kws_stream.workers import Progress, Workers

PERCENTS = (5.0, 10.0, 15.0)  # arXiv:2605.15216


@dataclass(frozen=True, eq=False)
class Population:
    """Accuracies (chips,) of one network at one mismatch; exact: without mismatch."""

    network: str
    percent: float
    exact: float
    accuracies: FloatArray

    __repr__ = brief

    @property
    def loss(self) -> float:
        """Mean accuracy lost, a fraction."""
        return self.exact - float(self.accuracies.mean())

    @property
    def loss_error(self) -> float:
        """Standard error of `loss`, over chips."""
        return float(self.accuracies.std() / np.sqrt(len(self.accuracies)))


@dataclass(frozen=True, eq=False)
class Robustness:
    head: dict[str, Any]
    populations: tuple[Population, ...]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        return self.head | {
            "populations": [
                {
                    "network": one.network,
                    "mismatch_percent": one.percent,
                    "exact": one.exact,
                    "loss": one.loss,
                    "loss_standard_error": one.loss_error,
                    **spread(one.accuracies),
                }
                for one in self.populations
            ]
        }


def robustness(
    pack: Pack,
    utterances: Utterances,
    baselines: Baselines,
    baseline_utterances: Utterances,
    settings: ChipSettings,
    percents: Sequence[float] = PERCENTS,
    chips: int = 200,
    *,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Robustness:
    """Accuracies of `chips` virtual chips of each network at each mismatch (3 sigma, percent).

    baseline_utterances: the same clips through the baselines' front end (`load_utterances`).
    settings: what else the BMRU's chips have; the baselines have mismatch alone. Raises TaskError
    for baselines of another task than the pack's, ParameterError for less than one chip.
    """
    if chips < 1:
        raise ParameterError(f"chips: need 1 or more, got {chips}")
    if tuple(baselines.about["classes"]) != pack.classes:
        raise TaskError(
            "need a model with the classes of the baselines, "
            f"{', '.join(baselines.about['classes'])}, but {pack.name} has "
            f"{', '.join(pack.classes)}; choose another model or train baselines"
        )
    workers = workers or Workers(1)
    numbers = range(chips)
    groups = [tuple(numbers[at : at + CHIPS_AT_ONCE]) for at in numbers[::CHIPS_AT_ONCE]]
    own = [tasks_of(replace(settings, mismatch_percent=p), chips) for p in percents]
    other = [
        BaselineTask(kind, percent, group)
        for kind in KINDS
        for percent in percents
        for group in ([(0,)] if percent == 0 else groups)
    ]
    exactly = [BaselineTask(kind, 0.0, (0,)) for kind in KINDS]
    mine, theirs = list(chain.from_iterable(own)), [*exactly, *other]
    total = len(mine) + len(theirs)

    def of_all(before: int) -> Progress | None:
        return None if progress is None else lambda done, _: progress(before + done, total)

    heard = list(listen(pack, utterances, mine, seed, workers, of_all(0)))
    simulation = BaselineSimulation(baselines, baseline_utterances, seed)
    called = list(workers.map(simulation, theirs, progress=of_all(len(mine))))
    nominal = float(headline(exact(pack, utterances).called, utterances)[0])
    populations = []
    for percent, tasks in zip(percents, own, strict=True):
        part = joined(heard[: len(tasks)])
        del heard[: len(tasks)]
        accuracies = headline(part.called, utterances)
        populations.append(Population(f"BMRU ({pack.name})", percent, nominal, accuracies))
    for kind, name in KINDS.items():
        (alone,) = (c for t, c in zip(exactly, called, strict=False) if t.kind == kind)
        nominal = float(headline(alone, baseline_utterances)[0])
        for percent in percents:
            parts = [
                c
                for t, c in zip(other, called[len(exactly) :], strict=True)
                if (t.kind, t.percent) == (kind, percent)
            ]
            accuracies = headline(np.concatenate(parts), baseline_utterances)
            populations.append(Population(name, percent, nominal, accuracies))
    sizes = {f"BMRU ({pack.name})": pack.network.parameters.parameter_count}
    sizes |= {name: baselines.parameter_count(kind) for kind, name in KINDS.items()}
    head = heading("robustness", pack, utterances, seed, settings)
    worst = replace(settings, mismatch_percent=max(percents, default=0.0))
    head["extrapolations"] = extrapolations(pack.network.parameters, worst)
    head |= {"chips": chips, "parameters": sizes, "peers": baselines.about}
    return Robustness(head, tuple(populations))
