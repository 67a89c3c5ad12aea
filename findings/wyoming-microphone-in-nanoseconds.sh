#!/bin/sh
# wyoming 1.10.2 (PyPI), wyoming.mic.MicProcessAsyncClient: the microphone of wyoming-satellite
#
# Behaviour: `AudioChunk.timestamp` is documented as "Milliseconds", and `wav_to_chunks` of the same
# package counts milliseconds, but the package's own microphone sends time.monotonic_ns(): one
# millisecond of sound is a million units. The time is that at which the chunk had been read
# completely, its end, where `wav_to_chunks` gives the start.
#
# Seen (chunks of 64 ms, one every 64 ms):
#   wav_to_chunks: 64 units from chunk to chunk
#   microphone: more than 60 million units from chunk to chunk
#
# Why it matters to keyword spotting: a wake word service answers with the time of the detection on
# the client's clock. One that adds milliseconds to the timestamp at which a stream began is right for
# files and wrong by a factor of a million for every satellite. The timestamp of the chunk in which the
# word ended, as it came, is right in either unit, to within a chunk.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check wyoming==1.10.2
cd "$folder"
cat > microphone.py << 'PYTHON'
import sys
import time

while True:
    sys.stdout.buffer.write(bytes(2048))
    sys.stdout.buffer.flush()
    time.sleep(0.064)
PYTHON
"$folder/venv/bin/python" -W ignore - << 'PYTHON'
import asyncio
import io
import sys
import wave

from wyoming.audio import AudioChunk, wav_to_chunks
from wyoming.mic import MicProcessAsyncClient

FORM = {"rate": 16_000, "width": 2, "channels": 1}


async def microphone(count):
    client = MicProcessAsyncClient(**FORM, samples_per_chunk=1024, program=sys.executable,
                                   program_args=["microphone.py"])
    await client.connect()
    chunks = [AudioChunk.from_event(await client.read_event()) for _ in range(count)]
    await client.disconnect()
    return [chunk.timestamp for chunk in chunks]


file = io.BytesIO()
with wave.open(file, "wb") as sound:
    sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(16_000)
    sound.writeframes(bytes(2 * 1024 * 10))
file.seek(0)
stamps = [chunk.timestamp for chunk in wav_to_chunks(wave.open(file), 1024)]
step = (stamps[-1] - stamps[0]) / (len(stamps) - 1)
print(f"wav_to_chunks: {step:g} units from chunk to chunk")
assert step == 64
stamps = asyncio.run(microphone(10))
step = (stamps[-1] - stamps[0]) / (len(stamps) - 1)
assert 60e6 < step < 500e6, step  # more on a busy machine
print("microphone: more than 60 million units from chunk to chunk")
PYTHON
