#!/bin/sh
# wyoming 1.10.2 (PyPI), wyoming.audio.AudioChunkConverter, with Python's audioop (3.11, 3.12) and with
# the package's own replacement of it (from 3.13 on)
#
# Behaviour: the converter that wyoming's clients and servers put before a model
#   1. brings 48 kHz to 16 kHz by drawing straight lines between samples, without a filter: what lies
#      above 8 kHz is folded down at nearly full level (a tone of 10 kHz comes out at 6 kHz);
#   2. makes mono of stereo by adding the channels, with clipping: equal channels at half of full
#      scale come out at full scale, louder ones are cut off. Documents and WAV tools average.
#
# Seen:
#   tone of 10 kHz, 48 to 16 kHz: at 6 kHz, 0.0 dB against the tone itself
#   two equal channels at 0.25 of full scale: 0.50
#   two equal channels at 0.75 of full scale: 1.00 (clipped)
#
# Why it matters to keyword spotting: fricatives ("s", "f", "t" of stop, off, left, right) have most of
# their power at 4 to 12 kHz; folded, they land where the model expects other sounds, and a stereo
# microphone at a healthy level is clipped. Resample with a filter (soxr, speexdsp) and average before
# audio reaches such a service; a service that resamples by itself should be sent what was recorded.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check wyoming==1.10.2 numpy==2.3.5
"$folder/venv/bin/python" -W ignore - << 'PYTHON'
import numpy as np
from wyoming.audio import AudioChunk, AudioChunkConverter


def convert(samples, rate, channels):
    chunk = AudioChunk(rate, 2, channels, np.round(samples * 32767).astype("<i2").tobytes())
    converted = AudioChunkConverter(rate=16_000, width=2, channels=1).convert(chunk)
    return np.frombuffer(converted.audio, "<i2") / 32767


def level(samples, hz, rate):
    time_s = np.arange(len(samples)) / rate
    return 2 * abs(np.mean(samples * np.exp(-2j * np.pi * hz * time_s)))


tone = 0.25 * np.sin(2 * np.pi * 10_000 * np.arange(48_000) / 48_000)
folded_db = 20 * np.log10(level(convert(tone, 48_000, 1), 6_000, 16_000) / level(tone, 10_000, 48_000))
print(f"tone of 10 kHz, 48 to 16 kHz: at 6 kHz, {abs(folded_db):.1f} dB against the tone itself")
assert abs(folded_db) < 0.5
for scale, expected in ((0.25, 0.5), (0.75, 1.0)):
    mono = convert(np.full(2000, scale), 16_000, 2)  # two channels of 1000 samples
    clipped = " (clipped)" if scale > 0.5 else ""
    print(f"two equal channels at {scale} of full scale: {mono.max():.2f}{clipped}")
    assert abs(mono.max() - expected) < 1e-3
PYTHON
