"""A model pack in the plain numbers that the digital side (firmware_sim) works with."""

from pathlib import Path
from typing import TYPE_CHECKING

from kws_stream.errors import ParameterError

if TYPE_CHECKING:
    from firmware_sim.bitstream import Configuration
    from firmware_sim.model import (
        DetectorDesign,
        FirmwareModel,
        FrontEndDesign,
        VerifierDesign,
    )
    from kws_stream.packs import Pack
    from kws_stream.pipeline import KeywordSpotter

MAX_BYTES = 2**26  # of a bitstream


def firmware_model(pack: "Pack") -> "FirmwareModel":
    """Raises PackError for a pack that no spotter could use, ParameterError for one whose frames
    are no whole milliseconds, in which chip and firmware count time."""
    from firmware_sim.model import FirmwareModel
    from kws_stream.pipeline import KeywordSpotter

    spotter = KeywordSpotter(pack, verify=False)
    return FirmwareModel(
        name=pack.name,
        version=pack.version,
        classes=pack.classes,
        parameters=pack.network.parameters,
        front_end=_front_end(pack),
        detector=_detector(spotter),
        verifier=verifier_design(pack),
    )


def verifier_design(pack: "Pack") -> "VerifierDesign | None":
    """Of a pack whose verifier is one for microcontrollers; PackError for a broken one."""
    from kws_stream.verifier import McuVerifier, load_verifier

    if pack.verifier is None or pack.verifier.kind != "mcu":
        return None
    verifier = load_verifier(pack)
    assert isinstance(verifier, McuVerifier)
    return verifier.design


def _front_end(pack: "Pack") -> "FrontEndDesign | None":
    from kws_stream.features import FeatureSettings, fixed_front_end

    settings = FeatureSettings.from_dict(pack.features)
    return fixed_front_end(settings) if settings.kind == "analog" else None


def _detector(spotter: "KeywordSpotter") -> "DetectorDesign":
    from firmware_sim.model import DetectorDesign
    from kws_stream.detector import DetectorSettings

    settings = DetectorSettings.from_dict(spotter.pack.detector)
    frame_ms = 1000 * spotter.frame_s
    if abs(frame_ms - round(frame_ms)) > 1e-9:
        raise ParameterError(
            f"{spotter.pack.name}: need frames of whole milliseconds, in which chip and firmware "
            f"count time, got {frame_ms:.6g} ms; choose another rate_hz or hop_samples"
        )
    frame_s, infinity = spotter.frame_s, float("inf")
    thresholds = tuple(spotter.thresholds.get(name, infinity) for name in spotter.classes)
    return DetectorDesign(
        window=settings.window_frames(frame_s),
        warmup=settings.warmup_frames(frame_s),
        refractory=round(settings.refractory_s / frame_s),
        finish=settings.finish_frames(frame_s),
        frame_ms=round(frame_ms),
        onset_ms=round(1000 * settings.onset_s),
        thresholds=thresholds,
        rearms=tuple(settings.rearm_level(value, len(thresholds)) for value in thresholds),
    )


def load_model(model: str) -> tuple["Pack", "FirmwareModel"]:
    """The pack of that name or folder, and its numbers; raises PackError."""
    from kws_stream import packs

    pack = packs.load(model)
    return pack, firmware_model(pack)


def configuration_of(bitstream: Path) -> "Configuration":
    """What a bitstream's file sets a chip to, or what the bitstream of a model would.

    Raises BitstreamError for a file that is none, PackError as `load_model`.
    """
    from firmware_sim.bitstream import decode, encode
    from kws_stream import packs
    from kws_stream.errors import BitstreamError

    if bitstream.is_dir() or (not bitstream.exists() and str(bitstream) in packs.list_packs()):
        return decode(encode(load_model(str(bitstream))[1]))
    try:
        with open(bitstream, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BitstreamError(f"{bitstream}: need a file to read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise BitstreamError(f"{bitstream}: need {MAX_BYTES} bytes at most, got more")
    return decode(data)
