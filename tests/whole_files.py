"""Recordings for tests that all of their sound is heard."""

import io

import numpy as np
import pytest
import soundfile

from kws_stream.audio import FileSource
from kws_stream.errors import TruncatedAudioError

RATE = 16_000
SECONDS = 8
MP3 = pytest.mark.skipif(
    "MP3" not in soundfile.available_formats(), reason="this libsndfile reads no mp3"
)


def sound(seconds=SECONDS, rate=RATE, seed=0):
    """Loud noise, then ever weaker: an encoder of variable rate spends most on its beginning."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    return 0.5 * np.exp(-np.arange(count) / count * 9) * rng.uniform(-1, 1, count)


def encoded(samples, rate=RATE, **kwargs):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **kwargs)
    return file.getvalue()


def samples16(count=40_000, seed=1):
    return np.random.default_rng(seed).integers(-32768, 32768, count).astype("<i2")


def read(path, **kwargs):
    with FileSource(path, **kwargs) as source:
        return np.concatenate(list(source.blocks()))


def read_file(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return read(path)


def heard_and_told(folder, name, data):
    """Samples that came and the sentence that followed them."""
    path = folder / name
    path.write_bytes(data)
    blocks = [np.zeros(0, np.float32)]
    with pytest.raises(TruncatedAudioError) as told, FileSource(path) as source:
        blocks.extend(source.blocks())
    assert "\n" not in str(told.value)
    return np.concatenate(blocks), str(told.value)


def alike(got, want):
    """Two decodings of the same sound, however they begin: the correlation of their envelopes."""
    count = min(len(got), len(want)) // 800
    a, b = (np.abs(x[: 800 * count]).reshape(count, 800).mean(1) for x in (got, want))
    return np.corrcoef(a, b)[0, 1]


# MP3
