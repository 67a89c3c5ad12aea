"""Headers of audio files and raw pipes. Decoders that are not ours get nothing from here."""

import io
import struct

import numpy as np
import soundfile

from fuzz import places
from fuzz.places import sentence
from kws_stream.audio.formats import ENOUGH, recognise
from kws_stream.audio.headers import inspect_file
from kws_stream.audio.pipe import PipeSource
from kws_stream.audio.view import View
from kws_stream.errors import AudioError, ParameterError

RATES_HZ = (16_000, 8_000, 48_000, 1_000, 44_100)


def audio_file(data: bytes) -> None:
    """Every byte of a file is in one part at most, and a view shows what the inspection says."""
    if not data:
        return  # refused before anything is read
    path = places.file("sound", data)
    found = inspect_file(path)
    recognise(data[:ENOUGH])
    before = 0
    for part in found.parts:
        assert before <= part.start <= part.stop <= len(data), found
        before = part.stop
        with View(str(path), part.start, part.stop, part.changed) as view:
            shown = view.read()
        wanted = bytearray(data)
        for place, other in part.changed.items():
            end = min(place + len(other), len(data))
            wanted[place:end] = other[: max(0, end - place)]
        assert shown == wanted[part.start : part.stop], part
    assert "\n" not in found.cut + found.damage


class _Pipe(io.RawIOBase):
    """A pipe that gives pieces of these sizes, over and over."""

    def __init__(self, data: bytes, sizes: bytes) -> None:
        self._data, self._sizes, self._turn, self._at = data, sizes or b"\xff", 0, 0

    def read1(self, most: int) -> bytes:
        size = min(most, 1 + self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece


def _heard(data: bytes, sizes: bytes, rate: int, channels: int) -> tuple[bytes, str]:
    """The samples and the sentence at the end."""
    blocks = [np.zeros(0, np.float32)]
    try:
        with PipeSource(_Pipe(data, sizes), rate, channels) as source:
            for block in source.blocks():
                block = np.asarray(block)
                scale = 32768 if block.dtype == np.int16 else 1
                blocks.append((block / np.float32(scale)).astype(np.float32))
    except (AudioError, ParameterError) as error:
        sentence(error)
        return np.concatenate(blocks).tobytes(), str(error)
    return np.concatenate(blocks).tobytes(), ""


def audio_pipe(data: bytes) -> None:
    """However a pipe is cut, the samples and the sentence at its end are the same."""
    if len(data) < 6:
        return
    rate, channels, sizes = RATES_HZ[data[0] % len(RATES_HZ)], data[1] % 66, data[2:6]
    assert _heard(data[6:], sizes, rate, channels) == _heard(data[6:], b"", rate, channels)


def _written(form: str, subtype: str, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    tone = np.sin(np.arange(400) / 5) / 2
    soundfile.write(file, np.column_stack([tone, -tone]), rate, subtype, format=form)
    return file.getvalue()


def audio_seeds() -> list[bytes]:
    """A short tone in every format that we read the headers of."""
    kinds = [("WAV", "PCM_16"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16")]
    kinds += [("W64", "PCM_16"), ("CAF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")]
    files = [_written(*kind) for kind in kinds] + [_written("OGG", "OPUS", 48_000)]
    if "MP3" in soundfile.available_formats():
        mp3 = _written("MP3", "MPEG_LAYER_III")
        files += [mp3, b"ID3\x04\0\0\0\0\0\x04\0\0\0\0" + mp3 + b"TAG" + bytes(125)]
    wav = files[0]
    files += [wav + wav, wav[:-100], wav[:40] + bytes(4) + wav[44:]]
    files.append(wav + b"LIST" + struct.pack("<I", 4) + b"INFO")
    return files


def pipe_seeds() -> list[bytes]:
    """Raw samples at every rate, and a file where there should be none."""
    sound = np.arange(-300, 300, 3, np.int16).tobytes()
    heads = [bytes([rate, channels, 7, 0, 99, 255]) for rate in range(5) for channels in (1, 2)]
    return [head + sound for head in heads] + [heads[0] + _written("WAV", "PCM_16")]
