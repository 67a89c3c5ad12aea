#!/bin/bash
# sherpa-onnx 2.0.1, VoiceActivityDetector, with the model of silero-vad 6.2.3: `accept_waveform` takes any number
# of samples, and what is found depends on that number. In pieces up to the model's window of 512 samples
# (shorter ones are collected) the words are found where they are. From longer ones the beginning is cut off and
# words run together with the pauses between them, and of a whole clip that is given at once not one word is
# found: its only segment is the silence at its end. Everything is computed, with no error and no warning; but a
# piece counts as speech as a whole if one of its windows does, and segments begin and end at the ends of pieces.
# A remark in the source asks for pieces that are not large; the documentation of the call says nothing of it.
#
# Seen (four words with pauses of 1.5 s; seconds of the segments, by the length of the pieces):
#   said at    1.50-1.97 3.48-4.21 5.73-6.15 7.71-8.47
#   10 ms      1.47-2.09 3.45-4.30 5.79-6.19 7.71-8.59
#   32 ms      1.47-2.09 3.45-4.30 5.79-6.19 7.71-8.59
#   100 ms     1.47-2.19 3.45-4.40 5.85-6.28 7.77-8.68
#   0.5 s      1.66-2.99 3.65-4.97 6.17-6.99 8.16-9.45
#   1 s        1.66-5.48 6.65-7.47 8.67-9.95
#   2 s        1.66-9.95
#   whole clip 9.63-9.95
#
# Why it matters to keyword spotting: a detector of speech comes before the spotter, and cuts the clips of its
# training set. Where sound comes by half a second, a third of "alexa" is cut off and "stop" is no longer in its
# segment; where a file is read whole, a recording of words passes as silence. Cut what comes into pieces of
# 512 samples first.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps silero-vad==6.2.3
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    espeakng-loader==0.2.4 numpy==2.4.6 sherpa-onnx==2.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import ctypes
from pathlib import Path

import espeakng_loader
import numpy as np
import sherpa_onnx

RATE = 16_000
MODEL = Path(sherpa_onnx.__file__).parents[1] / "silero_vad" / "data" / "silero_vad.onnx"
WORDS = ("alexa", "okay nabu", "stop", "turn on the light")


def speaker():
    """A function that gives a text in the default voice of espeak-ng, at 16 kHz."""
    library, parts = ctypes.CDLL(espeakng_loader.get_library_path()), []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples, count, _events):
        parts.append(np.ctypeslib.as_array(samples, (count,)).copy() if count else np.zeros(0))
        return 0

    rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(take)
    library.espeak_SetVoiceByName(b"en-us")

    def said(text, _kept=take):
        parts.clear()
        library.espeak_Synth(text.encode(), len(text) + 1, 0, 0, 0, 1, None, None)
        library.espeak_Synchronize()
        sound = np.concatenate(parts) / 32768
        at = np.arange(len(sound) * RATE // rate) * rate / RATE
        return np.interp(at, np.arange(len(sound)), sound)

    return said


def segments(sound, size):
    """Start and end in s of what is found, given in pieces of this many samples."""
    config = sherpa_onnx.VadModelConfig(sample_rate=RATE)
    config.silero_vad.model = str(MODEL)
    detector = sherpa_onnx.VoiceActivityDetector(config, buffer_size_in_seconds=60)
    found = []

    def empty():
        while not detector.empty():
            first = detector.front.start
            found.append((first / RATE, (first + len(detector.front.samples)) / RATE))
            detector.pop()

    for at in range(0, len(sound), size):
        detector.accept_waveform(sound[at : at + size])
        empty()
    detector.flush()
    empty()
    return found


said, parts, words = speaker(), [], []
for text in WORDS:
    word = said(text)
    loud = np.flatnonzero(np.abs(word) > 0.01)
    begin = sum(map(len, parts)) + RATE * 3 // 2
    words.append(((begin + loud[0]) / RATE, (begin + loud[-1]) / RATE))
    parts += [np.zeros(RATE * 3 // 2), word]
sound = np.concatenate([*parts, np.zeros(RATE * 3 // 2)])
sound = (sound + np.random.default_rng(0).normal(0, 0.0005, len(sound))).astype(np.float32)
results = {}
print("said at   ", " ".join(f"{begin:.2f}-{end:.2f}" for begin, end in words))
sizes = {"10 ms": 160, "32 ms": 512, "100 ms": 1600, "0.5 s": 8000, "1 s": 16_000, "2 s": 32_000}
for name, size in (sizes | {"whole clip": len(sound)}).items():
    found = results[name] = segments(sound, size)
    print(f"{name:10}", " ".join(f"{begin:.2f}-{end:.2f}" for begin, end in found))
for name in ("10 ms", "32 ms"):
    if len(results[name]) != 4 or any(
        abs(found[0] - word[0]) > 0.1 or not 0 < found[1] - word[1] < 0.2
        for found, word in zip(results[name], words)
    ):
        raise SystemExit("small pieces no longer give the words")
if any(found[0] - word[0] < 0.1 for found, word in zip(results["0.5 s"], words)):
    raise SystemExit("pieces of half a second no longer cut the beginnings")
if len(results["1 s"]) > 3 or len(results["2 s"]) > 1:
    raise SystemExit("long pieces no longer join the words")
if any(begin < words[-1][1] for begin, _ in results["whole clip"]):
    raise SystemExit("the whole clip no longer gives silence alone")
PYTHON
