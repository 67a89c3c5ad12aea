"""Suppression against power and accuracy: other networks, and lower states behind wider mirrors.

A cell's output alpha and the weights w that it drives enter a network as alpha·w alone. So alpha/k
and k·w are the same network, to the bit where k is a power of two; but an error in a state bit is
k times smaller in nA, a leakage weighs k times as much, and the mirrors are k times as wide.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kws_stream import packs, power
from kws_stream.bmru.chip import ChipSettings, extrapolations
from kws_stream.bmru.fabricate import widths_um
from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.network import Network
from kws_stream.packs import Pack
from kws_stream.parameters import Layer, NetworkParameters
from kws_stream.studies.clips import Utterances
from kws_stream.studies.montecarlo import montecarlo
from kws_stream.studies.noise import noise
from kws_stream.studies.simulation import heading
from kws_stream.workers import Progress, Workers

DIVISORS = (1, 2, 4, 8, 16, 32)
LEVEL_NA = 0.01  # white noise on every candidate, rms


@dataclass(frozen=True)
class Lowered:
    """A model with states divided by `divisor`. suppression, interval: of white noise, 95 %.

    core_nw: estimated at 1 nA, mean of the clips. exact: accuracy of the exact network, which no
    divisor changes; accuracy: mean of the chips. state_na: the highest programmed one. widest_um:
    mirror behind a cell, by the fits.
    """

    model: str
    divisor: int
    suppression: float | None
    interval: tuple[float, float | None] | None
    bits_agree: float
    core_nw: float
    exact: float
    accuracy: float
    state_na: float
    widest_um: float

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Frontier:
    """rows: the models in the order that they were given in, each by its divisors."""

    head: dict[str, Any]
    rows: tuple[Lowered, ...]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        return self.head | {"rows": [asdict(row) for row in self.rows]}


def lowered(parameters: NetworkParameters, divisor: int) -> NetworkParameters:
    """The same network with state currents divided by a power of two; ParameterError for others."""
    if divisor < 1 or divisor & (divisor - 1):
        raise ParameterError(f"divisor: need a power of two, got {divisor}")
    blocks = tuple(
        replace(
            block,
            alpha=block.alpha / divisor,
            post=Layer(block.post.weight * divisor, block.post.bias),
        )
        for block in parameters.blocks
    )
    return replace(parameters, blocks=blocks)


def lowered_pack(pack: Pack, directory: str | os.PathLike[str], divisor: int) -> Path:
    """Write the pack with state currents divided by a power of two; without ONNX graphs.

    Raises ParameterError for another divisor and PackError where nothing can be written.
    """
    parameters = lowered(pack.network.parameters, divisor)
    said = f"{pack.manifest['description']}; state currents divided by {divisor}, from {pack.name}"
    changes = {"name": Path(directory).resolve().name, "description": said, "metrics": {}}
    head = None if pack.verifier is None else pack.verifier.head
    return packs.save(directory, pack.manifest | changes, parameters, head=head)


def frontier(
    heard: Sequence[tuple[Pack, Utterances]],
    settings: ChipSettings,
    divisors: Sequence[int] = DIVISORS,
    chips: int = 50,
    *,
    level_na: float = LEVEL_NA,
    draws: int = 3,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Frontier:
    """Models at each divisor: suppression of white noise on ideal chips, power, and accuracy.

    heard: packs with what each hears. The accuracy is that of chips of `settings`. Raises
    ParameterError for a divisor that is no power of two, and what `noise` and `montecarlo` raise.
    """
    rows: list[Lowered] = []
    for pack, utterances in heard:
        for divisor in divisors:
            if progress is not None:
                progress(len(rows), len(heard) * len(divisors))
            network = Network(lowered(pack.network.parameters, divisor))
            same = replace(pack, network=network)
            how: dict[str, Any] = {"seed": seed, "workers": workers}
            (noisy,) = noise(
                same, utterances, ChipSettings(), "noise", (level_na,), draws=draws, **how
            ).overall
            real = montecarlo(same, utterances, settings, chips, **how)
            blocks = network.parameters.blocks
            rows.append(
                Lowered(
                    model=pack.name,
                    divisor=divisor,
                    suppression=noisy.factor,
                    interval=noisy.interval,
                    bits_agree=noisy.bits_agree,
                    core_nw=_core_nw(network, utterances),
                    exact=real.exact_accuracy,
                    accuracy=float(real.accuracies.mean()),
                    state_na=max(float(block.alpha.max()) for block in blocks),
                    widest_um=max(float(widths_um(block.post.weight).max()) for block in blocks),
                )
            )
    (pack, utterances), *_ = heard
    head = heading("frontier", pack, utterances, seed, settings)
    head |= {"level_na": level_na, "chips": chips, "draws": draws}
    worst = lowered(pack.network.parameters, max(divisors, default=1))
    head["extrapolations"] = extrapolations(worst, settings)
    return Frontier(head, tuple(rows))


def _core_nw(network: Network, utterances: Utterances) -> float:
    activity = power.Activity(network.parameters)
    for clip in range(len(utterances)):
        activity.add(network.run(utterances.frames_of(clip)))
    return activity.estimate(network, frame_s=utterances.frame_s).core_nw
