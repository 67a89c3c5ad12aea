"""How power grows with the number of cells: of trained networks, and by counting beyond them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kws_stream import power
from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.packs import Pack
from kws_stream.parameters import NetworkParameters
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import exact, headline

BEYOND = (128, 256, 512, 1024)


@dataclass(frozen=True)
class Size:
    """Mean power of one network in nW, per block of d cells; mirrors: branches per block.

    trained: whether it is a network on real features, or the counts times the means of those.
    """

    name: str
    d: int
    blocks: int
    parameters: int
    mirrors: float
    cells_nw: float
    feedforward_nw: float
    accuracy: float | None
    trained: bool


@dataclass(frozen=True)
class Exponent:
    """Power proportional to d^value, fitted to `sizes` sizes.

    error: standard error of the fit, None for two sizes.
    """

    value: float
    error: float | None
    sizes: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, by Student's t with sizes - 2 degrees of freedom; None for two sizes."""
        if self.error is None:
            return None
        from scipy.special import stdtrit  # scipy.stats takes a second to load

        reach = float(stdtrit(self.sizes - 2, 0.975)) * self.error
        return self.value - reach, self.value + reach


@dataclass(frozen=True, eq=False)
class Scaling:
    """Sizes in order of d, and the exponents of the trained and of all of them."""

    head: dict[str, Any]
    sizes: tuple[Size, ...]
    exponents: dict[str, Exponent | None]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        return self.head | {
            "sizes": [asdict(size) for size in self.sizes],
            "exponents": {
                name: None if one is None else asdict(one) for name, one in self.exponents.items()
            },
        }


def measure(pack: Pack, utterances: Utterances) -> Size:
    """Mean power of a trained network on utterances, by `power.estimate`."""
    parameters = pack.network.parameters
    if not parameters.blocks:
        raise ParameterError(f"scaling: need models with BMRU cells, {pack.name} has none")
    activity = power.Activity(parameters)
    for clip in range(len(utterances)):
        activity.add(pack.network.run(utterances.frames_of(clip)))
    estimate = activity.estimate(pack.network, frame_s=utterances.frame_s)
    blocks = len(parameters.blocks)
    return Size(
        name=pack.name,
        d=round(parameters.cells / blocks),
        blocks=blocks,
        parameters=parameters.parameter_count,
        mirrors=_mirrors(parameters) / blocks,
        cells_nw=estimate.cells_nw / blocks,
        feedforward_nw=estimate.feedforward_nw / blocks,
        accuracy=float(headline(exact(pack, utterances).called, utterances)[0]),
        trained=True,
    )


def _mirrors(parameters: NetworkParameters) -> int:
    """Branches of candidates and post-projections: one a weight and one a bias."""
    layers = [layer for block in parameters.blocks for layer in (block.candidate, block.post)]
    return sum(layer.weight.size + layer.bias.size for layer in layers)


def scaling(
    packs_heard: Sequence[tuple[Pack, Utterances]], beyond: Sequence[int] = BEYOND
) -> Scaling:
    """Power against d, per block; exponents are slopes of straight lines in log-log.

    beyond: further d, with m = d, as far as they are above those trained; their power is the mean
    power of a cell, and of a mirror, of the trained networks, times how many there are: a count,
    not a simulation. Raises ParameterError for fewer than two sizes.
    """
    trained = sorted((measure(*one) for one in packs_heard), key=lambda size: (size.d, size.name))
    if len({size.d for size in trained}) < 2:
        raise ParameterError(
            "scaling: need trained models of two sizes or more, got "
            f"{', '.join(size.name for size in trained) or 'none'}; give others with --also"
        )
    per_cell = float(np.mean([size.cells_nw / size.d for size in trained]))
    per_mirror = float(np.mean([size.feedforward_nw / size.mirrors for size in trained]))
    blocks = trained[-1].blocks
    counted = []
    for d in (d for d in beyond if d > trained[-1].d):
        mirrors = 2 * d * (d + 1)
        counted.append(
            Size(
                name=f"d = {d}",
                d=d,
                blocks=blocks,
                parameters=blocks * (mirrors + 3 * d),
                mirrors=mirrors,
                cells_nw=per_cell * d,
                feedforward_nw=per_mirror * mirrors,
                accuracy=None,
                trained=False,
            )
        )
    exponents = {}
    for part in ("cells_nw", "feedforward_nw"):
        exponents[f"{part}_trained"] = _exponent(trained, part)
        exponents[f"{part}_counted"] = _exponent(counted, part)
    head = {
        "study": "scaling",
        "models": [size.name for size in trained],
        "data": packs_heard[0][1].source,
        "clips": len(packs_heard[0][1]),
        "per_cell_nw": per_cell,
        "per_mirror_nw": per_mirror,
    }
    return Scaling(head, (*trained, *counted), exponents)


def _exponent(sizes: Sequence[Size], part: str) -> Exponent | None:
    """Least squares of log power on log d; None for fewer than two sizes."""
    if len({size.d for size in sizes}) < 2:
        return None
    x = np.log([size.d for size in sizes])
    y = np.log([getattr(size, part) for size in sizes])
    slope, offset = np.polyfit(x, y, 1)
    if len(sizes) < 3:
        return Exponent(float(slope), None, len(sizes))
    variance = np.sum((y - slope * x - offset) ** 2) / (len(x) - 2)
    error = float(np.sqrt(variance / np.sum((x - x.mean()) ** 2)))
    return Exponent(float(slope), error, len(sizes))
