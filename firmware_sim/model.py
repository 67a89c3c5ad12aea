"""What the digital side needs of a model pack, as plain numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.features.fixed_point import FixedBank, FixedConditioning
from kws_stream.parameters import NetworkParameters

Integers = NDArray[np.integer]

FrontEndDesign = tuple[FixedBank, FixedConditioning]
"""The integers that define a filterbank front end (docs/features.md)."""


@dataclass(frozen=True)
class DetectorDesign:
    """The detector's settings in frames (docs/detector.md).

    thresholds and rearms: one a class; a threshold of infinity never fires, a rearm of infinity
    keeps a keyword armed.
    """

    window: int
    warmup: int
    refractory: int
    finish: int
    frame_ms: int
    onset_ms: int
    thresholds: tuple[float, ...]
    rearms: tuple[float, ...]

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class ConvolutionDesign:
    """A layer of the verifier (docs/cascade.md): weight (taps, n_in, n_out), or (taps, n_out) of a
    depthwise one, bias and shift (n_out,)."""

    weight: Integers
    bias: Integers
    shift: Integers
    stride: int

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class VerifierDesign:
    """The second stage: frames of a window, looks in frames after a trigger, and the classes that
    its scores are of. threshold: 0 to 1."""

    layers: tuple[ConvolutionDesign, ...]
    frames: int
    looks: tuple[int, ...]
    threshold: float
    keywords: tuple[str, ...]

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class FirmwareModel:
    """A model pack as the digital side sees it; front_end: None if it is no filterbank, verifier:
    None where it has none, or one that no microcontroller could run."""

    name: str
    version: str
    classes: tuple[str, ...]
    parameters: NetworkParameters
    front_end: FrontEndDesign | None
    detector: DetectorDesign
    verifier: VerifierDesign | None = None

    __repr__ = brief
