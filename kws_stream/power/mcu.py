"""The same network as C firmware on a microcontroller: what its processor burns for a frame.

    energy of a frame = instructions · cycles an instruction · energy a cycle

Energy a cycle is the data sheet's current a MHz times the supply voltage: the active processor
alone. Sleep, wake-up, memory retention and analog-digital conversion are not in it, so a product
needs more.
"""

from dataclasses import asdict, dataclass
from typing import Any

from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.parameters import NetworkParameters
from kws_stream.power.literature import Status


@dataclass(frozen=True)
class Mcu:
    """current_ua_per_mhz at supply_v, as on the first page of the maker's data sheet."""

    name: str
    processor: str
    current_ua_per_mhz: float
    supply_v: float
    source: str

    @property
    def pj_per_cycle(self) -> float:
        return self.current_ua_per_mhz * self.supply_v  # uA/MHz · V = pJ a cycle


MCUS = (
    Mcu(
        "Ambiq Apollo3 Blue",
        "Cortex-M4F",
        6.0,
        3.3,
        "Apollo3 Blue data sheet: 6 uA/MHz at 3.3 V, from flash",
    ),
    Mcu(
        "ST STM32U575",
        "Cortex-M33",
        19.5,
        3.3,
        "STM32U575 data sheet: 19.5 uA/MHz at 3.3 V, run mode with SMPS",
    ),
    Mcu(
        "Nordic nRF52840",
        "Cortex-M4F",
        52.0,
        3.0,
        "nRF52840 product specification: 52 uA/MHz at 3 V, from flash with DC/DC",
    ),
    Mcu(
        "ST STM32L476",
        "Cortex-M4F",
        100.0,
        3.3,
        "STM32L476 data sheet: 100 uA/MHz at 3.3 V, run mode with LDO",
    ),
)

# Cycles an instruction on a Cortex-M4 or M33: 1 for most, 2 for a load that is not pipelined, 2-4
# for a taken branch (Arm, Cortex-M4 Technical Reference Manual, table 3-1). Low, typical, high;
# an estimate: a simulator counts instructions, not cycles.
CYCLES_PER_INSTRUCTION = (1.0, 1.3, 2.0)

# Without a count of the firmware: two loads, a multiply-accumulate and a share of the loop for each
# multiply-accumulate, twice that for 64-bit sums. Low, typical, high; an estimate.
INSTRUCTIONS_PER_MAC = (3.0, 6.0, 12.0)


@dataclass(frozen=True)
class Count:
    """Instructions that the firmware takes for one frame of a network, without its front end."""

    model: str
    multiply_accumulates: int
    instructions: float
    source: str

    @property
    def per_multiply_accumulate(self) -> float:
        return self.instructions / self.multiply_accumulates


_COUNTED = "the C firmware of export-c on a simulated Cortex-M4 (QEMU, docs/firmware.md)"

# Counts while the packaged recording plays: sums go by the inputs that are not 0, so how many
# instructions they take depends on the sound. A network that was not counted is scaled from the
# nearest by its multiply-accumulates; without any count, by INSTRUCTIONS_PER_MAC.
COUNTS = (
    Count("4 cells", 464, 3836.0, _COUNTED),
    Count("8 + 7 cells", 2560, 17_192.0, _COUNTED),
    Count("16 + 7 + 7 cells", 7040, 37_270.0, _COUNTED),
    Count("64 + 63 + 64 cells", 32_384, 87_224.0, _COUNTED),
    Count("58 + 34 + 24 + 28 cells", 38_592, 130_026.0, _COUNTED),
    Count("114 + 78 + 89 + 91 cells", 111_104, 179_250.0, _COUNTED),
    Count("186 + 176 + 186 + 191 + 2 cells", 308_352, 342_562.0, _COUNTED),
)

# Instructions of the fixed-point front end for a sample of a channel: 73,590 for a frame of 320
# samples with 16 channels, counted in the same way.
FRONT_END_INSTRUCTIONS = 73_590 / (320 * 16)


@dataclass(frozen=True)
class McuPower:
    """A processor on the same network: nJ a frame and average nW, low, typical and high.

    front_end_nw: typical, what a digital front end takes beside it.
    """

    mcu: Mcu
    frame_nj: tuple[float, float, float]
    average_nw: tuple[float, float, float]
    front_end_nw: float
    status: Status = "estimated"


@dataclass(frozen=True)
class McuComparison:
    """instructions a frame: low, typical, high; basis: where that number comes from."""

    multiply_accumulates: int
    instructions: tuple[float, float, float]
    basis: str
    rows: tuple[McuPower, ...]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the fields, and each processor's energy a cycle."""
        values = asdict(self)
        for row, of in zip(values["rows"], self.rows, strict=True):
            row["mcu"]["pj_per_cycle"] = of.mcu.pj_per_cycle
        return values


def compare(
    parameters: NetworkParameters,
    frame_s: float,
    n_channels: int,
    counts: tuple[Count, ...] = COUNTS,
    rate_hz: int = SAMPLE_RATE_HZ,
) -> McuComparison:
    """What each processor of MCUS burns for this network at a frame every `frame_s` seconds.

    The front end has a figure of its own, as the analog filterbank is outside the core.
    """
    macs = parameters.multiply_accumulates
    ratios, basis = _ratios(macs, counts)
    low, typical, high = (macs * ratio for ratio in ratios)
    rows = []
    for mcu in MCUS:
        pairs = zip((low, typical, high), CYCLES_PER_INSTRUCTION, strict=True)
        nj = [count * cycles * mcu.pj_per_cycle / 1000 for count, cycles in pairs]
        frame = (nj[0], nj[1], nj[2])
        average = (nj[0] / frame_s, nj[1] / frame_s, nj[2] / frame_s)
        sampled = FRONT_END_INSTRUCTIONS * n_channels * rate_hz  # instructions a second
        front_end = sampled * CYCLES_PER_INSTRUCTION[1] * mcu.pj_per_cycle / 1000
        rows.append(McuPower(mcu, frame, average, front_end))
    return McuComparison(macs, (low, typical, high), basis, tuple(rows))


def _ratios(macs: int, counts: tuple[Count, ...]) -> tuple[tuple[float, float, float], str]:
    """Instructions a multiply-accumulate: low, typical, high; and what they rest on."""
    if not counts:
        low, typical, high = INSTRUCTIONS_PER_MAC
        return INSTRUCTIONS_PER_MAC, (
            f"estimated: {typical:g} instructions a multiply-accumulate ({low:g}..{high:g})"
        )
    nearest = min(counts, key=lambda count: abs(count.multiply_accumulates - macs))
    if nearest.multiply_accumulates == macs:
        ratio = nearest.per_multiply_accumulate
        return (ratio, ratio, ratio), f"counted: {nearest.source}"
    every = [count.per_multiply_accumulate for count in counts]
    return (min(every), nearest.per_multiply_accumulate, max(every)), (
        f"scaled from a network of {nearest.model}: {nearest.source}"
    )
