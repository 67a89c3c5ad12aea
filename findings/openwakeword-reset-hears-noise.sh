#!/bin/bash
# openwakeword 0.6.0 (with the graphs and models of pyopen-wakeword 1.1.0): a Model that is new, or was reset, does
# not begin with silence, nor with an empty window. It has heard four seconds of white noise, drawn from NumPy's
# global generator, at 3 % of full scale. So the same clip, given after a reset, has another score each time, and the
# clips of a test set influence one another through the generator. `numpy.random.seed` before the reset makes it repeatable.
#
# Seen (its "alexa" model; the word by ten voices of espeak-ng, scores in twenty resets, and after 2.4 s of silence):
#   en-us          1.02 s: 0.76 to 0.92, after silence 0.82
#   en-us+m1       1.03 s: 0.46 to 0.91, after silence 0.76
#   en-us+f4       1.09 s: 0.17 to 0.64, after silence 0.25
#   en-us+f1       1.04 s: 0.02 to 0.10, after silence 0.02
#   found at 0.5, of 10: 6 to 8; found and missed: 2 voices; with one seed: 1 score
# Expected: after a reset the same clip has the same score, as it has where silence was heard before it.
#
# Why it matters to keyword spotting: test sets are clips of one or two seconds, scored one after the other with a
# reset between them. Whether a clip near the threshold counts as found is then drawn by lot, so the share of missed words
# differs from run to run, and a change of the model cannot be told from that. Put two seconds of silence before each clip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps openwakeword==0.6.0 pyopen-wakeword==1.1.0
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==1.26.4 tflite-runtime==2.14.0 \
    espeakng-loader==0.2.4 scipy==1.17.1 scikit-learn==1.8.0 onnxruntime==1.26.0 requests tqdm soxr==1.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import ctypes
from pathlib import Path

import espeakng_loader
import numpy as np
import pyopen_wakeword
import soxr
from openwakeword.model import Model

VOICES = ("en-us", "en-us+m1", "en-us+m3", "en-us+m4", "en-us+f1", "en-us+f4", "en-us-nyc", "en-gb-x-rp",
          "en-gb-scotland", "en-029")
FOLDER = Path(pyopen_wakeword.__file__).parent / "models"


def said(text, voice):
    """The text by espeak-ng, int16 at 16 kHz, with half a second behind it."""
    library, parts = ctypes.CDLL(espeakng_loader.get_library_path()), []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples, count, events):
        parts.append(ctypes.string_at(samples, 2 * count) if samples else b"")
        return 0

    rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(take)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    library.espeak_SetVoiceByName(voice.encode())
    library.espeak_Synth(text.encode(), len(text) + 1, 0, 0, 0, 1, None, None)
    library.espeak_Synchronize()
    sound = soxr.resample(np.frombuffer(b"".join(parts), np.int16) / 2.0, rate, 16_000)
    return np.pad(np.trim_zeros(sound.astype(np.int16)), (800, 8_000))


model = Model(
    wakeword_models=[str(FOLDER / "alexa.tflite")], inference_framework="tflite",
    melspec_model_path=str(FOLDER / "melspectrogram.tflite"),
    embedding_model_path=str(FOLDER / "embedding_model.tflite"),
)


def score(clip, silence_s, seed=None):
    if seed is not None:
        np.random.seed(seed)
    model.reset()
    sound = np.pad(clip, (int(silence_s * 16_000), 0))
    scores = [model.predict(sound[at : at + 1280])["alexa"] for at in range(0, len(sound) - 1279, 1280)]
    return max(map(float, scores))


np.random.seed(0)  # so that this prints the same each time
clips = {voice: said("alexa.", voice) for voice in VOICES}
drawn = {voice: [score(clip, 0) for _ in range(20)] for voice, clip in clips.items()}
for voice, clip in clips.items():
    low, high = min(drawn[voice]), max(drawn[voice])
    print(f"{voice:14} {len(clip) / 16_000:.2f} s: {low:.2f} to {high:.2f}, after silence {score(clip, 2.4):.2f}")
found = np.sum([np.array(scores) >= 0.5 for scores in drawn.values()], axis=0)
both = sum(min(scores) < 0.5 <= max(scores) for scores in drawn.values())
seeded = {score(clips["en-us"], 0, 1) for _ in range(3)}
print(f"found, of 10: {found.min()} to {found.max()}; found and missed: {both} voices; with one seed: {len(seeded)} score")
if both < 2 or found.min() == found.max() or len(seeded) != 1:
    raise SystemExit("the figures have changed")
PYTHON
