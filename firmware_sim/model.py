"""What the digital side needs of a model pack, as plain numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.parameters import NetworkParameters

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FrontEndDesign:
    """The filterbank front end in real numbers (docs/features.md); envelope 1.0 is full scale.

    b, a: (channels, 3), a band-pass each, a[:, 0] = 1. lowpass_gain, agc_gain, slow_gains: how
    far a one-pole low-pass goes towards its input, per sample or per frame. frame_samples: samples
    of a frame. step, high: the input grid, in unit currents.
    """

    b: Array
    a: Array
    preemphasis: float
    half_wave: bool
    frame_samples: int
    lowpass_gain: float
    agc_gain: float
    slow_gains: tuple[float, ...]
    floor: float
    start_level: float
    offset: float
    step: float
    high: float

    @property
    def channels(self) -> int:
        return len(self.b)


@dataclass(frozen=True)
class DetectorDesign:
    """The detector's settings in frames (docs/detector.md).

    thresholds and rearms: one a class; a threshold of infinity never fires, a rearm of infinity
    keeps a keyword armed.
    """

    window: int
    warmup: int
    refractory: int
    frame_ms: int
    onset_ms: int
    thresholds: tuple[float, ...]
    rearms: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class FirmwareModel:
    """A model pack as the digital side sees it; front_end: None if it is no filterbank."""

    name: str
    version: str
    classes: tuple[str, ...]
    parameters: NetworkParameters
    front_end: FrontEndDesign | None
    detector: DetectorDesign
