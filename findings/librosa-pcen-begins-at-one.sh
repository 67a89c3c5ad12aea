#!/bin/bash
# librosa 0.11.0 (the lines are the same in 1.0.0): `librosa.pcen` does not begin in the steady state of its input,
# which issue 851 asked for. The smoother by which each channel is divided begins as if its past had been 1.0, whatever
# the input is. To audio in [-1, 1] that is a past that was far too loud, and forgetting it takes seconds; to audio
# in [-2^31, 2^31], which the documentation recommends, it is a past of silence, and the clip begins with
# a burst. `scipy.signal.lfilter_zi`, which the documentation names for `zi`, is that state: it is steady for a
# step of 1, and has to be multiplied by the first frame.
#
# Seen (hiss at -40 dBFS that never changes, frames of 10 ms, mean of 40 channels, by time since the start):
#                             0.0 s  0.1 s  0.5 s  1.0 s  2.0 s  4.0 s
#   [-1, 1]                   0.001  0.002  0.005  0.014  0.120  0.284
#   [-1, 1], zi * first       0.287  0.291  0.305  0.264  0.296  0.287
#   [-2^31, 2^31]             5.916  1.311  0.590  0.419  0.437  0.422
#   [-2^31, 2^31], zi * first 0.423  0.427  0.447  0.389  0.435  0.422
# And the same word in this hiss, alone in a clip of 1 s, and behind 10 s of the hiss (mean over the word):
#   [-1, 1]        clip 0.032, stream 0.553; loudest frame 63, frame 0 0.00
#   [-2^31, 2^31]  clip 0.907, stream 0.791; loudest frame 0, frame 0 5.91
#
# Why it matters to keyword spotting: clips of commands last one second, a stream never begins. A network that is
# trained on such clips sees features that a stream has only in its first seconds: a word 17 times weaker, or
# behind a burst that is louder than the word. On the device it is another word.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-compile --no-deps librosa==0.11.0 \
    audioread==3.1.0 cffi==2.1.1 cloudpickle==3.1.3 decorator==5.3.1 joblib==1.6.0 lazy-loader==0.6 \
    llvmlite==0.50.0 msgpack==1.2.4 numba==0.68.1 numpy==2.4.6 packaging==26.4 platformdirs==4.14.8 \
    pooch==1.9.0 scipy==1.17.1 soundfile==0.14.0 soxr==1.1.0 typing-extensions==4.16.0
PYTHONDONTWRITEBYTECODE=1 "$folder/venv/bin/python" - <<'PYTHON'
import librosa
import numpy as np
import scipy.signal

RATE, HOP = 16_000, 160
rng = np.random.default_rng(0)
hiss = rng.normal(0, 0.01, 11 * RATE)
time = np.arange(RATE) / RATE
word = 0.1 * sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 30))
stream = hiss.copy()
stream[-RATE:] += word * ((time > 0.35) & (time < 0.65))
SPOKEN = slice(-60, -36)  # frames from the end in which the word sounds


def mel(sound):
    spectra = np.abs(librosa.stft(sound, n_fft=512, hop_length=HOP, center=False))
    return librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40) @ spectra


def pcen(spectra, zi=None):
    return librosa.pcen(spectra, sr=RATE, hop_length=HOP, time_constant=0.4, zi=zi).mean(axis=0)


def first(spectra):
    """The state of a smoother that has heard the first frame for ever."""
    span = 0.4 * RATE / HOP
    b = (np.sqrt(1 + 4 * span**2) - 1) / (2 * span**2)
    return scipy.signal.lfilter_zi([b], [1, b - 1]) * spectra[:, :1]


plain, words = {}, {}
for name, scale in (("[-1, 1]", 1.0), ("[-2^31, 2^31]", 2.0**31)):
    spectra = mel(scale * hiss)
    plain[name] = pcen(spectra)
    plain[f"{name}, zi * first"] = pcen(spectra, first(spectra))
    clip, whole = pcen(mel(scale * stream[-RATE:])), pcen(mel(scale * stream))
    words[name] = clip[SPOKEN].mean(), whole[SPOKEN].mean(), int(clip.argmax()), clip[0]
print(" " * 26 + "0.0 s  0.1 s  0.5 s  1.0 s  2.0 s  4.0 s")
for name, values in plain.items():
    print(f"{name:25}", "  ".join(f"{values[at]:.3f}" for at in (0, 10, 50, 100, 200, 400)))
for name, (alone, later, loudest, begin) in words.items():
    print(f"{name:14} clip {alone:.3f}, stream {later:.3f}; loudest frame {loudest}, frame 0 {begin:.2f}")
quiet, fixed_quiet, loud, fixed_loud = plain.values()
if quiet[100] > 0.1 * quiet[400] or loud[0] < 10 * loud[400]:
    raise SystemExit("it now begins in the steady state")
if any(abs(fixed[0] / fixed[400] - 1) > 0.1 for fixed in (fixed_quiet, fixed_loud)):
    raise SystemExit("the state of the first frame is no longer the steady one")
if words["[-1, 1]"][0] > 0.1 * words["[-1, 1]"][1] or words["[-2^31, 2^31]"][2] != 0:
    raise SystemExit("the word has other features")
PYTHON
