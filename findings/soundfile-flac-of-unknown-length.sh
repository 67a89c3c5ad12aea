#!/bin/bash
# soundfile 0.14.0 (libsndfile 1.2.2): a FLAC whose header leaves the number of samples open (0 in
# STREAMINFO, allowed by RFC 9639; every encoder that writes to a pipe leaves it so) cannot be read to
# its end from a file. soundfile.read fails with a ValueError, for an array of 2^63 - 1 frames. Reading
# in blocks raises at the last, shorter block and loses it: after each read soundfile seeks to where
# it is, and libFLAC cannot seek to an end that it does not know. Where the file says that it cannot
# seek, all of it is read.
#
# Seen (50,001 samples, in blocks of 4,000):
#   read()                         ValueError
#   blocks                         48000 samples, then LibsndfileError
#   blocks, file that cannot seek  50001 samples, then the end
#
# Why it matters to keyword spotting: a word at the end of a clip is lost with the last block, and
# clips of one second that were recorded through a pipe lose up to the block that is read at a time.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import soundfile

file = io.BytesIO()
soundfile.write(file, np.random.default_rng(0).uniform(-0.3, 0.3, 50_001), 16_000, format="FLAC")
data = bytearray(file.getvalue())
known = int.from_bytes(data[18:26], "big")
data[18:26] = (known >> 36 << 36).to_bytes(8, "big")  # the low 36 bits: the number of samples


def blocks(can_seek):
    count = 0
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        if not can_seek:
            sound.seekable = lambda: False
        try:
            while len(block := sound.read(out=np.empty(4000))):
                count += len(block)
        except soundfile.LibsndfileError as error:
            return count, type(error).__name__
    return count, "the end"


try:
    soundfile.read(io.BytesIO(data))
    whole = "nothing wrong"
except ValueError as error:
    whole = type(error).__name__
print(f"read()                         {whole}")
seen = [blocks(True), blocks(False)]
print("blocks                         {} samples, then {}".format(*seen[0]))
print("blocks, file that cannot seek  {} samples, then {}".format(*seen[1]))
if (whole, seen) != ("ValueError", [(48_000, "LibsndfileError"), (50_001, "the end")]):
    raise SystemExit("the figures have changed")
PYTHON
