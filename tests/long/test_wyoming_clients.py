"""Real clients from PyPI, each in an environment of its own, wake by `kws-stream serve`.

`make long` runs them: they install packages, and a satellite listens in real time.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
from wyoming.client import AsyncTcpClient
from wyoming.event import Event

from kws_stream import KeywordSpotter, packs
from kws_stream.constants import RECORDING
from kws_stream.integrations.names import as_spoken
from kws_stream.integrations.wyoming.catalogue import is_wake_phrase

HERE = Path(__file__).parent
THRESHOLD = 0.02  # so low that every word of every model fires somewhere in the recording
VOICES = ("en-us", "en-gb", "en-us+f2", "en-gb+m3")  # of espeak-ng, for the wake phrases

# What the wyoming component of that version and the components that it loads ask for.
HOME_ASSISTANT = [
    *("homeassistant==2024.3.3", "wyoming==1.5.3", "webrtc-noise-gain==1.2.3"),
    *("hassil==1.6.1", "home-assistant-intents==2024.3.12", "mutagen==1.47.0", "ha-ffmpeg==3.1.0"),
    *("aiohttp-cors==0.7.0", "aiohttp-fast-url-dispatcher==0.3.0", "aiohttp-zlib-ng==0.3.1"),
]
SATELLITE = ["wyoming-satellite==1.0.0"]


def environment(cache, name, packages):
    """Python of an environment with these packages, kept from run to run; skips without them."""
    folder = Path(cache.mkdir(f"client-{name}"))
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "packages.txt"
    wanted = "\n".join([sys.version, *packages])
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
        venv.create(folder, clear=True, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", *packages]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"{packages[0]} does not install here: {result.stderr[-200:]!r}")
        stamp.write_text(wanted, "utf-8")
    return python


@pytest.fixture(scope="module")
def pcm():
    return soundfile.read(RECORDING, dtype="int16")[0]


@pytest.fixture(scope="module")
def spoken(pcm, tmp_path_factory):
    """The packaged recording, which has no wake phrase, then each wake phrase by four voices."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("needs espeak-ng, to speak the wake phrases")
    file = tmp_path_factory.mktemp("phrases") / "phrase.wav"
    parts = [pcm]
    for pack in shipped():
        for phrase in map(as_spoken, pack.keywords if is_wake_phrase(pack) else ()):
            for voice in VOICES:
                subprocess.run(["espeak-ng", "-v", voice, "-w", file, phrase], check=True)
                sound, rate = soundfile.read(file, dtype="float32")
                sound = soxr.resample(sound, rate, 16_000) / 4
                parts.append(np.round(np.pad(sound, (8000, 16_000)) * 32767).astype(np.int16))
    return np.concatenate(parts)


def written(folder, pcm):
    path = folder / "sound.raw"
    path.write_bytes(pcm.tobytes())
    return path


def shipped():
    return [packs.load(name) for name in packs.list_packs()]


@contextlib.contextmanager
def service(*words):
    """The command in a process of its own; its port."""
    command = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--max-clients", "100", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stderr.readline()
        yield int(line.split()[line.split().index("at") + 1].rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate()


def first_times(pcm, thresholds):
    """When each keyword of each shipped model fires first, in ms."""
    quiet = np.concatenate([pcm, np.zeros(48_000, np.int16)])
    found = {}
    for pack in shipped():
        own = {word: thresholds[word] for word in pack.keywords if word in thresholds}
        for event in KeywordSpotter(pack, own).process(quiet):
            found.setdefault((pack.name, event.keyword), round(event.time_s * 1000))
    return found


def test_home_assistant_wakes_on_every_name_of_the_list(spoken, request, tmp_path):
    python = environment(request.config.cache, "home-assistant", HOME_ASSISTANT)
    words = {word for pack in shipped() if not is_wake_phrase(pack) for word in pack.keywords}
    thresholds = dict.fromkeys(words, THRESHOLD)
    options = [option for word in words for option in ("--threshold", f"{word}={THRESHOLD}")]
    with service(*options) as port:
        command = [python, HERE / "home_assistant.py", "127.0.0.1", str(port)]
        command.append(written(tmp_path, spoken))
        result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    told = {line["id"]: line for line in map(json.loads, result.stdout.splitlines())}
    expected = first_times(spoken, thresholds)
    assert len(told) == len(expected) == sum(len(pack.keywords) for pack in shipped())
    for name, line in told.items():
        model, _, keyword = name.rpartition("/")
        times = {
            time_ms
            for (pack, word), time_ms in expected.items()
            if word == keyword and model in ("", pack)
        }
        assert line["phrase"] == as_spoken(keyword)
        assert line["woke"], f"{name} never woke"
        assert line["woke"]["id"] == name
        assert line["woke"]["phrase"] == as_spoken(keyword)
        assert line["woke"]["timestamp"] in times


@pytest.mark.parametrize(
    ("models", "asked", "woken"),
    [
        ([], "down", "down"),  # among all that are offered
        ([], "Commands-12", "Commands-12"),
        (["-m", "commands-12"], None, "yes"),  # its first word in the recording
    ],
)
def test_a_satellite_wakes_by_the_packaged_recording(models, asked, woken, pcm, request, tmp_path):
    python = environment(request.config.cache, "satellite", SATELLITE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    raw, noted = written(tmp_path, pcm), tmp_path / "detected.txt"
    with service(*models) as wake:
        command = [
            *(python, "-m", "wyoming_satellite", "--uri", f"tcp://127.0.0.1:{port}"),
            *("--mic-command", f"{sys.executable} {HERE / 'microphone.py'} {raw}"),
            *("--wake-uri", f"tcp://127.0.0.1:{wake}", "--no-zeroconf"),
            *("--detection-command", f"tee -a {noted}"),
            *(() if asked is None else ("--wake-word-name", asked)),
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            told = asyncio.run(asyncio.wait_for(run_satellite(port), 60))
        finally:
            process.terminate()
            process.communicate()
    assert told.data["start_stage"] == "asr"  # it has woken
    assert noted.read_text("utf-8").strip() == woken


async def run_satellite(port):
    """As Home Assistant does with a satellite: let it run, and wait until it has woken."""
    for _ in range(300):
        try:
            client = AsyncTcpClient("127.0.0.1", port)
            await client.connect()
            break
        except OSError:
            await asyncio.sleep(0.1)
    try:
        await client.write_event(Event("run-satellite"))
        while (event := await client.read_event()) is not None:
            if event.type == "run-pipeline":
                await asyncio.sleep(0.5)  # the command that is told of a detection
                return event
    finally:
        await client.disconnect()
    raise AssertionError("the satellite hung up")
