#!/bin/bash
# soundfile 0.14.0 (libsndfile 1.2.2): what a recorder leaves that was killed, or that writes to a
# pipe, is treated otherwise in every format. A size of samples that is still zero means "to the end"
# in AIFF and W64, "no samples" in WAV and AU, and refuses CAF. A size that is open as the format says
# (all ones; -1 in CAF) is read to the end, but a CAF of -1, which Apple's specification has for
# recordings in progress and ffmpeg writes to a pipe, is refused. A size of an earlier moment is
# believed by all but W64. The file ends normally in each case.
#
# Seen (2 s of sound, 32,000 frames):
#   size       wav      aiff     au       w64      caf
#   right      32000    32000    32000    32000    32000
#   zero       0        32000    0        32000    refused
#   stale      1600     1600     1600     32000    1600
#   open       32000    32000    32000    -        refused
#
# Why it matters to keyword spotting: field recorders and loggers lose power. A night without a false
# accept may be a night of which a tenth of a second was heard.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct

import numpy as np
import soundfile

FRAMES = 32_000
noise = np.random.default_rng(0).integers(-9000, 9000, FRAMES).astype(np.int16)
# name of the chunk, where its size is behind that, how it is written, and what counts beside samples
FORMATS = {
    "WAV": (b"data", 4, "<I", 0),
    "AIFF": (b"SSND", 4, ">I", 8),
    "AU": (b".snd", 8, ">I", 0),
    "W64": (b"data", 16, "<Q", 24),
    "CAF": (b"data", 4, ">Q", 4),
}


def heard(name, size):
    if (name, size) == ("W64", "open"):
        return "-"  # the format has no such size
    file = io.BytesIO()
    soundfile.write(file, noise, 16_000, format=name, subtype="PCM_16")
    data = bytearray(file.getvalue())
    chunk, behind, form, more = FORMATS[name]
    at = data.find(chunk) + behind
    bits = 8 * struct.calcsize(form)
    right = struct.unpack_from(form, data, at)[0]
    value = {"right": right, "zero": 0, "stale": 3200 + more, "open": (1 << bits) - 1}[size]
    # the samples last: what libsndfile writes behind them is cut off
    samples = noise.astype("<i2" if name in ("WAV", "W64") else ">i2").tobytes()
    data = data[: data.find(samples) + len(samples)]
    struct.pack_into(form, data, at, value)
    try:
        return str(len(soundfile.read(io.BytesIO(data))[0]))
    except soundfile.LibsndfileError:
        return "refused"


EXPECTED = {
    "right": ["32000", "32000", "32000", "32000", "32000"],
    "zero": ["0", "32000", "0", "32000", "refused"],
    "stale": ["1600", "1600", "1600", "32000", "1600"],
    "open": ["32000", "32000", "32000", "-", "refused"],
}
print(f"{'size':<11}" + "".join(f"{name.lower():<9}" for name in FORMATS))
for size, expected in EXPECTED.items():
    seen = [heard(name, size) for name in FORMATS]
    print(f"{size:<11}" + "".join(f"{count:<9}" for count in seen))
    if seen != expected:
        raise SystemExit("the figures have changed")
PYTHON
