#!/bin/sh
# wyoming-satellite 1.0.0 (PyPI) with a wake word service (--wake-uri)
#
# Behaviour: the wake word service gets neither audio-start nor audio-stop. The satellite sends
# `detect` and chunks; from a detection until the transcript of the sentence it sends nothing; then it
# sends `detect` again and the chunks go on, in the middle of the sound, as if they were the next ones.
# Only the timestamps tell of the pause (in nanoseconds). Without --wake-word-name the names in
# `detect` are an empty list, where the protocol says that "any" is null.
#
# Seen (kinds of messages to the service, repeats left out):
#   before the pause: detect, audio-chunk
#   after the pause: detect, audio-chunk
#   names in detect: []
#   timestamps across the pause: more than 1 s apart; chunks without it: less
#
# Why it matters to keyword spotting: a service that resets its model, its gain control or its clock at
# audio-start never does so for a satellite. What it heard before the pause is still in its windows
# when the sound goes on: half of the wake word of before, joined with half of a word of now, can fire.
# Count times by the chunks' timestamps, and take a second `detect` as a hint that sound is missing. A
# service that takes the list of names at its word listens for nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check wyoming-satellite==1.0.0 wyoming==1.4.1
cd "$folder"
cat > microphone.py << 'PYTHON'
import sys
import time

while True:
    sys.stdout.buffer.write(bytes(2048))
    sys.stdout.buffer.flush()
    time.sleep(0.064)
PYTHON
"$folder/venv/bin/python" - << 'PYTHON'
import asyncio
import socket
import sys

from wyoming.asr import Transcript
from wyoming.client import AsyncTcpClient
from wyoming.event import async_read_event, async_write_event
from wyoming.satellite import RunSatellite
from wyoming.wake import Detection

heard = []  # (kind of message, data), and where the pause was


async def wake_service(reader, writer):
    chunks = 0
    while (event := await async_read_event(reader)) is not None:
        heard.append((event.type, event.data))
        chunks += event.type == "audio-chunk"
        if chunks == 10:
            chunks += 1
            await async_write_event(Detection(name="computer").event(), writer)


def kinds(messages):
    found = []
    for kind, _ in messages:
        if not found or found[-1] != kind:
            found.append(kind)
    return found


async def connect(port):
    for _ in range(300):
        try:
            client = AsyncTcpClient("127.0.0.1", port)
            await client.connect()
            return client
        except OSError:
            await asyncio.sleep(0.1)
    raise SystemExit("no satellite")


async def main():
    server = await asyncio.start_server(wake_service, "127.0.0.1", 0)
    wake = server.sockets[0].getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    satellite = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wyoming_satellite", "--uri", f"tcp://127.0.0.1:{port}",
        "--mic-command", f"{sys.executable} microphone.py", "--no-zeroconf",
        "--wake-uri", f"tcp://127.0.0.1:{wake}", stderr=asyncio.subprocess.DEVNULL)
    try:
        assistant = await connect(port)
        await assistant.write_event(RunSatellite().event())
        while (event := await assistant.read_event()).type != "run-pipeline":
            pass
        await asyncio.sleep(1.5)  # the sentence
        before = len(heard)
        await assistant.write_event(Transcript(text="stop").event())
        while len(heard) < before + 20:
            await asyncio.sleep(0.1)
    finally:
        satellite.terminate()
        await satellite.wait()
    print("before the pause:", ", ".join(first := kinds(heard[:before])[-2:]))
    print("after the pause:", ", ".join(second := kinds(heard[before:])))
    assert first == second == ["detect", "audio-chunk"], (first, second)
    names = [data["names"] for kind, data in heard if kind == "detect"]
    assert all(name == [] for name in names), names
    print("names in detect:", names[0])
    stamps = [data["timestamp"] for kind, data in heard if kind == "audio-chunk"]
    steps = sorted(b - a for a, b in zip(stamps, stamps[1:]))
    assert steps[-1] > 1e9 > steps[-2], steps
    print("timestamps across the pause: more than 1 s apart; chunks without it: less")


asyncio.run(main())
PYTHON
