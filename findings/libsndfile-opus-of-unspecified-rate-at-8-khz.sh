#!/bin/bash
# soundfile 0.14.0 (libsndfile 1.2.2): an Opus file whose header leaves the rate of its input open (0,
# "unspecified" in RFC 7845, section 5.1, which advises 48 kHz) is decoded at 8 kHz. What lies above
# 4 kHz is gone; the file is otherwise whole and nothing tells.
#
# Seen (1 s of a tone of 6 kHz, coded at 48 kHz):
#   header 48000    decoded at 48000 Hz, level  -9.0 dBFS
#   header 0        decoded at  8000 Hz, level -82.5 dBFS
#
# Why it matters to keyword spotting: s, f, t and the difference between "stop" and "top" lie above
# 4 kHz; one word in eight was lost on clips of commands that were stored so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import soundfile

RATE = 48_000
tone = 0.5 * np.sin(2 * np.pi * 6000 * np.arange(RATE) / RATE)
file = io.BytesIO()
soundfile.write(file, tone, RATE, format="OGG", subtype="OPUS")
data = bytearray(file.getvalue())
at = data.find(b"OpusHead") + 12
assert data[at : at + 4] == RATE.to_bytes(4, "little")
opened = bytearray(data)
opened[at : at + 4] = bytes(4)
page = 27 + opened[26] + sum(opened[27 : 27 + opened[26]])
opened[22:26] = bytes(4)
crc = 0  # of the page, as RFC 3533 has it
for byte in opened[:page]:
    crc ^= byte << 24
    for _ in range(8):
        crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
opened[22:26] = crc.to_bytes(4, "little")
seen = []
for name, content in (("48000", data), ("0", opened)):
    x, rate = soundfile.read(io.BytesIO(content))
    level = 10 * np.log10(np.mean(x[rate // 4 : -rate // 4] ** 2) + 1e-12)
    print(f"header {name:<8} decoded at {rate:>5} Hz, level {level:5.1f} dBFS")
    seen.append((rate, level))
if seen[0][0] != 48_000 or seen[1][0] != 8_000 or seen[0][1] < -12 or seen[1][1] > -40:
    raise SystemExit("the figures have changed")
PYTHON
