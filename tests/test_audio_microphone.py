"""Promises of the microphone, kept with a stand-in for the sounddevice module."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from kws_stream.audio import AudioSource, MicrophoneSource, Resampler, list_devices
from kws_stream.audio.devices import load_backend
from kws_stream.errors import DeviceError, ParameterError

UNPLUG = "unplug"  # the stream finishes
OVERFLOW = "overflow"  # the next block carries input_overflow
BUILT_IN = {
    "name": "Built-in",
    "max_input_channels": 2,
    "default_samplerate": 48000.0,
    "hostapi": 0,
}
SPEAKER = {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 44100.0, "hostapi": 0}
USB = {
    "name": "USB Mic (hw:2,0)",
    "max_input_channels": 1,
    "default_samplerate": 16000.0,
    "hostapi": 0,
}
DEVICES = [SPEAKER, BUILT_IN, USB]


class FakeSounddevice:
    """Plays one script a connection, in the callback, as soon as the stream starts."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *scripts, devices=DEVICES, default=2, least_channels=1):
        self.scripts = list(scripts)
        self.devices = devices
        self.default = default
        self.least_channels = least_channels
        self.streams = []
        self.running = True
        self.restarts = 0
        self.after_restart = {}  # number of the restart -> devices from then on
        self.fail_start = False

    def query_devices(self, kind=None):
        if kind is None:
            return self.devices
        if self.default is None or self.default >= len(self.devices):
            raise self.PortAudioError("Error querying device -1")
        return {**self.devices[self.default], "index": self.default}

    def query_hostapis(self):
        return ({"name": "ALSA"},)

    def InputStream(self, **kwargs):
        stream = FakeStream(self, **kwargs)
        self.streams.append(stream)
        return stream

    def _terminate(self):
        if not self.running:
            raise self.PortAudioError("PortAudio not initialized")
        assert all(stream.closed for stream in self.streams)
        self.running = False

    def _initialize(self):
        self.running = True
        self.restarts += 1
        self.devices = self.after_restart.get(self.restarts, self.devices)


class FakeStream:
    def __init__(self, backend, callback, finished_callback, channels, **settings):
        if channels < backend.least_channels:
            raise backend.PortAudioError("Invalid number of channels")
        self.backend = backend
        self.callback = callback
        self.finished_callback = finished_callback
        self.channels = channels
        self.settings = settings
        self.closed = False

    def start(self):
        if self.backend.fail_start:
            raise self.backend.PortAudioError("Device unavailable")
        overflow = False
        for step in self.backend.scripts.pop(0) if self.backend.scripts else []:
            if isinstance(step, str) and step == UNPLUG:
                self.finished_callback()
            elif isinstance(step, str):
                overflow = True
            else:
                buffer = np.array(step, np.float32).reshape(-1, self.channels)
                status = SimpleNamespace(input_overflow=overflow)
                self.callback(buffer, len(buffer), None, status)
                buffer[:] = np.nan  # PortAudio reuses its buffer
                overflow = False

    def abort(self, ignore_errors=True):
        assert not self.closed, "PortAudio was handed a freed stream"

    def close(self, ignore_errors=True):
        assert not self.closed, "PortAudio was handed a freed stream"
        self.closed = True


class Quick(MicrophoneSource):
    """The microphone with pauses that a test can wait for."""

    stall_s = 0.1
    retry_s = 0.01
    longest_retry_s = 0.02


def noise(samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def listen(source):
    """Blocks until the DeviceError that ends every script, as one array."""
    blocks = [np.zeros(0, np.float32)]
    with source, pytest.raises(DeviceError):
        blocks.extend(source.blocks())
    return np.concatenate(blocks)


def test_the_audio_of_a_16_khz_device_arrives_as_recorded():
    x = noise(1600)
    source = Quick(backend=FakeSounddevice([*np.split(x, 5), UNPLUG]))
    assert np.array_equal(listen(source), x)
    assert (source.overruns, source.dropped_blocks, source.clipped_samples) == (0, 0, 0)


def test_a_device_runs_at_its_own_rate_and_is_resampled():
    x = noise(48000)
    backend = FakeSounddevice([*np.split(x, 50), UNPLUG], default=1)
    source = Quick(backend=backend)
    assert (source.rate_hz, source.device_name, source.channels) == (48000, "Built-in", 1)
    assert isinstance(source, AudioSource)
    settings = backend.streams[0].settings
    assert (settings["samplerate"], settings["device"], settings["dtype"]) == (48000, 1, "float32")
    assert np.array_equal(listen(source), Resampler(48000).process(x, last=True))


def test_a_device_that_refuses_mono_is_mixed():
    x = noise(3200).reshape(-1, 2)
    devices = [{**USB, "max_input_channels": 2}]
    backend = FakeSounddevice([x, UNPLUG], devices=devices, default=0, least_channels=2)
    source = Quick(backend=backend)
    assert source.channels == 2
    want = x.astype(np.float64).mean(axis=1).astype(np.float32)
    assert np.array_equal(listen(source), want)


def test_a_full_queue_drops_the_oldest_and_counts():
    blocks = [np.full(10, i / 100) for i in range(8)]
    source = Quick(backend=FakeSounddevice([*blocks, UNPLUG]), queue_blocks=3)
    got = listen(source)
    assert np.array_equal(got, np.concatenate(blocks[5:]).astype(np.float32))
    assert source.dropped_blocks == 5


def test_overruns_and_clipped_samples_are_counted():
    loud = np.array([0.5, 0.9989, 0.999, 1.0, -1.0, -0.999, 0.0])
    script = [OVERFLOW, loud, loud, OVERFLOW, loud, UNPLUG]
    source = Quick(backend=FakeSounddevice(script))
    listen(source)
    assert source.overruns == 2
    assert source.clipped_samples == 3 * 4


def test_samples_that_are_no_numbers_are_silence_and_counted():
    odd = np.array([0.5, np.nan, np.inf, -np.inf, -0.25])
    source = Quick(backend=FakeSounddevice([odd, UNPLUG]))
    assert listen(source).tolist() == [0.5, 0, 0, 0, -0.25]
    assert source.clipped_samples == 3


@pytest.mark.parametrize("default", [1, 2])
def test_the_duration_is_kept_to_the_sample(default):
    rate = int(DEVICES[default]["default_samplerate"])
    source = Quick(backend=FakeSounddevice([noise(rate)], default=default), duration_s=0.1234)
    with source:
        assert sum(map(len, source.blocks())) == round(0.1234 * 16000)


def test_an_unplugged_device_ends_with_a_sentence_after_what_it_heard():
    source = Quick(backend=FakeSounddevice([noise(160), UNPLUG]))
    blocks = []
    with source, pytest.raises(DeviceError, match=r"USB Mic.*--reconnect"):
        blocks.extend(source.blocks())
    assert sum(map(len, blocks)) == 160


def test_a_device_that_falls_silent_without_a_word_ends_too():
    source = Quick(backend=FakeSounddevice([noise(160)]))
    begun = time.monotonic()
    assert len(listen(source)) == 160
    assert time.monotonic() - begun >= Quick.stall_s


def test_reconnect_waits_for_the_device_and_goes_on():
    first, second = noise(1600, 1), noise(3200, 2)
    backend = FakeSounddevice([first, UNPLUG], [second], devices=DEVICES)
    # the device is gone for two restarts and comes back as another card with another number
    backend.after_restart = {
        1: [SPEAKER, BUILT_IN],
        2: [],
        3: [{**USB, "name": "USB Mic (hw:5,0)"}],
    }
    said = []
    source = Quick(2, True, 0.3, backend=backend, on_status=said.append)
    with source:
        got = np.concatenate(list(source.blocks()))
    assert np.array_equal(got, np.concatenate([first, second]))
    assert backend.restarts == 3
    assert said == ["USB Mic (hw:2,0) went away; waiting for it", "USB Mic (hw:5,0) is back"]
    assert all(stream.closed for stream in backend.streams)


def test_reconnect_follows_a_new_rate():
    backend = FakeSounddevice([noise(480), UNPLUG], [noise(4800)], default=1)
    backend.after_restart = {1: [SPEAKER, {**BUILT_IN, "default_samplerate": 8000.0}]}
    with Quick(None, True, 0.5, backend=backend) as source:
        got = np.concatenate(list(source.blocks()))
    assert source.rate_hz == 8000
    want = [Resampler(48000).process(noise(480), last=True)]
    want.append(Resampler(8000).process(noise(4800)))
    assert np.array_equal(got, np.concatenate(want)[:8000])


def test_reconnect_takes_what_is_the_default_by_then():
    backend = FakeSounddevice([noise(480), UNPLUG], [noise(4800)], default=1)
    backend.after_restart = {1: [SPEAKER, {**USB, "default_samplerate": 8000.0}]}
    said = []
    with Quick(None, True, 0.5, backend=backend, on_status=said.append) as source:
        assert sum(map(len, source.blocks())) == 8000
    assert source.rate_hz == 8000
    assert said[-1] == f"{USB['name']} is back"


def test_reconnect_outlives_a_portaudio_that_cannot_start():
    backend = FakeSounddevice([noise(160), UNPLUG], [noise(160)])
    working, tries = backend._initialize, []

    def sometimes():
        tries.append(None)
        if len(tries) < 3:
            raise backend.PortAudioError("Unanticipated host error")
        working()

    backend._initialize = sometimes
    with Quick(None, True, 0.02, backend=backend) as source:
        assert sum(map(len, source.blocks())) == 320
    assert len(tries) == 3


def test_close_from_another_thread_ends_a_waiting_source():
    source = MicrophoneSource(backend=FakeSounddevice([]))
    source.stall_s = 60.0
    got = []
    thread = threading.Thread(target=lambda: got.append(list(source.blocks())))
    thread.start()
    source.close()
    thread.join(5)
    assert got == [[]]


def test_close_ends_a_source_that_waits_for_its_device():
    backend = FakeSounddevice([UNPLUG])
    backend.after_restart = {1: []}
    gone = threading.Event()
    source = Quick(None, True, backend=backend, on_status=lambda message: gone.set())
    got = []
    thread = threading.Thread(target=lambda: got.append(list(source.blocks())))
    thread.start()
    assert gone.wait(60)
    source.close()
    thread.join(5)
    assert got == [[]]


def test_ctrl_c_closes_the_stream_once():
    backend = FakeSounddevice([noise(1600)])

    def interrupt(status):
        raise KeyboardInterrupt

    source = Quick(None, True, backend=backend, on_status=interrupt)
    with pytest.raises(KeyboardInterrupt), source:
        list(source.blocks())
    assert backend.streams[0].closed
    source.close()
    assert list(source.blocks()) == []


def test_devices_are_listed_with_the_default_marked():
    devices = list_devices(FakeSounddevice(default=1))
    assert [
        (d.index, d.name, d.channels, d.rate_hz, d.is_default, d.host_api) for d in devices
    ] == [
        (1, "Built-in", 2, 48000, True, "ALSA"),
        (2, "USB Mic (hw:2,0)", 1, 16000, False, "ALSA"),
    ]


def test_no_default_still_lists_devices():
    devices = list_devices(FakeSounddevice(default=None))
    assert [d.is_default for d in devices] == [False, False]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (1, "Built-in"),
        ("1", "Built-in"),
        ("usb", "USB Mic (hw:2,0)"),
        ("mic alsa", "USB Mic (hw:2,0)"),
        ("USB Mic (hw:9,0)", "USB Mic (hw:2,0)"),
        (None, "USB Mic (hw:2,0)"),
    ],
)
def test_a_device_is_found_by_index_or_part_of_its_name(wanted, name):
    assert Quick(wanted, backend=FakeSounddevice()).device_name == name


def test_a_whole_name_goes_before_a_part_of_one():
    devices = [{**USB, "name": "Mic 2"}, {**USB, "name": "Mic"}]
    assert Quick("Mic", backend=FakeSounddevice(devices=devices)).device_name == "Mic"


@pytest.mark.parametrize("wanted", ["gone", 0, 7, -1, "7", "i"])
def test_an_unknown_or_ambiguous_device_lists_the_candidates(wanted):
    with pytest.raises(DeviceError, match=r"1: Built-in, ALSA; 2: USB Mic"):
        Quick(wanted, backend=FakeSounddevice())


def test_no_default_lists_the_candidates():
    with pytest.raises(DeviceError, match=r"1: Built-in"):
        Quick(backend=FakeSounddevice(default=None))


def test_no_input_device_at_all_says_so():
    with pytest.raises(DeviceError, match="no input device"):
        Quick(backend=FakeSounddevice(devices=[SPEAKER], default=None))


def test_a_device_that_cannot_be_opened_or_started_is_a_device_error():
    with pytest.raises(DeviceError, match="Invalid number of channels"):
        Quick(backend=FakeSounddevice(least_channels=9))
    backend = FakeSounddevice()
    backend.fail_start = True
    with Quick(backend=backend) as source, pytest.raises(DeviceError, match="unavailable"):
        list(source.blocks())


@pytest.mark.parametrize("duration", [0, -1, float("nan"), float("inf")])
def test_durations_that_make_no_sense_are_refused(duration):
    with pytest.raises(ParameterError, match="duration"):
        Quick(backend=FakeSounddevice(), duration_s=duration)


def test_a_queue_without_room_is_refused():
    with pytest.raises(ParameterError, match="queue_blocks"):
        Quick(backend=FakeSounddevice(), queue_blocks=0)


def test_without_portaudio_only_the_microphone_fails(monkeypatch, tmp_path):
    # what sounddevice does on import where its shared library is missing
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(DeviceError, match=r"libportaudio2"):
        load_backend()
    with pytest.raises(DeviceError, match=r"PortAudio library not found"):
        MicrophoneSource()


def test_importing_the_sources_loads_no_audio_library():
    code = (
        "import sys, kws_stream.audio;"
        "print({'sounddevice', 'soundfile', 'soxr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


ARRAY = {**BUILT_IN, "name": "Array", "max_input_channels": 4}


def test_a_channel_of_an_array_is_recorded_alone():
    x = noise(4 * 4800).reshape(-1, 4)
    for channel in (1, 4):
        backend = FakeSounddevice([x, UNPLUG], devices=[ARRAY], default=0)
        got = listen(Quick(backend=backend, channel=channel))
        assert backend.streams[0].channels == 4
        want = Resampler(48000).process(x[:, channel - 1].copy(), last=True)
        assert np.array_equal(got, want)
    with pytest.raises(DeviceError, match=r"with a channel 5, got .*Array.* with 4 channels;"):
        Quick(backend=FakeSounddevice(devices=[ARRAY], default=0), channel=5)


def test_an_array_whose_channels_cancel_is_told_once():
    x = noise(48_000 * 3)
    told = []
    script = [*np.split(np.stack([x, -x], 1), 30), UNPLUG]
    backend = FakeSounddevice(script, default=1, least_channels=2)
    listen(Quick(backend=backend, on_status=told.append))
    assert len(told) == 1
    assert told[0].startswith("Built-in: the mean of its 2 channels")
