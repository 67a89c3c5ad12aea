#!/bin/bash
# av 18.1.0 (PyAV; FFmpeg's swresample): how loud mono is that is made of several channels depends on
# the format of its samples. In 16 bits, channels are averaged; in float, they are added by the
# coefficients of a downmix, without the scaling that keeps the sum within full scale: two equal channels come
# out 3 dB louder, four 7.7 dB and six (5.1) 10.7 dB, and go above 1.0. The format of the input does not count.
#
# Seen (a tone of amplitude 0.5 in every channel; amplitude of mono):
#   stereo  s16 0.500  float 0.707  3.0 dB
#   quad    s16 0.500  float 1.207  7.7 dB
#   5.1     s16 0.500  float 1.707  10.7 dB
#
# Why it matters to keyword spotting: the same recording reaches a model at another level where a program
# asks for float, as most that compute do, than where it pipes 16 bits. Above 1.0 it is clipped at
# the next conversion, and a level gate or a threshold that was tuned on one kind does not hold for the other.
# Four channels are what microphone arrays record. Averaging the decoded channels oneself avoids it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import av
import numpy as np

TONE = 0.5 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)


def mono(layout, taken, given):
    """The amplitude of mono in the format `given`, made of channels in the format `taken`."""
    channels = np.stack([TONE] * len(av.AudioLayout(layout).channels))
    if taken == "s16p":
        channels = np.round(channels * 32768)
    kind = np.int16 if taken == "s16p" else np.float32
    frame = av.AudioFrame.from_ndarray(channels.astype(kind), format=taken, layout=layout)
    frame.sample_rate = 16_000
    resampler = av.AudioResampler(format=given, layout="mono", rate=16_000)
    parts = [part.to_ndarray() for part in resampler.resample(frame) + resampler.resample(None)]
    peak = float(np.abs(np.concatenate(parts, axis=1).astype(float)).max())
    return peak / 32768 if given == "s16" else peak


for layout, expected in (("stereo", 3.0), ("quad", 7.7), ("5.1", 10.7)):
    whole, real = mono(layout, "s16p", "s16"), mono(layout, "s16p", "flt")
    louder = 20 * np.log10(real / whole)
    print(f"{layout:7} s16 {whole:.3f}  float {real:.3f}  {louder:.1f} dB")
    same = abs(mono(layout, "fltp", "flt") - real) < 0.001 and abs(mono(layout, "fltp", "s16") - whole) < 0.001
    if not same or abs(louder - expected) > 0.1 or abs(whole - 0.5) > 0.001:
        raise SystemExit("the levels have changed")
PYTHON
