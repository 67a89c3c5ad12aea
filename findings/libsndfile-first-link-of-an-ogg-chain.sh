#!/bin/bash
# soundfile 0.14.0 (libsndfile 1.2.2): of a chained Ogg file (RFC 3533: whole Ogg files behind one
# another, as radio recorders and `cat` make them) the first link is heard alone, with a normal end
# after it. The same for Vorbis and Opus.
#
# Seen (three links of 2 s):
#   VORBIS  2.00 of 6 s
#   OPUS    2.00 of 6 s
#
# Why it matters to keyword spotting: hours of radio and of meetings, on which false accepts are
# counted, are stored so; a spotter that reads in blocks hears the first link of each.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import soundfile

RATE = 16_000
for subtype in ("VORBIS", "OPUS"):
    chain = b""
    for seed in range(3):
        noise = np.random.default_rng(seed).uniform(-0.3, 0.3, 2 * RATE)
        link = io.BytesIO()
        soundfile.write(link, noise, RATE, format="OGG", subtype=subtype)
        chain += link.getvalue()
    with soundfile.SoundFile(io.BytesIO(chain)) as file:
        heard = 0
        while len(block := file.read(4000)):
            heard += len(block)
    print(f"{subtype:<7} {heard / RATE:.2f} of 6 s")
    if heard != 2 * RATE:
        raise SystemExit("the figures have changed")
PYTHON
