"""Commands for events: bounded, and never in the way of the audio."""

import contextlib
import os
import signal
import threading
import time

import numpy as np
import pytest

from kws_stream import KeywordSpotter
from kws_stream.integrations.actions import EventActions
from kws_stream.live import CommandRunner, CommandWatcher, Hearing, TriggerStore, event_variables
from tests.pack_factory import build_pack
from tests.test_cli import noise

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a shell of another kind")


def waited_for(condition, seconds=5.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_more_commands_than_may_run_at_once_are_skipped():
    runner = CommandRunner("sleep 0.3", most=2)
    assert [runner.start({}) for _ in range(4)] == [True, True, False, False]
    assert (runner.started, runner.skipped) == (2, 2)
    runner.close()
    assert (runner.failed, runner.ended) == (0, 0)


def test_a_command_that_runs_too_long_is_ended_with_its_children(tmp_path):
    mark = tmp_path / "mark"
    runner = CommandRunner(f"(sleep 1; touch {mark}) & sleep 60", longest_s=0.1)
    runner.start({})
    waited_for(lambda: runner.ended == 1 and not runner._running)
    runner.close()
    assert (runner.failed, runner.cut) == (0, 0)
    time.sleep(1.1)
    assert not mark.exists()


def test_a_command_that_fails_is_counted():
    runner = CommandRunner("exit 3")
    runner.start({})
    waited_for(lambda: runner.failed == 1)


def test_closing_ends_what_still_runs():
    runner = CommandRunner("sleep 60")
    runner.start({})
    waited_for(lambda: runner._running)
    began = time.monotonic()
    runner.close(0.1)
    assert time.monotonic() - began < 5
    assert (runner.cut, runner.ended, runner.failed) == (1, 0, 0)


def interrupted(*words, **settings):
    raise KeyboardInterrupt


def test_a_second_ctrl_c_leaves_no_command_running(monkeypatch):
    """It comes while the first one waits for the commands that run."""
    actions = EventActions(command="exec sleep 60")
    with contextlib.suppress(KeyboardInterrupt), actions:
        actions._runner.start({})
        waited_for(lambda: actions._runner._running)
        (process,) = actions._runner._running
        monkeypatch.setattr(threading.Thread, "join", interrupted)
    waited_for(lambda: process.poll() is not None)
    assert process.returncode == -signal.SIGKILL


def test_an_interrupted_end_of_one_action_ends_the_others(tmp_path, monkeypatch):
    actions = EventActions(keep_triggers=str(tmp_path / "kept"), command="exec sleep 60")
    monkeypatch.setattr(TriggerStore, "close", interrupted)
    monkeypatch.setattr(CommandRunner.close, "__defaults__", (0.1,))
    with contextlib.suppress(KeyboardInterrupt), actions:
        actions._runner.start({})
        waited_for(lambda: actions._runner._running)
    assert not actions._runner._running


@pytest.fixture
def pcm():
    return (np.round(noise(4.0)[:, 0] * 32768) / 32768).astype(np.float32)


@pytest.fixture
def spotter(tmp_path):
    detector = {"threshold": 0.0, "rearm": 1.0, "refractory_s": 3.0}
    return KeywordSpotter(build_pack(tmp_path / "tiny", graphs=False, detector=detector))


def watch(spotter, runner, after_s):
    watcher = CommandWatcher(
        runner, lambda event: event_variables(event, "tiny", "a test"), after_s, 0.5
    )
    return Hearing(spotter, [watcher])


@pytest.mark.parametrize("blocks", [4, 200])
def test_a_command_hears_the_sentence_around_the_word(spotter, pcm, tmp_path, blocks):
    runner = CommandRunner(f"cat > {tmp_path}/$KWS_INDEX.raw")
    hearing = watch(spotter, runner, 1.0)
    events = [event for block in np.array_split(pcm, blocks) for event in hearing.hear(block)]
    hearing.close()
    runner.close()
    assert len(events) > 1
    for event in events:
        heard = np.fromfile(tmp_path / f"{event.index}.raw", "<i2")
        start = round(max(0.0, max(event.start_s, event.time_s - 2) - 0.5) * 16_000)
        end = min(len(pcm), round((event.time_s + 1) * 16_000))
        assert np.array_equal(heard, (pcm[start:end] * 32768).astype(np.int16))


def test_a_command_that_does_not_read_keeps_nobody_waiting(spotter, pcm):
    runner = CommandRunner("sleep 60", longest_s=0.2)
    hearing = watch(spotter, runner, 1.0)
    began = time.monotonic()
    events = [event for block in np.array_split(pcm, 200) for event in hearing.hear(block)]
    hearing.close()
    runner.close(0.1)
    assert events
    assert time.monotonic() - began < 5


def test_events_are_the_same_with_watchers_and_without(spotter, pcm):
    expected = spotter.process(pcm)
    hearing = watch(spotter, CommandRunner("true", most=1), None)
    hearing.reset()
    assert [e for block in np.array_split(pcm, 77) for e in hearing.hear(block)] == expected
