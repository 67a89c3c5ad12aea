#!/bin/sh
# wyoming 1.10.0 and 1.10.1 (PyPI), wyoming.audio.AudioChunkConverter, chunks of width 1
#
# Behaviour: 8-bit samples were taken as signed up to 1.10.0 and are taken as unsigned from 1.10.1 on,
# a change of the third number alone. The message has no field that tells which is meant. Silence of
# one is a square wave of full scale, or a constant of full scale, to the other.
#
# Seen (the same two bytes, 0 and 128, as 16-bit samples):
#   1.10.0: 0 -> 0, 128 -> -32768
#   1.10.1: 0 -> -32768, 128 -> 0
#
# Why it matters to keyword spotting: 8-bit WAV files are unsigned, and clients send what such a file
# holds as it is. A service of the one kind heard by a client of the other gets distortion instead of
# words (12 words that a spotter found in a recording became 2), without any error.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
hear() {
    "$folder/venv/bin/python" -W ignore - "$1" << 'PYTHON'
import sys

from wyoming.audio import AudioChunk, AudioChunkConverter

version = sys.argv[1]
chunk = AudioChunk(rate=16_000, width=1, channels=1, audio=bytes([0, 128]))
audio = AudioChunkConverter(width=2).convert(chunk).audio
low, middle = (int.from_bytes(audio[at : at + 2], "little", signed=True) for at in (0, 2))
print(f"{version}: 0 -> {low}, 128 -> {middle}")
assert (low, middle) == ((0, -32768) if version == "1.10.0" else (-32768, 0))
PYTHON
}
"$folder/venv/bin/pip" install -q --disable-pip-version-check wyoming==1.10.0
hear 1.10.0
"$folder/venv/bin/pip" install -q --disable-pip-version-check wyoming==1.10.1
hear 1.10.1
