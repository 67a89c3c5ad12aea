"""Is this machine fit to listen? Findings, each with what to do about it."""

import importlib.metadata
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kws_stream import __version__, engine, packs
from kws_stream.audio import MicrophoneSource, list_devices, to_float32
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DeviceError, KwsStreamError
from kws_stream.names import counted
from kws_stream.pipeline import KeywordSpotter

Status = Literal["good", "note", "bad"]

PACKAGES = (
    *("numpy", "scipy", "onnxruntime", "sounddevice", "soundfile", "soxr", "librosa"),
    *("click", "rich"),
)
EXTRAS = {
    **{"wyoming": "wyoming", "web": "starlette", "report": "matplotlib", "train": "torch"},
    "formats": "av",
}
QUIET_DBFS = -45.0  # loudest 20 ms; models lose words under this (docs/sound.md)
LOUD_FLOOR_DBFS = -35.0
_LEVEL_SAMPLES = SAMPLE_RATE_HZ // 50
_ENOUGH_SPEED = 3.0  # times real time: with less, a busy moment of the machine loses audio


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    what: str
    status: Status
    text: str
    advice: str = ""


def check_up(
    models: Sequence[str] = (), device: str | None = None, seconds: float | None = 3.0
) -> Iterator[Finding]:
    """All findings, as they come. models: none means all shipped; seconds: None records nothing."""
    yield from _versions()
    yield from _microphones(device, seconds)
    for name in models or packs.list_packs():
        yield from _model(name)
    if not models and not packs.list_packs():
        yield Finding("models", "bad", "none is installed", "Install kws-stream again.")


def _versions() -> Iterator[Finding]:
    system = f"{platform.system()} {platform.machine()}"
    yield Finding(
        "Python", "good", f"{platform.python_version()} on {system}, kws-stream {__version__}"
    )
    if engine.kind == "c":
        yield Finding("engine", "good", "in C")
    else:
        advice = (
            "It is slower and gives the same results. Unset KWS_STREAM_ENGINE if it is set; else "
            "install kws-stream again where a C compiler is, or from a wheel for this system."
        )
        yield Finding("engine", "note", "in NumPy", advice)
    versions = {name: _version(name) for name in PACKAGES}
    missing = [name for name, version in versions.items() if version is None]
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if missing:
        advice = f"Install them: pip install {' '.join(missing)}"
        yield Finding("packages", "bad", f"{', '.join(missing)} missing", advice)
    yield Finding("packages", "good", listed)
    absent = [extra for extra, package in EXTRAS.items() if _version(package) is None]
    if absent:
        advice = f"Only if you want them: pip install 'kws-stream[{','.join(absent)}]'"
        yield Finding("extras", "note", f"{', '.join(absent)} not installed", advice)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _microphones(device: str | None, seconds: float | None) -> Iterator[Finding]:
    without = "Files, pipes, `serve` and the web page work without one."
    try:
        devices = list_devices()
    except DeviceError as error:
        yield Finding("PortAudio", "note", str(error), without)
        return
    for found in devices:
        mark = ", the default" if found.is_default else ""
        text = f"{counted(found.channels, 'channel')} at {found.rate_hz} Hz{mark}"
        yield Finding(f"device {found}", "good", text)
    if seconds is None:
        return
    try:
        with MicrophoneSource(device, duration_s=seconds) as source:
            blocks = [to_float32(block) for block in source.blocks()]
    except DeviceError as error:
        yield Finding("microphone", "note", str(error), without)
        return
    yield from judge_recording(np.concatenate(blocks), source.device_name, source.clipped_samples)
    lost = source.overruns + source.dropped_blocks
    if lost:
        text = f"{counted(source.overruns, 'overrun')}, "
        text += counted(source.dropped_blocks, "dropped block")
        advice = "The machine is too busy: end other programs, or take another device."
        yield Finding("recording, losses", "bad", text, advice)


def judge_recording(pcm: NDArray[np.float32], name: str, clipped: int) -> Iterator[Finding]:
    """Findings about a recording (n,) at 16 kHz with so many clipped samples."""
    parts = pcm[: len(pcm) // _LEVEL_SAMPLES * _LEVEL_SAMPLES].reshape(-1, _LEVEL_SAMPLES)
    levels = np.sqrt((parts.astype(np.float64) ** 2).mean(axis=1))
    peak, floor = _decibels(np.abs(pcm).max(initial=0)), _decibels(np.quantile(levels, 0.1))
    loudest = _decibels(levels.max(initial=0))
    text = (
        f"{len(pcm) / SAMPLE_RATE_HZ:.1f} s of {name}: peak {peak:.0f} dBFS, loudest {loudest:.0f} "
        f"dBFS, noise floor {floor:.0f} dBFS, {clipped} clipped samples"
    )
    if not pcm.any():
        advice = (
            "Every sample is zero: switch the microphone on, and allow recording in the system's "
            "privacy settings."
        )
        yield Finding("recording", "bad", text, advice)
    elif clipped:
        yield Finding("recording", "bad", text, "Turn the input level down until nothing clips.")
    elif floor > LOUD_FLOOR_DBFS:
        advice = "There is much noise: turn the input level down, or move the microphone."
        yield Finding("recording", "note", text, advice)
    elif loudest < QUIET_DBFS:
        advice = (
            "It is very quiet, and models lose words below -45 dBFS: speak while it records, or "
            "turn the input level up."
        )
        yield Finding("recording", "note", text, advice)
    else:
        yield Finding("recording", "good", text)


def _decibels(amplitude: Any) -> float:
    return float(20 * np.log10(max(float(amplitude), 1e-6)))


def _model(name: str) -> Iterator[Finding]:
    try:
        packs.verify(name)
        pack = packs.load(name)
        speed = measure_speed(pack)
    except KwsStreamError as error:
        advice = "Get an intact copy of the model, or install kws-stream again."
        yield Finding(f"model {name}", "bad", str(error), advice)
        return
    agree = "checksums, graphs and front end agree"
    yield Finding(f"model {pack.name} {pack.version}", "good", agree)
    text = f"{speed:.0f} times real time on one core"
    if speed < _ENOUGH_SPEED:
        advice = "Take a smaller model, end other programs, or take another machine."
        yield Finding(f"speed of {pack.name}", "bad", text, advice)
    else:
        yield Finding(f"speed of {pack.name}", "good", text)


def measure_speed(pack: packs.Pack, seconds: float = 2.0) -> float:
    """Seconds of audio that this machine computes in a second, in blocks of 20 ms."""
    spotter = KeywordSpotter(pack)
    rng = np.random.default_rng(0)
    block = (0.1 * rng.standard_normal(SAMPLE_RATE_HZ // 50)).astype(np.float32)
    began = time.perf_counter()
    for _ in range(round(seconds * 50)):
        spotter.process(block)
    return seconds / (time.perf_counter() - began)
