#!/bin/sh
# wyoming 1.10.2 (PyPI), wyoming.audio.wav_to_chunks and AudioChunk.milliseconds
#
# Behaviour: a chunk's length in ms is cut to a whole number, and the timestamps are the sum of those.
# Where a chunk is no whole number of ms they run behind the sound, by a fixed share for ever. And
# `wav_to_chunks(..., timestamp=T, start_event=True)` starts its chunks at T, but its audio-start says 0.
#
# Seen (an hour of sound in chunks of 1024 samples):
#   16000 Hz: the last chunk is stamped 0.0 s early
#   22050 Hz: the last chunk is stamped 34.1 s early
#   44100 Hz: the last chunk is stamped 34.1 s early
#   48000 Hz: the last chunk is stamped 56.2 s early
#   timestamp=5000: audio-start 0, first chunk 5000
#
# Why it matters to keyword spotting: whoever matches detections with labels, or takes the sentence
# after a wake word from a buffer by its timestamp, is off by a second after one to two minutes. Count
# samples; or use chunks of whole milliseconds (20 ms fits all of these rates but 22050 Hz).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check wyoming==1.10.2
"$folder/venv/bin/python" -W ignore - << 'PYTHON'
import io
import wave

from wyoming.audio import wav_to_chunks


def recording(rate, seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1), sound.setsampwidth(1), sound.setframerate(rate)
        sound.writeframes(bytes(rate * seconds))
    file.seek(0)
    return wave.open(file)


for rate, expected in ((16_000, 0.0), (22_050, 34.1), (44_100, 34.1), (48_000, 56.2)):
    chunks = list(wav_to_chunks(recording(rate, 3600), 1024))
    early_s = (len(chunks) - 1) * 1024 / rate - chunks[-1].timestamp / 1000
    print(f"{rate} Hz: the last chunk is stamped {early_s:.1f} s early")
    assert abs(early_s - expected) < 0.06, (rate, early_s)
start, first, *_ = wav_to_chunks(recording(16_000, 1), 1024, timestamp=5000, start_event=True)
print(f"timestamp=5000: audio-start {start.timestamp}, first chunk {first.timestamp}")
assert (start.timestamp, first.timestamp) == (0, 5000)
PYTHON
