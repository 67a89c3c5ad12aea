#!/bin/bash
# espeak-ng 1.52.0 (espeakng-loader 0.2.4): the voice variants with breath (f2, f3, f5, victor) say the same
# text with other samples in each run of a program, and of the same length. Up to 1.51 the samples were the
# same, for the random numbers began at the same place in each run; since 1.52 they begin elsewhere.
# `espeak_ng_SetRandSeed` before the text, or the option -D of the program, makes them the same again;
# 1.51 does not know -D and ends with status 0, without a file.
#
# Seen ("hey jarvis" in American English, in four programs one after another; the best mean of five outputs
# of microWakeWord's model of it, least to most; they differ each time):
#   variants with other samples: f2 f3 f5 victor; with a seed: none
#   f2      0.320 to 0.544
#   f3      0.885 to 0.928
#   f5      0.739 to 0.851
#   victor  0.456 to 0.491
#
# Why it matters to keyword spotting: models of wake words are trained and tested on clips of espeak-ng, a
# set that a script and a seed could make again to the bit. From this version on the clips of four
# variants differ each time: a score by 0.2, and a missed word, a threshold or a checksum with it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    espeakng-loader==0.2.4 numpy==2.4.6 pymicro-wakeword==2.5.0
cat > "$folder/say.py" <<'PYTHON'
import ctypes
import sys

import espeakng_loader

library, sound = ctypes.CDLL(espeakng_loader.get_library_path()), bytearray()


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
def take(samples, count, _events):
    sound.extend(ctypes.string_at(samples, 2 * count) if count else b"")
    return 0


library.espeak_Info.restype = ctypes.c_char_p
assert library.espeak_Info(None).startswith(b"1.52.0"), "another version"
library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
library.espeak_SetSynthCallback(take)
for variant in sys.argv[2:]:
    sound.clear()
    if sys.argv[1] == "seeded":
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    assert library.espeak_SetVoiceByName(f"en-us+{variant}".encode()) == 0, variant
    library.espeak_Synth(b"hey jarvis", 11, 0, 0, 0, 1, None, None)
    library.espeak_Synchronize()
    print(variant, sound.hex())
PYTHON
"$folder/venv/bin/python" - "$folder/say.py" <<'PYTHON'
import subprocess
import sys
import time

import numpy as np
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

VARIANTS = [f"m{i}" for i in range(1, 9)] + [f"f{i}" for i in range(1, 6)]
VARIANTS += "adam Andy anika Annie belinda benjamin david ed Gene john Lee linda Mario".split()
VARIANTS += "max Michael paul rob steph victor zac".split()


def runs(kind):
    """Of each variant, what four programs made of the word."""
    made = {variant: set() for variant in VARIANTS}
    for _ in range(4):
        said = subprocess.run(
            [sys.executable, sys.argv[1], kind, *VARIANTS], capture_output=True, text=True, check=True
        )
        for line in said.stdout.splitlines():
            variant, sound = line.split()
            made[variant].add(bytes.fromhex(sound))
        time.sleep(1.1)
    return made


def score(sound):
    samples = np.frombuffer(sound, "<i2")
    at = np.arange(len(samples) * 16_000 // 22_050) * 22_050 / 16_000
    heard = np.pad(np.interp(at, np.arange(len(samples)), samples), (16_000, 8_000))
    model, features = MicroWakeWord.from_builtin(Model.HEY_JARVIS), MicroWakeWordFeatures()
    found = features.process_streaming(heard.astype("<i2").tobytes())
    return max(model.process_streaming_prob(part) for part in found)


free, seeded = runs("free"), runs("seeded")
others = [variant for variant in VARIANTS if len(free[variant]) > 1]
same = [variant for variant in VARIANTS if len(seeded[variant]) > 1]
print(f"variants with other samples: {' '.join(others)}; with a seed: {' '.join(same) or 'none'}")
spread = 0.0
for variant in others:
    scores = sorted(map(score, free[variant]))
    spread = max(spread, scores[-1] - scores[0])
    print(f"{variant:7} {scores[0]:.3f} to {scores[-1]:.3f}")
if others != ["f2", "f3", "f5", "victor"] or same or spread < 0.01:
    raise SystemExit("other variants vary")
PYTHON
