"""The core block by block and cell by cell, and what a detected word costs."""

from dataclasses import asdict, dataclass
from typing import Any

from kws_stream.brief import brief
from kws_stream.power.by_activity import ActivityPower
from kws_stream.power.formulas import PowerEstimate, cell_power_nw, mirror_power_nw


@dataclass(frozen=True)
class CellPower:
    """One cell, nW at 1 nA: its bias currents, its candidate's branches, its state's branches."""

    bias_nw: float
    candidate_nw: float
    state_nw: float

    @property
    def total_nw(self) -> float:
        return self.bias_nw + self.candidate_nw + self.state_nw


@dataclass(frozen=True)
class BlockDetail:
    """One block of the network, nW at 1 nA.

    cells: each cell. candidate_nw: mirrors of the candidate layer (p and n of the formula);
    post_nw: of the post-projection (q); rest_nw: the block's share of the mirrors' constant.
    """

    cells: tuple[CellPower, ...]
    candidate_nw: float
    post_nw: float
    rest_nw: float

    __repr__ = brief

    @property
    def cells_nw(self) -> float:
        return sum(cell.total_nw for cell in self.cells)

    @property
    def total_nw(self) -> float:
        return self.cells_nw + self.candidate_nw + self.post_nw + self.rest_nw

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the fields, and the sums of the cells and of the block."""
        return asdict(self) | {"cells_nw": self.cells_nw, "total_nw": self.total_nw}


@dataclass(frozen=True)
class WordEnergy:
    """Energy of the run, shared out over the detected words; the energies are None without any.

    core, chip and system: typical nJ of everything heard, silence included, for each word. spoken:
    nJ of the core from the estimated start of a word to the frame that fired, on average.
    """

    words: int
    core_nj: float | None
    chip_nj: float | None
    system_nj: float | None
    spoken_core_nj: float | None


def blocks_of(estimate: PowerEstimate) -> tuple[BlockDetail, ...]:
    """Every block of the network at 1 nA; they add up to the core."""
    details = []
    for block in estimate.currents:
        parts = zip(block.bias, block.candidate, block.state, strict=True)
        details.append(
            BlockDetail(
                cells=tuple(
                    CellPower(
                        bias_nw=cell_power_nw(bias, 0.0, 0.0),
                        candidate_nw=cell_power_nw(0.0, candidate, 0.0),
                        state_nw=cell_power_nw(0.0, 0.0, state),
                    )
                    for bias, candidate, state in parts
                ),
                candidate_nw=mirror_power_nw(0, block.positive, block.negative, 0.0),
                post_nw=mirror_power_nw(0, 0.0, 0.0, block.post),
                rest_nw=mirror_power_nw(len(block.bias), 0.0, 0.0, 0.0),
            )
        )
    return tuple(details)


def word_energy(
    words: int,
    seconds: float,
    typical_nw: dict[str, float | None],
    activity: tuple[ActivityPower, ...],
) -> WordEnergy:
    """typical_nw: of core, chip and system over these seconds; activity: as of `ByActivity`."""
    if not words:
        return WordEnergy(0, None, None, None, None)
    powers = (typical_nw[part] for part in ("core", "chip", "system"))
    core, chip, system = (None if nw is None else nw * seconds / words for nw in powers)
    hits = [kind for kind in activity if kind.kind == "hit" and kind.core_nw is not None]
    spoken = sum((kind.core_nw or 0.0) * kind.seconds for kind in hits) / words
    return WordEnergy(words, core, chip, system, spoken if hits else None)
