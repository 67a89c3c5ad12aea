"""Published figures that stand beside the estimate, each with its source and its status.

Status: "silicon" was measured on a chip or is a part's data sheet, "simulated" comes from
transistor-level simulation (directly or by a formula fitted to it), "estimated" is neither.
Batteries: nominal figures of data sheets for a low load at room temperature.
"""

from dataclasses import dataclass
from typing import Literal

Status = Literal["silicon", "simulated", "estimated"]

PAPER = "arXiv:2605.15216"

CELLS_SOURCE = (
    f"formula fitted to the transistor-level simulations of {PAPER} (180 nm, 1.8 V); "
    "mean error 0.5 % on 40 check utterances"
)
FEEDFORWARD_SOURCE = (
    f"formula fitted to the transistor-level simulations of {PAPER} (180 nm, 1.8 V); "
    "mean error 2.3 % on 40 check utterances"
)
CLASSIFIER_SOURCE = (
    "no published figure; branch currents of W_y·x with the gains of the candidates' branches; "
    "low: each branch counted once, high: every branch at the larger gain"
)

# The rest of the chip has no split of its own: the paper keeps the whole chip within this bound.
CHIP_BOUND_NW = 1000.0
BIAS_SOURCE = f"{PAPER}: chip within 1 uW; high is 1 uW less the core, no published split"

# nW per channel: low, typical, high.
FILTERBANK_NW = (2.6, 25.0, 581.0)
FILTERBANK_SOURCE = (
    "per channel, other chips: doi:10.1109/jssc.2022.3227246 (80 nW for 31 features, 65 nm); "
    "Villamizar 2021 (800 nW, 32 channels, 130 nm); Kim, JSSC 2022 (9.3 uW, 16 channels)"
)

# nW: passive; wake-on-sound piezo at 1.8 V; active MEMS (and more).
MICROPHONE_NW = (0.0, 5_400.0, 100_000.0)
MICROPHONE_SOURCE = (
    "passive: Li & Shan, JSSC 2024; wake-on-sound piezo: VM1010 data sheet (1.8 V); "
    "active MEMS, 100 uW and more: CICC 2023 survey"
)


@dataclass(frozen=True)
class Battery:
    """A 3 V supply: capacity in mAh, self-discharge as a fraction a year, shelf life in years."""

    name: str
    capacity_mah: float
    self_discharge_per_year: float
    shelf_life_years: float
    source: str


BATTERIES = (
    Battery(
        "CR2032",
        capacity_mah=225.0,
        self_discharge_per_year=0.01,
        shelf_life_years=10.0,
        source="makers' data sheets of CR2032 lithium cells: 225 mAh, about 1 % a year, 10 years",
    ),
    Battery(
        "two AA alkaline in series",
        capacity_mah=2500.0,
        self_discharge_per_year=0.03,
        shelf_life_years=10.0,
        source="makers' data sheets of alkaline LR6 cells: 2,500 mAh at a low load, 2-3 % a year, "
        "10 years",
    ),
)


@dataclass(frozen=True)
class Peer:
    """A published keyword spotter, for comparison; `figure` as published, with its unit.

    power_nw: the same as a number; None where an energy was published and no rate.
    """

    name: str
    figure: str
    scope: str
    status: Status
    power_nw: float | None


MULTIPLICATION_NJ = (0.0046, 0.9, 2.1)
ACCELERATED_NJ = 251_000.0  # of a decision
_PROCESSORS = "a Cortex-M7, a Cortex-M4 (MLPerf Tiny v1.1, DS-CNN of 2.7 million: 2.4 and 5.5 mJ)"
MULTIPLICATION_SOURCE = (
    "nJ of a multiplication and addition: the arithmetic alone in 45 nm (Horowitz, ISSCC 2014), "
    f"{_PROCESSORS}"
)
ACCELERATED_SOURCE = (
    "a whole keyword network in the CNN accelerator of a MAX78000, 251 uJ (arXiv:2111.04988); "
    f"{_PROCESSORS}"
)

PEERS = (
    Peer("JSSC 2021", "0.51 uW", "28 nm, 1-2 words, MFCC and neural network", "silicon", 510.0),
    Peer("JSSC 2024", "0.61 uW", "28 nm, 2 words, analog front end included", "silicon", 610.0),
    Peer("JSSC 2024", "1.48 uW", "28 nm, 7 classes, 92.8 %", "silicon", 1480.0),
    Peer("DeltaKWS", "36 nJ/decision", "65 nm, 12 classes, 89.5 %", "silicon", None),
    Peer("Vocell", "10.6 uW", "65 nm", "silicon", 10_600.0),
    Peer("JSSC 2022", "23 uW", "65 nm, 12 classes, 86 %, 12.4 ms", "silicon", 23_000.0),
    Peer("Syntiant NDP10x", "about 200 uW", "vendor's figure", "silicon", 200_000.0),
    Peer(
        f"{PAPER}, core",
        "82.6 nW",
        "180 nm, 2 classes, d = 4; core alone, 60.6..117.7 nW",
        "simulated",
        82.6,
    ),
)
