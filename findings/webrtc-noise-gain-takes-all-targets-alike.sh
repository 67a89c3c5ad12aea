#!/bin/bash
# webrtc-noise-gain 1.3.0, and 1.2.3 (which wyoming-satellite asks for): `auto_gain_dbfs`, from 1 to 31, does nothing
# but switch the gain control on. The samples are the same, byte for byte, with each number, and the level
# that comes out is no target: it follows the level that goes in, some 7 to 12 dB above it, until a
# limiter holds it. The number of the noise suppression has an effect; with each but 0 the sound is late by
# 6 ms.
#
# Seen (30 s of syllables, the last 10 s of it; dBFS that go in, that come out, and how many different
# outputs there are of the targets 1, 5, 15 and 31):
#   -60 -> -53.0  1
#   -40 -> -33.0  1
#   -30 -> -20.7  1
#   -20 -> -19.4  1
#   late with noise suppression 0 to 4: 0 6 6 6 6 ms
#
# Why it matters to keyword spotting: satellites have it before the wake word, and their guide says that
# 31 is loudest (wyoming-satellite, --mic-auto-gain 5). Whoever tries other numbers until it wakes from
# across the room hears no difference: a talker at -60 dBFS stays 34 dB below one at -20. Where a
# service judges by level, as voice activity and clipping checks do, that has to be met by another gain.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 webrtc-noise-gain==1.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from webrtc_noise_gain import AudioProcessor

RATE, SECONDS = 16_000, 30


def syllables():
    """A buzz with two formants, three syllables a second and a pause after two of them."""
    time, ringing = np.arange(RATE * SECONDS) / RATE, np.arange(400) / RATE
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.4 * time)
    buzz = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0)
    rings = np.exp(-300 * ringing) * sum(np.sin(2 * np.pi * hz * ringing) for hz in (600, 1500))
    sound = np.convolve(buzz, rings)[: len(time)]
    sound *= np.clip(np.sin(2 * np.pi * 3 * time), 0, 1) * (time % 1 < 0.7)
    return sound / sound.std()


def heard(sound, gain, suppression=0):
    processor = AudioProcessor(gain, suppression)
    blocks = np.round(sound).clip(-32768, 32767).astype("<i2").reshape(-1, RATE // 100)
    return b"".join(processor.Process10ms(block.tobytes()).audio for block in blocks)


def end(sound):
    return np.frombuffer(sound, "<i2")[-10 * RATE :].astype(float)


def late_ms(suppression):
    sound = 1000 * syllables()
    spectrum = np.fft.rfft(end(heard(sound, 0, suppression)))
    match = np.fft.irfft(spectrum * np.conj(np.fft.rfft(sound[-10 * RATE :])))
    return round(1000 * int(np.argmax(match)) / RATE)


levels = []
for level in (-60, -40, -30, -20):
    sound = syllables() * 32768 * 10 ** (level / 20)
    outputs = {heard(sound, target) for target in (1, 5, 15, 31)}
    levels.append(20 * np.log10(end(next(iter(outputs))).std() / 32768))
    print(f"{level} -> {levels[-1]:.1f}  {len(outputs)}")
    if len(outputs) > 1:
        raise SystemExit("the target has an effect")
late = [late_ms(number) for number in range(5)]
print("late with noise suppression 0 to 4:", *late, "ms")
if levels[0] > -45 or levels[3] < -23 or late != [0, 6, 6, 6, 6]:
    raise SystemExit("the levels or the delay have changed")
PYTHON
