"""The power report: core, chip and system, each row with its status and its source.

    core   = cells + feedforward mirrors
    chip   = core + classifier mirrors + bias generation, shift registers and routing
    system = chip + analog filterbank + microphone, and a verifier where there is one

Unknown figures are None and are left out of a sum of low or typical figures, which the notes say;
the high of a total is None as soon as the high of one of its rows is, for it bounds nothing then.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kws_stream.arguments import number_above_zero, whole_number
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.parameters import NetworkParameters
from kws_stream.power import literature, mcu
from kws_stream.power.by_activity import ActivityPower
from kws_stream.power.detail import BlockDetail, WordEnergy, blocks_of, word_energy
from kws_stream.power.formulas import (
    CELLS_ERROR,
    CORE_ERROR,
    FEEDFORWARD_ERROR,
    VDD_V,
    PowerEstimate,
    mirror_power_nw,
)
from kws_stream.power.literature import PEERS, Battery, Peer, Status

HOURS_PER_YEAR = 8766.0  # 365.25 days
NOT_EVALUATED = "accuracy at this current: not evaluated"


@dataclass(frozen=True)
class Span:
    """Low, typical and high in nW; None where unknown."""

    low: float | None
    typical: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """One block of the report in nW; status as in `kws_stream.power.literature`."""

    block: str
    low: float | None
    typical: float | None
    high: float | None
    status: Status
    source: str


@dataclass(frozen=True)
class Energy:
    """Typical energy of one part: nJ for a second of audio, pJ for a decision (one frame)."""

    per_second_nj: float
    per_decision_pj: float


@dataclass(frozen=True)
class BatteryLife:
    """Years that a battery feeds the typical core, chip and system; never above shelf life."""

    battery: Battery
    core_years: float
    chip_years: float
    system_years: float


@dataclass(frozen=True)
class Extrapolation:
    """The estimate at a unit current other than 1 nA: nW, nothing vouches for its accuracy."""

    unit_na: float
    core_nw: float
    classifier_nw: float
    accuracy: str = NOT_EVALUATED


@dataclass(frozen=True)
class VerifierWork:
    """What a verifier did in a run; multiplications: of a decision, at most.

    accelerated: it is an integer network, as an accelerator for such runs it.
    """

    decisions: int
    multiplications: int
    accelerated: bool = False

    @property
    def decision_nj(self) -> tuple[float, float, float]:
        """Energy of a decision: low, typical, high."""
        low, typical, high = (nj * self.multiplications for nj in literature.MULTIPLICATION_NJ)
        if self.accelerated:
            low = min(literature.ACCELERATED_NJ, typical)
        return low, typical, high

    @property
    def source(self) -> str:
        """Of that energy."""
        if self.accelerated:
            return literature.ACCELERATED_SOURCE
        return literature.MULTIPLICATION_SOURCE


@dataclass(frozen=True)
class PowerReport:
    """What the network, its chip and the whole system burn, at a unit current of 1 nA.

    core_rows, chip_rows, system_rows: what each total adds to the one before. energy: by "core",
    "chip" and "system". extrapolation: only for an estimate at another unit current. blocks: the
    core, block by block and cell by cell. activity, words, mcus: None where nobody counted.
    """

    core: Span
    chip: Span
    system: Span
    core_rows: tuple[Row, ...]
    chip_rows: tuple[Row, ...]
    system_rows: tuple[Row, ...]
    seconds: float
    energy: dict[str, Energy]
    battery_life: tuple[BatteryLife, ...]
    extrapolation: Extrapolation | None
    notes: tuple[str, ...]
    blocks: tuple[BlockDetail, ...]
    activity: tuple[ActivityPower, ...] | None = None
    words: WordEnergy | None = None
    mcus: mcu.McuComparison | None = None
    peers: tuple[Peer, ...] = PEERS

    __repr__ = brief

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, from the cells out to the microphone."""
        return self.core_rows + self.chip_rows + self.system_rows

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON: core, chip, system and rows in nW, null where unknown."""
        return {
            "core": asdict(self.core),
            "chip": asdict(self.chip),
            "system": asdict(self.system),
            "rows": [asdict(row) for row in self.rows],
            "seconds": self.seconds,
            "energy": {part: asdict(energy) for part, energy in self.energy.items()},
            "battery_life": [asdict(life) for life in self.battery_life],
            "extrapolation": None if self.extrapolation is None else asdict(self.extrapolation),
            "blocks": [block.as_dict() for block in self.blocks],
            "activity": None if self.activity is None else [asdict(a) for a in self.activity],
            "words": None if self.words is None else asdict(self.words),
            "mcus": None if self.mcus is None else self.mcus.as_dict(),
            "notes": list(self.notes),
            "peers": [asdict(peer) for peer in self.peers],
        }


def report(
    estimate: PowerEstimate,
    n_channels: int,
    frame_s: float | None = None,
    *,
    parameters: NetworkParameters | None = None,
    activity: Sequence[ActivityPower] | None = None,
    words: int | None = None,
    verifier: VerifierWork | None = None,
    rate_hz: int = SAMPLE_RATE_HZ,
) -> PowerReport:
    """Report of a run with an analog filterbank of `n_channels` channels.

    The headline is at 1 nA; an estimate at another unit current stands beside it as
    `extrapolation`. frame_s: seconds a decision, the frame of the estimate unless given.
    parameters: of the network, for the comparison with processors. activity: silence, speech and
    hits, as of `ByActivity`. words: how many were detected. verifier: what a second stage did; it
    is a row of the system, for another processor does it. rate_hz: of the samples; a microphone is
    counted at 16 kHz alone.

    Raises ParameterError for less than one channel or a frame not above 0.
    """
    n_channels = whole_number(n_channels, "n_channels", 1)
    frame_s = estimate.frame_s if frame_s is None else number_above_zero(frame_s, "frame_s")
    at_1na = estimate.at_unit(1.0)
    core_rows = (
        _within("BMRU cells", at_1na.cells_nw, CELLS_ERROR, literature.CELLS_SOURCE),
        _within(
            "feedforward mirrors",
            at_1na.feedforward_nw,
            FEEDFORWARD_ERROR,
            literature.FEEDFORWARD_SOURCE,
        ),
    )
    core_nw = at_1na.core_nw
    core = Span(core_nw * (1 - CORE_ERROR), core_nw, core_nw * (1 + CORE_ERROR))
    chip_rows = (_classifier(at_1na), _rest_of_chip(core_nw))
    chip = _total(core, chip_rows)
    system_rows: tuple[Row, ...] = (
        _row(
            f"analog filterbank, {n_channels} channels",
            [n_channels * nw for nw in literature.FILTERBANK_NW],
            "silicon",
            literature.FILTERBANK_SOURCE,
        ),
    )
    of_speech = rate_hz == SAMPLE_RATE_HZ
    if of_speech:
        source = literature.MICROPHONE_SOURCE
        system_rows += (_row("microphone", literature.MICROPHONE_NW, "silicon", source),)
    seconds = estimate.frames * frame_s
    if verifier is not None:
        system_rows += (_verifier(verifier, seconds),)
    system = _total(chip, system_rows)
    typical = {"core": core, "chip": chip, "system": system}
    return PowerReport(
        core=core,
        chip=chip,
        system=system,
        core_rows=core_rows,
        chip_rows=chip_rows,
        system_rows=system_rows,
        seconds=seconds,
        energy={
            part: Energy(span.typical or 0.0, (span.typical or 0.0) * frame_s * 1000)
            for part, span in typical.items()
        },
        battery_life=tuple(
            BatteryLife(
                battery,
                *(battery_years(battery, span.typical or 0.0) for span in typical.values()),
            )
            for battery in literature.BATTERIES
        ),
        extrapolation=Extrapolation(estimate.unit_na, estimate.core_nw, estimate.classifier_nw)
        if estimate.extrapolated
        else None,
        notes=_notes(estimate.frames, chip_rows[1].high is None, of_speech),
        blocks=blocks_of(estimate),
        activity=None if activity is None else tuple(activity),
        words=None
        if words is None
        else word_energy(
            words,
            seconds,
            {part: span.typical for part, span in typical.items()},
            tuple(activity or ()),
        ),
        mcus=None
        if parameters is None
        else mcu.compare(parameters, frame_s, n_channels, rate_hz=rate_hz),
    )


def battery_years(battery: Battery, load_nw: float) -> float:
    """Years that `battery` feeds a load of `load_nw` at VDD, at most its shelf life.

    A linear regulator passes the load's current on: I = P / VDD, whatever the battery's voltage.
    Self-discharge is a second, constant current: capacity times its rate.
    """
    load_ma = load_nw / VDD_V * 1e-6
    leak_ma = battery.capacity_mah * battery.self_discharge_per_year / HOURS_PER_YEAR
    years = battery.capacity_mah / (load_ma + leak_ma) / HOURS_PER_YEAR
    return min(years, battery.shelf_life_years)


def _row(block: str, span: Sequence[float | None], status: Status, source: str) -> Row:
    low, typical, high = span
    return Row(block, low, typical, high, status, source)


def _within(block: str, nw: float, error: float, source: str) -> Row:
    """A simulated row, with the mean error of its formula around it."""
    return _row(block, (nw * (1 - error), nw, nw * (1 + error)), "simulated", source)


def _classifier(estimate: PowerEstimate) -> Row:
    """Every branch burns its current at least once, and at most the larger gain of the formula."""
    branches_na = estimate.classifier_positive + estimate.classifier_negative
    span = (VDD_V * branches_na, estimate.classifier_nw, mirror_power_nw(0, branches_na, 0.0, 0.0))
    return _row("classifier mirrors", span, "estimated", literature.CLASSIFIER_SOURCE)


def _verifier(work: VerifierWork, seconds: float) -> Row:
    """Mean power over the run of so many decisions in it."""
    per_hour = 3600 * work.decisions / seconds if seconds else 0.0
    return _row(
        f"verifier, {per_hour:.1f} decisions per hour",
        [nj * per_hour / 3600 for nj in work.decision_nj],
        "estimated",
        f"{work.multiplications / 1e6:.3g} million multiplications a decision at most, in a "
        f"processor that is off otherwise; {work.source}",
    )


def _rest_of_chip(core_nw: float) -> Row:
    """High: what the published bound leaves beside the core; unknown for a core above it."""
    rest_nw = literature.CHIP_BOUND_NW - core_nw
    span = (None, None, rest_nw if rest_nw >= 0 else None)
    block = "bias generation, shift registers, routing"
    return _row(block, span, "estimated", literature.BIAS_SOURCE)


def _total(inner: Span, rows: Sequence[Row]) -> Span:
    lows = [row.low for row in rows if row.low is not None]
    typicals = [row.typical for row in rows if row.typical is not None]
    high = inner.high
    for row in rows:
        high = None if high is None or row.high is None else high + row.high
    return Span(
        None if inner.low is None else inner.low + sum(lows),
        None if inner.typical is None else inner.typical + sum(typicals),
        high,
    )


def _notes(frames: int, unbounded: bool, of_speech: bool) -> tuple[str, ...]:
    notes = [
        "Cells and mirrors are transistor-level simulation, not silicon. Low and high of the core "
        "are the mean error of the formula (1.5 % in total), not a bound.",
        "Bias generation, shift registers and routing: low and typical are unknown and left out "
        "of the low and typical totals of chip and system, so energy and battery life leave them "
        "out too.",
        "The filterbank row covers band-pass filters and rectifiers, as far as the cited chips "
        "do. Gain control, slow low-passed copies and the pre-projection's mirrors have no "
        "published figure and are in no row.",
        "Battery life: a linear regulator from 3 V to 1.8 V without a current of its own; "
        "capped by self-discharge and shelf life.",
    ]
    if not of_speech:
        notes.append("The sensor and its amplifier are in no row; the filterbank is one for sound.")
    if unbounded:
        notes.append(
            "The core alone is above the 1 uW that the paper's chip keeps to, so that bound says "
            "nothing here: the high of chip and system is unknown."
        )
    if not frames:
        notes.append("No audio was processed: these are the figures at rest.")
    return tuple(notes)
