#!/bin/bash
# av 18.1.0 (PyAV; FFmpeg 8.1), filter atempo: a tempo of 1.0 leaves everything where it was only as long
# as it has heard no silence. From the first digital silence on each word comes early by another amount, up to
# 26 ms at 16 kHz, and what is given is shorter than what went in: by 512 samples at 16 kHz, by 1024 at 48 kHz.
# How the sound is cut into frames has no influence.
#
# Seen (five words of noise, 0.3 s of digital silence between them; by how many ms each of them is late,
# and samples that are missing):
#   16000 Hz, no silence         0.0   0.0   0.0   0.0   0.0, missing 0
#   16000 Hz, between words      0.0 -20.9 -24.9 -22.1 -22.5, missing 512
#   16000 Hz, before them too  -25.9 -21.4 -17.8 -14.1 -13.9, missing 512
#   48000 Hz, no silence         0.0   0.0   0.0   0.0   0.0, missing 0
#   48000 Hz, between words      0.0 -18.0 -14.5 -12.0 -13.3, missing 1024
#   48000 Hz, before them too  -13.4 -10.4  -6.4  -9.2 -17.3, missing 1024
#
# Why it matters to keyword spotting: training sets are multiplied by tempos of 0.9, 1.0 and 1.1, and
# synthetic speech and padded clips are full of digital silence. The end of a word, from which latency is counted
# and to which labels are tied, moves by up to two and a half frames of 10 ms, even in the copies that
# were to be as before, and a clip of one second lasts 968 ms. Leave the filter out where the tempo is 1.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np


def heard(sound, rate):
    """What the filter gives at a tempo of 1.0."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=rate, layout="mono", time_base=Fraction(1, rate))
    tempo, sink = graph.add("atempo", "1.0"), graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    parts = []
    for at in [*range(0, len(sound), 1024), None]:
        frame = None
        if at is not None:
            frame = av.AudioFrame.from_ndarray(sound[None, at : at + 1024].copy(), "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        graph.push(frame)
        try:
            while True:
                parts.append(graph.pull().to_ndarray()[0])
        except (av.BlockingIOError, av.EOFError):
            pass
    return np.concatenate(parts)


def run(rate, pause, lead):
    """Shift of each word in ms, and missing samples."""
    rng = np.random.default_rng(0)
    sound, starts = [np.zeros(int(lead * rate))], []
    for _ in range(5):
        starts.append(sum(map(len, sound)))
        sound += [rng.normal(0, 0.1, 2 * rate // 5), np.zeros(int(pause * rate))]
    sound = np.concatenate(sound).astype(np.float32)
    given, shifts, reach = heard(sound, rate), [], rate // 10
    for start in starts:
        at = start + rate // 10
        low = max(0, at - reach)
        match = np.correlate(given[low : at + reach], sound[at : at + rate // 50], "valid")
        shifts.append(1000 * (low + int(np.argmax(match)) - at) / rate)
    return shifts, len(sound) - len(given)


for rate, window in ((16_000, 512), (48_000, 1024)):
    for name, pause, lead in (("no silence", 0, 0), ("between words", 0.3, 0), ("before them too", 0.3, 0.5)):
        shifts, missing = run(rate, pause, lead)
        print(f"{rate} Hz, {name:16} {' '.join(f'{shift:5.1f}' for shift in shifts)}, missing {missing}")
        if name == "no silence":
            good = not any(shifts) and not missing
        else:
            good = missing == window and min(shifts) < -10 and max(shifts) - min(shifts) > 5
            good = good and (shifts[0] == 0) == (lead == 0)
        if not good:
            raise SystemExit("the figures have changed")
PYTHON
