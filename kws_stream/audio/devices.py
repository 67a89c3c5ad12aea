"""The input devices of this machine."""

import re
from dataclasses import dataclass
from typing import Any

from kws_stream.errors import DeviceError


@dataclass(frozen=True)
class InputDevice:
    """A device that can record; rate_hz is the rate it runs at by default."""

    index: int
    name: str
    channels: int
    rate_hz: int
    is_default: bool
    host_api: str

    @property
    def full_name(self) -> str:
        """The name with its host API: one device may appear under several."""
        return f"{self.name}, {self.host_api}"

    def __str__(self) -> str:
        return f"{self.index}: {self.full_name}"


def _without_card(name: str) -> str:
    """`name` without ALSA's card numbers, which change when a device is plugged in again."""
    return re.sub(r" \(hw:\d+,\d+\)", "", name)


def load_backend(backend: Any = None) -> Any:
    """`backend`, or the sounddevice module; raises DeviceError where PortAudio is missing."""
    if backend is not None:
        return backend
    try:
        import sounddevice
    except Exception as error:  # OSError: no shared library; PortAudioError: it cannot start
        raise DeviceError(
            f"a microphone needs PortAudio, got {error}; install it "
            "(Debian and Raspberry Pi OS: apt install libportaudio2); files and pipes need none"
        ) from error
    return sounddevice


def list_devices(backend: Any = None) -> list[InputDevice]:
    """All devices with an input channel.

    backend: a stand-in for the sounddevice module. Raises DeviceError without PortAudio.
    """
    sd = load_backend(backend)
    try:
        default = sd.query_devices(kind="input")["index"]
    except (sd.PortAudioError, ValueError):  # no default input
        default = None
    try:
        apis = [api["name"] for api in sd.query_hostapis()]
        return [
            InputDevice(
                index=index,
                name=device["name"],
                channels=int(device["max_input_channels"]),
                rate_hz=round(device["default_samplerate"]),
                is_default=index == default,
                host_api=apis[device["hostapi"]],
            )
            for index, device in enumerate(sd.query_devices())
            if device["max_input_channels"] > 0
        ]
    except sd.PortAudioError as error:
        raise DeviceError(
            f"need a list of audio devices, got {error}; check the sound system"
        ) from error


def find_device(wanted: int | str | None, backend: Any = None) -> InputDevice:
    """The device with an index, or whose name and host API hold all words of `wanted`.

    None is the system's default; a whole name goes before a part of one. Raises DeviceError
    that lists the candidates for none or several, and where there is no device at all.
    """
    devices = list_devices(backend)
    if not devices:
        raise DeviceError("need a microphone, got no input device at all; connect one")
    if isinstance(wanted, str) and wanted.strip().isdecimal():
        wanted = int(wanted)
    if wanted is None:
        matches = [device for device in devices if device.is_default]
        needed = "need a default input device, got none"
    elif isinstance(wanted, str):
        plain, words = _without_card(wanted), wanted.lower().split()
        matches = (
            [d for d in devices if wanted in (d.name, d.full_name)]
            or [d for d in devices if plain in (_without_card(d.name), _without_card(d.full_name))]
            or [d for d in devices if all(word in d.full_name.lower() for word in words)]
        )
        needed = f"need one input device named {wanted!r}, got {len(matches)}"
    else:
        matches = [device for device in devices if device.index == wanted]
        needed = f"need an input device with index {wanted}, got none"
    if len(matches) != 1:
        candidates = "; ".join(str(device) for device in matches or devices)
        raise DeviceError(f"{needed}; choose one of {candidates}")
    return matches[0]
