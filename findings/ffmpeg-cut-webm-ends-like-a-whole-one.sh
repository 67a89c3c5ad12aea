#!/bin/bash
# PyAV 18.1.0 (FFmpeg 8.1): a WebM or Matroska file that is cut in the middle, as an upload or a browser
# that was closed leaves it, is decoded to the cut and then ends without an error. Of the cut file the
# header goes on to tell the whole length, so comparing is all that helps. AAC in an M4A whose index is at
# the front raises at the cut; the same sound in AAC with its own frames (ADTS) raises only where
# the cut is inside a frame.
#
# Seen (4 s of sound, half of the bytes):
#   a.mka  promises 4.0 s, gives 1.9 s, no error
#   a.webm promises 4.0 s, gives 1.9 s, no error
#
# Why it matters to keyword spotting: browsers record WebM. Words and hours behind the cut vanish from
# an evaluation, or from what a user sent, and the file looks whole.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import av
import numpy as np

RATE = 48_000
noise = np.random.default_rng(0).uniform(-0.3, 0.3, (1, 4 * RATE)).astype(np.float32)
for name, codec in (("a.mka", "aac"), ("a.webm", "libopus")):
    with av.open(name, "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        for at in range(0, noise.shape[1], 960):
            frame = av.AudioFrame.from_ndarray(noise[:, at : at + 960].copy(), "fltp", "mono")
            frame.rate, frame.pts = RATE, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = open(name, "rb").read()
    open(name, "wb").write(data[: len(data) // 2])
    error = "no error"
    with av.open(name) as container:
        promised, samples = container.duration / 1e6, 0
        try:
            for frame in container.decode(audio=0):
                samples += frame.samples
        except av.FFmpegError as caught:
            error = type(caught).__name__
    print(f"{name:<6} promises {promised:.1f} s, gives {samples / RATE:.1f} s, {error}")
    if error != "no error" or not promised > 3.9 or not 1.5 < samples / RATE < 2.5:
        raise SystemExit("the figures have changed")
PYTHON
