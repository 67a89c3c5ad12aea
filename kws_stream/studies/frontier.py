"""Suppression against power and accuracy, where state currents are lowered and mirrors widened.

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
    """State currents divided by `divisor`. suppression, interval: of white noise, 95 %.

    core_nw: estimated at 1 nA, mean of the clips. accuracy: mean of the chips. state_na: the
    highest programmed one. widest_um: mirror behind a cell, by the fits.
    """

    divisor: int
    suppression: float | None
    interval: tuple[float, float | None] | None
    bits_agree: float
    core_nw: float
    accuracy: float
    state_na: float
    widest_um: float


@dataclass(frozen=True, eq=False)
class Frontier:
    """exact: accuracy of the exact network, which no divisor changes."""

    head: dict[str, Any]
    exact: float
    rows: tuple[Lowered, ...]

    def as_dict(self) -> dict[str, Any]:
        return self.head | {"exact": self.exact, "rows": [asdict(row) for row in self.rows]}


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
    pack: Pack,
    utterances: Utterances,
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
    """Each divisor: suppression of white noise on ideal chips, power, accuracy of `settings`.

    Raises ParameterError for a divisor that is no power of two, and what `noise` and `montecarlo`
    raise.
    """
    networks = [Network(lowered(pack.network.parameters, divisor)) for divisor in divisors]
    rows, exact = [], 0.0
    for done, (divisor, network) in enumerate(zip(divisors, networks, strict=True)):
        if progress is not None:
            progress(done, len(divisors))
        same = replace(pack, network=network)
        how: dict[str, Any] = {"seed": seed, "workers": workers}
        (noisy,) = noise(
            same, utterances, ChipSettings(), "noise", (level_na,), draws=draws, **how
        ).overall
        real = montecarlo(same, utterances, settings, chips, **how)
        exact = real.exact_accuracy
        blocks = network.parameters.blocks
        rows.append(
            Lowered(
                divisor=divisor,
                suppression=noisy.factor,
                interval=noisy.interval,
                bits_agree=noisy.bits_agree,
                core_nw=_core_nw(network, utterances),
                accuracy=float(real.accuracies.mean()),
                state_na=max(float(block.alpha.max()) for block in blocks),
                widest_um=max(float(widths_um(block.post.weight).max()) for block in blocks),
            )
        )
    head = heading("frontier", pack, utterances, seed, settings)
    head |= {"level_na": level_na, "chips": chips, "draws": draws}
    worst = lowered(pack.network.parameters, max(divisors, default=1))
    head["extrapolations"] = extrapolations(worst, settings)
    return Frontier(head, exact, tuple(rows))


def _core_nw(network: Network, utterances: Utterances) -> float:
    activity = power.Activity(network.parameters)
    for clip in range(len(utterances)):
        activity.add(network.run(utterances.frames_of(clip)))
    return activity.estimate(network, frame_s=utterances.frame_s).core_nw
