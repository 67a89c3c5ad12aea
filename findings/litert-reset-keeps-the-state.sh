#!/bin/bash
# ai-edge-litert 2.3.0, with the streaming models of microWakeWord in pymicro-wakeword 2.5.0: a model that
# keeps its past in resource variables (VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, set once by CALL_ONCE)
# is not reset by `Interpreter.reset_all_variables()`, though that is its name. Nothing is changed: every
# output after it is as without it. Allocating the tensors again changes nothing either. Only another
# Interpreter begins anew; tflite-micro 0.dev20261023182759 has a `reset()` that does begin anew.
#
# Seen ("alexa" is said, the model is reset in the word's last frame, then there is only silence; of 255):
#   as it was              255 255 255 255 255 255 255 255
#   reset_all_variables()  255 255 255 255 255 255 255 255
#   allocate_tensors()     255 255 255 255 255 255 255 255
#   another Interpreter    4 1 0 0 0 0 0 0
#   tflite-micro, reset()  4 1 0 0 0 0 0 0
#
# Why it matters to keyword spotting: the model fires when the mean of five outputs is above 0.9, so it
# wakes again in the silence after its reset. Where clips are scored one after another with one
# interpreter, each takes up to half a second of the clip before it: a miss or a false accept then depends
# on the order of the clips, and negative clips that follow positive ones look worse than they are.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ai-edge-litert==2.3.0 numpy==2.4.6 \
    espeakng-loader==0.2.4 pymicro-wakeword==2.5.0 tflite-micro==0.dev20261023182759
"$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log"; exit 1; }
import ctypes
from pathlib import Path

import espeakng_loader
import numpy as np
import pymicro_wakeword
from ai_edge_litert.interpreter import Interpreter
from tflite_micro.python.tflite_micro import runtime

MODEL = str(Path(pymicro_wakeword.__file__).parent / "models" / "alexa.tflite")


def said(text):
    """The text in the default voice of espeak-ng, at 16 kHz."""
    library, parts = ctypes.CDLL(espeakng_loader.get_library_path()), []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples, count, _events):
        parts.append(np.ctypeslib.as_array(samples, (count,)).copy() if count else np.zeros(0))
        return 0

    rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(take)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    library.espeak_SetVoiceByName(b"en-us")
    library.espeak_Synth(text.encode(), len(text) + 1, 0, 0, 0, 1, None, None)
    library.espeak_Synchronize()
    sound = np.concatenate(parts)
    return np.interp(np.arange(len(sound) * 16_000 // rate) * rate / 16_000, np.arange(len(sound)), sound)


def blocks(sound):
    """Features of three steps of 10 ms, as the model takes them."""
    frontend = pymicro_wakeword.MicroWakeWordFeatures()
    found = np.concatenate(list(frontend.process_streaming(sound.astype("<i2").tobytes())))
    found = found[: len(found) // 3 * 3].reshape(-1, 1, 3, 40)
    return np.round(found / 0.101960786 - 128).clip(-128, 127).astype(np.int8)


def fresh():
    interpreter = Interpreter(MODEL)
    interpreter.allocate_tensors()
    return interpreter


def heard(interpreter, features):
    at, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    values = []
    for block in features:
        interpreter.set_tensor(at, block)
        interpreter.invoke()
        values.append(int(interpreter.get_tensor(out).item()))
    return values


def heard_by_micro(interpreter, features):
    values = []
    for block in features:
        interpreter.set_input(block, 0)
        interpreter.invoke()
        values.append(int(interpreter.get_output(0).item()))
    return values


word = blocks(np.concatenate([np.zeros(16_000), said("alexa"), np.zeros(16_000)]))
word = word[: int(np.argmax(heard(fresh(), word))) + 1]
silence = np.full((8, 1, 3, 40), -128, np.int8)
after = {}
for name in ("as it was", "reset_all_variables()", "allocate_tensors()", "another Interpreter"):
    interpreter = fresh()
    heard(interpreter, word)
    if name == "reset_all_variables()":
        interpreter.reset_all_variables()
    elif name == "allocate_tensors()":
        interpreter.allocate_tensors()
    elif name == "another Interpreter":
        interpreter = fresh()
    after[name] = heard(interpreter, silence)
micro = runtime.Interpreter.from_file(MODEL, arena_size=200_000)
heard_by_micro(micro, word)
micro.reset()
after["tflite-micro, reset()"] = heard_by_micro(micro, silence)
for name, values in after.items():
    print(f"{name:22}", *values)
kept, *others = after.values()
if min(kept) < 230 or others[0] != kept or others[1] != kept:
    raise SystemExit("a reset now resets")
if max(others[2]) > 10 or others[3] != others[2]:
    raise SystemExit("what begins anew is no longer quiet")
PYTHON
