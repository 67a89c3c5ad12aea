#!/bin/bash
# soundfile 0.14.0 (libsndfile 1.2.2 with mpg123): an MP3 of variable rate without a count of frames
# is read as far as a guess from the bit rate of its first frame, and then ends like a whole file.
# Such MP3s come from every encoder that writes to a pipe (ffmpeg -f mp3 -, network recorders),
# because the count stands in the first frame and is known last. With a count, of two files that
# were joined the first is read. There is no error and no warning in either case.
#
# Seen (8 s of noise that grows weaker, 16 kHz, VBR):
#   with its count          8.00 of 8 s
#   without its count       5.95 of 8 s
#   two of them, joined     8.00 of 16 s
#
# Why it matters to keyword spotting: false accepts per hour are measured on long recordings, many
# of them MP3. Half a recording unheard halves the words that are found, and where the hours are
# taken from elsewhere the rate too; a spotter run over archives misses what nobody can see missing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON' 2> /dev/null
import io

import numpy as np
import soundfile

RATE, SECONDS = 16_000, 8
count = RATE * SECONDS
noise = np.random.default_rng(0).uniform(-1, 1, count)
sound = 0.5 * np.exp(-9 * np.arange(count) / count) * noise
file = io.BytesIO()
soundfile.write(file, sound, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.0)
mp3 = file.getvalue()
assert b"Xing" in mp3[:64]
# the length of the first frame, MPEG 2 layer III: 72 * bit rate / sample rate, and padding
kbps = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[(mp3[2] >> 4) - 1]
first = 72_000 * kbps // RATE + (mp3[2] >> 1 & 1)
assert mp3[first] == 0xFF


def seconds(data):
    return len(soundfile.read(io.BytesIO(data))[0]) / RATE


whole, bare, joined = seconds(mp3), seconds(mp3[first:]), seconds(mp3 + mp3)
print(f"with its count          {whole:.2f} of 8 s")
print(f"without its count       {bare:.2f} of 8 s")
print(f"two of them, joined     {joined:.2f} of 16 s")
if (round(whole, 2), round(joined, 2)) != (8, 8) or not 5.9 < bare < 6.0:
    raise SystemExit("the figures have changed")
PYTHON
