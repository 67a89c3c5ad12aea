"""What the digital side needs of a model pack, as plain numbers."""

from dataclasses import dataclass

from kws_stream.features.fixed_point import FixedBank, FixedConditioning
from kws_stream.parameters import NetworkParameters

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


@dataclass(frozen=True, eq=False)
class FirmwareModel:
    """A model pack as the digital side sees it; front_end: None if it is no filterbank."""

    name: str
    version: str
    classes: tuple[str, ...]
    parameters: NetworkParameters
    front_end: FrontEndDesign | None
    detector: DetectorDesign
