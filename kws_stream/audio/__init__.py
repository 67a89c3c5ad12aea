"""Audio sources behind one small interface, and what they are made of.

Importing this room loads NumPy alone; soundfile, soxr and sounddevice load where they are used.
"""

from kws_stream.audio.devices import InputDevice, list_devices
from kws_stream.audio.file import FileSource, read_whole
from kws_stream.audio.microphone import MicrophoneSource
from kws_stream.audio.pcm import to_float32, to_int16
from kws_stream.audio.pipe import PipeSource
from kws_stream.audio.resample import Resampler
from kws_stream.audio.source import AudioSource, Pcm

__all__ = [
    "AudioSource",
    "FileSource",
    "InputDevice",
    "MicrophoneSource",
    "Pcm",
    "PipeSource",
    "Resampler",
    "list_devices",
    "read_whole",
    "to_float32",
    "to_int16",
]
