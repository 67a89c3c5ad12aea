"""Studies of a model on virtual chips: what `kws-stream chip` runs.

Each is a function of a pack, utterances and chip settings that gives a result with `as_dict`; none
depends on the number of workers. docs/chip.md describes them.
"""

from kws_stream.studies.accumulation import Accumulation, accumulation
from kws_stream.studies.baselines import Baselines, load_baselines
from kws_stream.studies.calibration import (
    Calibration,
    calibrate,
    codes_csv,
    read_measurements,
    virtual_measurements,
)
from kws_stream.studies.claims import Claim, Trial, claims
from kws_stream.studies.clips import Utterances, load_utterances
from kws_stream.studies.conditions import Conditions, pvt, quantise
from kws_stream.studies.frontier import Frontier, frontier, lowered_pack
from kws_stream.studies.montecarlo import MonteCarlo, montecarlo
from kws_stream.studies.noise import NoiseStudy, noise
from kws_stream.studies.requantise import requantised_pack
from kws_stream.studies.robustness import PERCENTS, Robustness, robustness
from kws_stream.studies.scaling import Scaling, scaling
from kws_stream.studies.settling import Settling, settling

__all__ = [
    "PERCENTS",
    "Accumulation",
    "Baselines",
    "Calibration",
    "Claim",
    "Conditions",
    "Frontier",
    "MonteCarlo",
    "NoiseStudy",
    "Robustness",
    "Scaling",
    "Settling",
    "Trial",
    "Utterances",
    "accumulation",
    "calibrate",
    "claims",
    "codes_csv",
    "frontier",
    "load_baselines",
    "load_utterances",
    "lowered_pack",
    "montecarlo",
    "noise",
    "pvt",
    "quantise",
    "read_measurements",
    "requantised_pack",
    "robustness",
    "scaling",
    "settling",
    "virtual_measurements",
]
