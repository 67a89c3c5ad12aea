"""Promises of the choice of a channel, and of what is said where the mean is no good."""

import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream.audio.mix import Mixer, checked_channel, mix_down
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.errors import InputError, ParameterError
from kws_stream.live.decoder import ChunkDecoder

RATE = 16_000
DEMO = RECORDING


def noise(channels, seconds=4.0, seed=0, level=0.1):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal((round(seconds * RATE), channels))).astype(np.float32)


def told(frames, channel=None, size=800, finish=True):
    """The notes of a mixer that hears frames in blocks."""
    notes = []
    mixer = Mixer(frames.shape[1], channel, RATE, "a.wav", notes.append)
    for at in range(0, len(frames), size):
        mixer.mix(frames[at : at + size])
    if finish:
        mixer.judge()
    return notes


def arrays():
    """Recordings whose mean is far weaker than one channel, and the strongest channel of each."""
    mono = noise(1)
    yield "inverted", np.hstack([mono, -mono]), 1
    yield "inverted, not quite as loud", np.hstack([0.8 * mono, -mono]), 2
    playback = 0.01 * noise(6, seed=1)
    playback[:, 3:4] += noise(1, seed=2)
    yield "playback on one of six channels", playback, 4
    single = np.zeros((len(mono), 4), np.float32)
    single[:, 2:3] = mono
    yield "sound on one of four channels", single, 3


@pytest.mark.parametrize(("kind", "frames", "strongest"), list(arrays()), ids=lambda x: str(x)[:30])
def test_a_mean_that_loses_the_sound_is_told_once_with_the_strongest_channel(
    kind, frames, strongest
):
    for size in (160, 16_000, len(frames)):
        (note,) = told(frames, size=size)
        assert note.startswith("a.wav: the mean of its ")
        assert f"weaker than channel {strongest} alone" in note
        assert "--channel" in note
    assert told(frames, finish=False) == told(frames)  # a live stream hears of it while it runs
    assert told(frames[:8000])  # and a short clip at its end
    assert not told(frames, channel=strongest)


@pytest.mark.parametrize("channels", [1, 2, 4, 8, 16])
def test_usual_recordings_are_not_complained_of(channels):
    mono = noise(1, seed=3)
    assert not told(np.tile(mono, channels))
    assert not told(noise(channels))  # unrelated noise: an array in a quiet room
    assert not told(np.tile(mono, channels) + noise(channels))
    assert not told(np.zeros((RATE, channels), np.float32))
    assert not told(1e-5 * np.hstack([mono, -mono]))  # no sound to judge by


def test_one_channel_of_two_that_is_silent_is_not_far_weaker():
    assert not told(np.hstack([noise(1), np.zeros((4 * RATE, 1), np.float32)]))


def test_a_channel_is_heard_as_it_was_recorded():
    frames = noise(3)
    for channel in (1, 2, 3):
        assert np.array_equal(Mixer(3, channel).mix(frames), frames[:, channel - 1])
    assert np.array_equal(Mixer(3).mix(frames), mix_down(frames))


@pytest.mark.parametrize("bad", [0, -1, 1.5, "1", "mean"])
def test_channels_count_from_one(bad):
    with pytest.raises(ParameterError, match="the first channel is 1"):
        checked_channel(bad)
    with pytest.raises(ParameterError, match="the first channel is 1"):
        ChunkDecoder(bad)


def test_chunks_give_the_channel_that_was_asked_for():
    pcm = np.random.default_rng(1).integers(-3000, 3000, (4800, 3)).astype("<i2")
    for channel in (1, 2, 3):
        got = ChunkDecoder(channel).decode(pcm.tobytes(), RATE, 2, 3)
        assert np.array_equal(got * 32768, pcm[:, channel - 1])
    with pytest.raises(InputError, match="channel 4: need sound with that channel, got 3 channels"):
        ChunkDecoder(4).decode(pcm.tobytes(), RATE, 2, 3)


def test_chunks_whose_channels_cancel_are_told_once():
    notes = []
    decoder = ChunkDecoder(None, "192.0.2.1", notes.append)
    mono = (3000 * noise(1)).astype("<i2")
    data = np.hstack([mono, -mono]).tobytes()
    for at in range(0, len(data), 1280):
        decoder.decode(data[at : at + 1280], RATE, 2, 2)
    assert len(notes) == 1
    assert notes[0].startswith("192.0.2.1: the mean of its 2 channels")
    decoder.finish()
    assert len(notes) == 1


# Commands


def run(*args, **kwargs):
    result = CliRunner().invoke(main, list(map(str, args)), **kwargs)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def demo():
    return soundfile.read(DEMO, dtype="int16")[0]


def keywords(result):
    return [json.loads(line)["keyword"] for line in result.stdout.splitlines()]


def test_detect_hears_the_channel_that_is_asked_for(tmp_path, demo):
    alone = keywords(run("detect", "--json", DEMO))
    assert alone
    inverted = tmp_path / "inverted.wav"
    soundfile.write(inverted, np.stack([demo, -demo], 1), RATE)
    deaf = run("detect", "--json", inverted)
    assert not keywords(deaf)
    assert deaf.stderr.count("weaker than channel 1 alone") == 1
    for channel in (1, 2):
        heard = run("detect", "--json", "--channel", channel, inverted)
        assert keywords(heard)
        assert channel != 1 or keywords(heard) == alone
        assert "weaker" not in heard.stderr
    assert (
        run("detect", "--json", "--channel", "mean", DEMO).stdout
        == run("detect", "--json", DEMO).stdout
    )


def test_detect_hears_a_channel_of_a_pipe(demo):
    pcm = np.stack([0 * demo, demo, -demo], 1)
    options = ("detect", "--json", "--channels", 3, "-")
    alone = keywords(run("detect", "--json", DEMO))
    assert keywords(run(*options, "--channel", 2, input=pcm.tobytes())) == alone
    assert "weaker than channel" in run(*options, input=pcm.tobytes()).stderr


@pytest.mark.parametrize("bad", ["0", "-1", "1.5", "left", ""])
def test_a_channel_that_is_no_number_from_one_is_wrong_usage(bad):
    for command in (["detect", DEMO], ["listen"], ["serve"]):
        result = run(*command, "--channel", bad)
        assert result.exit_code == 2
        assert "number from 1 or mean" in result.stderr


def test_a_channel_that_is_not_there_is_told_with_the_number_that_is():
    result = run("detect", "--channel", 2, DEMO)
    assert result.exit_code == 1
    assert "channel 2, got 1 channel;" in result.stderr
    result = run("detect", "--channel", 3, "--channels", 2, "-", input=bytes(64))
    assert result.exit_code == 2
    assert '"-" has 2 channels' in result.stderr


def stereo(path, mono):
    """A recording whose second channel is the sound and whose mean is nothing, nearly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([-0.999 * mono, mono], 1).astype(np.float32), RATE, "FLOAT")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, demo):
    """The packaged recording and its labels, as it is and with an inverted channel."""
    folder = tmp_path_factory.mktemp("recordings")
    labels = DEMO.with_name("demo.json").read_bytes()
    for name in ("mono", "stereo"):
        (folder / f"{name}.json").write_bytes(labels)
    mono = (demo / np.float32(32768)).astype(np.float32)
    soundfile.write(folder / "mono.wav", mono, RATE, "FLOAT")
    stereo(folder / "stereo.wav", mono)
    return folder


def figures(*args):
    result = run(*args, "--jobs", 1, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout), result.stderr


@pytest.mark.parametrize("command", [["evaluate-stream"], ["tune", "commands-12"]])
def test_long_recordings_are_heard_by_one_channel(recordings, command):
    alone, _ = figures(*command, recordings / "mono.wav")
    mixed, told = figures(*command, recordings / "stereo.wav")
    assert told.count("the mean of its 2 channels") == 1
    assert sum("the mean of its 2 channels" in note for note in mixed["notes"]) == 1
    one, told = figures(*command, "--channel", 2, recordings / "stereo.wav")
    assert "mean" not in told
    assert one["hours"] == alone["hours"]
    if command[0] == "tune":
        assert one["recommended"] == alone["recommended"]
        assert one["current"]["hits"] > 5
    else:
        assert (one["hits"], one["latency_median_s"]) == (alone["hits"], alone["latency_median_s"])
        assert one["hits"] > 5 > mixed["hits"]
    result = run(*command, "--channel", 3, recordings / "stereo.wav", "--jobs", 1)
    assert result.exit_code == 1
    assert "channel 3, got 2 channels;" in result.stderr


@pytest.fixture(scope="module")
def clips(tmp_path_factory, demo):
    """Folders of words, of one channel and of two of which one is inverted, and mono noise."""
    root = tmp_path_factory.mktemp("clips")
    sound = (demo / np.float32(32768)).astype(np.float32)
    words = json.loads(DEMO.with_name("demo.json").read_text("utf-8"))["words"]
    for row, word in enumerate(words[:8]):
        start = round(word["start_s"] * RATE) - 2000
        clip = sound[start : start + RATE]
        for name in ("mono", "stereo"):
            path = root / name / ("yes", "no")[row % 2] / f"{row:08x}_nohash_0.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == "stereo":
                stereo(path, clip)
            else:
                soundfile.write(path, clip, RATE, "FLOAT")
    for name in ("mono", "stereo"):
        for folder in ("_silence_", "_background_noise_"):
            (root / name / folder).mkdir()
            x = 0.001 * np.random.default_rng(0).standard_normal(3 * RATE)
            soundfile.write(root / name / folder / "hiss.wav", x, RATE)
    return root


def test_clips_are_heard_by_one_channel_and_mono_noise_as_it_is(clips):
    options = ("--task", "yes", "--snr")
    alone, _ = figures("evaluate", clips / "mono", *options)
    mixed, told = figures("evaluate", clips / "stereo", *options)
    assert told.count("the mean of its 2 channels") == 3  # and the number of the others
    assert "the same holds for 5 more recordings" in told
    one, told = figures("evaluate", clips / "stereo", *options, "--channel", 2)
    assert "mean" not in told
    assert one == alone
    assert mixed["core_power_nw"] != alone["core_power_nw"]
    result = run("evaluate", clips / "mono", *options[:2], "--channel", 2, "--jobs", 1)
    assert result.exit_code == 1
    assert "channel 2, got 1 channel;" in result.stderr


def test_streams_made_of_clips_take_one_channel(clips):
    options = ("--hours", 0.02, "--seed", 3)
    alone, _ = figures("evaluate-stream", "--synthesise", clips / "mono", *options)
    one, told = figures(
        "evaluate-stream", "--synthesise", clips / "stereo", *options, "--channel", 2
    )
    assert "mean" not in told
    assert one["hits"] == alone["hits"]
    assert one["latency_median_s"] == alone["latency_median_s"]
    _, told = figures("evaluate-stream", "--synthesise", clips / "stereo", *options)
    assert "the mean of its 2 channels" in told


def test_the_power_of_one_channel_is_reported(recordings):
    alone = run("power", "yes-4", recordings / "mono.wav", "--json").stdout
    mixed = run("power", "yes-4", recordings / "stereo.wav", "--json")
    assert mixed.stdout != alone
    assert mixed.stderr.count("the mean of its 2 channels") == 1
    one = run("power", "yes-4", recordings / "stereo.wav", "--json", "--channel", 2)
    assert one.stdout == alone


def test_a_server_hears_the_channel_that_it_was_told(demo):
    pytest.importorskip("wyoming", reason="needs the extra wyoming")
    from kws_stream import packs
    from tests.wyoming_client import detections, listen, serving
    from tests.wyoming_client import run as run_with_time_limit

    pack, told = packs.load("commands-12"), []
    sound = demo[: 12 * RATE]
    inverted = np.stack([-sound, sound], 1)

    async def heard(pcm, channels, **settings):
        async with serving(pack, on_message=told.append, **settings) as (_, port):
            return await listen(port, pcm, channels=channels)

    async def test():
        alone = detections(await heard(sound, 1))
        assert alone
        assert detections(await heard(inverted, 2, channel=2)) == alone
        assert not told
        assert not detections(await heard(inverted, 2))
        assert len(told) == 1
        assert "the mean of its 2 channels" in told[0]
        answers = await heard(inverted, 2, channel=3)
        assert any("channel 3" in str(answer) for answer in answers)

    run_with_time_limit(test())
