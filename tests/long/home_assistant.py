"""Home Assistant's own wake word provider, played a recording for each name that a server offers.

    python home_assistant.py HOST PORT RECORDING.raw

RECORDING: 16-bit PCM, mono, 16 kHz. Prints a JSON line a name: its id, the phrase, and what woke
(null: nothing within the recording), with the timestamp.
"""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

from homeassistant.components.wyoming.data import WyomingService
from homeassistant.components.wyoming.wake_word import WyomingWakeWordProvider

CHUNK_MS = 20
FIRST_MS = 5000  # on the pipeline's clock
AFTER = 400  # chunks of silence after the recording


async def play(pcm: bytes):
    size = 32 * CHUNK_MS
    data = pcm + bytes(size * AFTER)
    for number, at in enumerate(range(0, len(data), size)):
        yield data[at : at + size], FIRST_MS + CHUNK_MS * number
        # Not in real time, but then long enough for the server to have heard all of it: the
        # provider stops at the end of the stream.
        await asyncio.sleep(0.1 if at > len(pcm) else 0)


async def main(host: str, port: int, pcm: bytes) -> None:
    service = await WyomingService.create(host, port)
    if service is None:
        sys.exit("no info")
    provider = WyomingWakeWordProvider(None, SimpleNamespace(entry_id="test"), service)
    for word in await provider.get_supported_wake_words():
        found = await provider._async_process_audio_stream(play(pcm), word.id)
        woke = found and {
            "id": found.wake_word_id,
            "phrase": found.wake_word_phrase,
            "timestamp": found.timestamp - FIRST_MS,
        }
        print(json.dumps({"id": word.id, "phrase": word.phrase, "woke": woke}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]).read_bytes()))
