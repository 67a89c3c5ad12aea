#!/bin/sh
# homeassistant 2024.3.3 (PyPI), its wyoming component as the client of a wake word service
#
# Behaviour: when the audio of a pipeline ends, the component goes at once. It sends no audio-stop, and
# takes nothing that has not arrived by then, though the protocol has audio-stop and `not-detected` for
# just that. It takes a detection only under the very name that it asked for: another case, or the name
# of a keyword where a model was asked for, is logged as a warning and skipped, every time. Its
# audio-start has no timestamp; its chunks have.
#
# Seen (asked for "alexa", a service that answers):
#   during the audio, as alexa: woke at 40
#   during the audio, as Alexa: nothing
#   100 ms after the last chunk: nothing
#   after audio-stop: nothing
#   messages: detect, audio-start, audio-chunk
#   timestamps: audio-start None, chunks 0, 20, 40
#
# Why it matters to keyword spotting: a service that hears out the end of a stream at audio-stop, or
# whose resampler or window holds back 100 ms, loses a word at the very end of what Home Assistant
# sends; only sound after the word helps. A list of wake words must give the names under which it
# answers, and times are to be taken from the chunks.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check homeassistant==2024.3.3 wyoming==1.5.3 \
    webrtc-noise-gain==1.2.3 hassil==1.6.1 home-assistant-intents==2024.3.12 mutagen==1.47.0 \
    ha-ffmpeg==3.1.0 aiohttp-cors==0.7.0 aiohttp-fast-url-dispatcher==0.3.0 aiohttp-zlib-ng==0.3.1
"$folder/venv/bin/python" -W ignore - 2> /dev/null << 'PYTHON'
import asyncio
from types import SimpleNamespace

from homeassistant.components.wyoming.data import WyomingService
from homeassistant.components.wyoming.wake_word import WyomingWakeWordProvider
from wyoming.event import async_read_event, async_write_event
from wyoming.info import Attribution, Info, WakeModel, WakeProgram
from wyoming.wake import Detection

us = {"attribution": Attribution(name="", url=""), "installed": True, "description": None,
      "version": None}
model = WakeModel(name="alexa", languages=["en"], phrase="alexa", **us)
info = Info(wake=[WakeProgram(name="service", models=[model], **us)])
heard = []


def service(when, name):
    async def answer(writer, message):
        found = Detection(name=name, timestamp=message.data.get("timestamp"))
        await async_write_event(found.event(), writer)

    async def talk(reader, writer):
        chunks = 0
        try:
            while (message := await async_read_event(reader)) is not None:
                if message.type == "describe":
                    await async_write_event(info.event(), writer)
                    continue
                heard.append(message)
                chunks += message.type == "audio-chunk"
                if when == "during the audio" and chunks == 3:
                    await answer(writer, message)
                if when == "100 ms after the last chunk" and chunks == 50:
                    await asyncio.sleep(0.1)
                    await answer(writer, message)
                if when == "after audio-stop" and message.type == "audio-stop":
                    await answer(writer, message)
        except OSError:
            pass
        writer.close()

    return talk


async def microphone():
    for number in range(50):  # a second
        yield bytes(640), 20 * number
        await asyncio.sleep(0.02)


async def ask(when, name="alexa"):
    heard.clear()
    server = await asyncio.start_server(service(when, name), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    found = await WyomingService.create(host, port)
    provider = WyomingWakeWordProvider(None, SimpleNamespace(entry_id="x"), found)
    result = await provider._async_process_audio_stream(microphone(), "alexa")
    await asyncio.sleep(0.3)
    server.close()
    return f"woke at {result.timestamp}" if result else "nothing"


async def main():
    during, after = "during the audio", "100 ms after the last chunk"
    answers = {f"{during}, as alexa": await ask(during), f"{during}, as Alexa": await ask(during, "Alexa"),
               after: await ask(after), "after audio-stop": await ask("after audio-stop")}
    for case, answer in answers.items():
        print(f"{case}: {answer}")
    kinds = list(dict.fromkeys(message.type for message in heard))
    print("messages:", ", ".join(kinds))
    stamps = [message.data.get("timestamp") for message in heard[1:5]]
    print("timestamps: audio-start", f"{stamps[0]}, chunks", ", ".join(map(str, stamps[1:])))
    assert list(answers.values()) == ["woke at 40", "nothing", "nothing", "nothing"]
    assert kinds == ["detect", "audio-start", "audio-chunk"]
    assert stamps == [None, 0, 20, 40]


asyncio.run(main())
PYTHON
