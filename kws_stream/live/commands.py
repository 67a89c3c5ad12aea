"""Running a command for each event, without ever keeping the audio waiting."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kws_stream.arguments import seconds_to_wait
from kws_stream.audio import to_int16
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.live.passages import LONGEST_WORD_S, check_seconds, first_sample
from kws_stream.live.ring import AudioRing, Samples, sample_number
from kws_stream.pipeline import Observation

MOST_RUNNING = 4
LONGEST_RUN_S = 30.0
_BLOCKS_WAITING = 512  # of audio, for a command that reads slowly


class CommandRunner:
    """Runs one shell command, at most `most` at a time, each for at most `longest_s`.

    What is too many is skipped. `started`, `skipped`, `failed` (another exit code than 0), `ended`
    (ran too long, and was killed) and `cut` (still ran when the runner was closed, and was killed)
    count, each command at most once but for `started`. The output of a command goes to our
    standard error.
    """

    def __init__(
        self, command: str, most: int = MOST_RUNNING, longest_s: float = LONGEST_RUN_S
    ) -> None:
        self.command = command
        self.started = self.skipped = self.failed = self.ended = self.cut = 0
        self._longest_s = longest_s
        self._places = threading.Semaphore(most)
        self._threads: list[threading.Thread] = []
        self._running: set[subprocess.Popen[bytes]] = set()
        self._killed: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def start(self, variables: dict[str, str], audio: "AudioFeed | None" = None) -> bool:
        """Run the command in a thread, with these in its environment; False if it was skipped.

        audio: what its standard input gets; without, that is empty.
        """
        if not self._places.acquire(blocking=False):
            self.skipped += 1
            return False
        self.started += 1
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(
            target=self._run, args=(variables, audio), name="command", daemon=True
        )
        self._threads.append(thread)
        thread.start()
        return True

    def _run(self, variables: dict[str, str], audio: "AudioFeed | None") -> None:
        try:
            # a group of its own, so that what the shell started ends with it
            process = subprocess.Popen(
                self.command,
                shell=True,
                stdin=subprocess.DEVNULL if audio is None else subprocess.PIPE,
                stdout=_standard_error(),
                env=os.environ | variables,
                start_new_session=os.name != "nt",
            )
            self._running.add(process)
            if self._closed:  # by somebody who did not wait
                self._kill(process)
            longest_s = self._longest_s + (audio.seconds if audio is not None else 0.0)
            watchdog = threading.Timer(longest_s, self._end, [process])
            watchdog.daemon = True
            watchdog.start()
            if audio is not None:
                audio.write_to(process.stdin)
            failed = process.wait() != 0
            watchdog.cancel()
            self._running.discard(process)
            self.failed += failed and process not in self._killed
            self._killed.discard(process)
        except OSError:
            self.failed += 1
        finally:
            if audio is not None:
                audio.stop()
            self._places.release()

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        self.ended += 1
        self._kill(process)

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        self._killed.add(process)
        _kill(process)

    def close(self, timeout_s: float = 2.0) -> None:
        """Wait a moment for the commands that run, then end them: at once if interrupted."""
        timeout_s = seconds_to_wait(timeout_s)
        try:
            for thread in self._threads:
                thread.join(timeout_s / max(1, len(self._threads)))
        finally:
            self._closed = True
            for process in list(self._running):
                self.cut += 1
                self._kill(process)
        for thread in self._threads:
            thread.join(1.0)


def _standard_error() -> Any:
    """Our standard error as a file of the system, or nothing where it is none (as in tests)."""
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return subprocess.DEVNULL


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(OSError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


class AudioFeed:
    """16-bit PCM on its way to a command; a command that reads too slowly loses the newest."""

    def __init__(self, seconds: float, first: int) -> None:
        """seconds: of audio in all; first: number of the sample that comes next."""
        self.seconds = seconds
        self.end = first + sample_number(seconds)
        self._next = first
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_BLOCKS_WAITING)
        self.open = True

    def put(self, samples: Samples) -> None:
        """The samples that follow; never waits."""
        samples = samples[: self.end - self._next]
        self._next += len(samples)
        whole = to_int16(samples).astype("<i2", copy=False)
        with contextlib.suppress(queue.Full):
            self._blocks.put_nowait(whole.tobytes())
        if self._next >= self.end:
            self.finish()

    def finish(self) -> None:
        """No more will come."""
        self.open = False
        with contextlib.suppress(queue.Full):
            self._blocks.put_nowait(None)

    def stop(self) -> None:
        """The command is gone."""
        self.open = False

    def write_to(self, stream: Any) -> None:
        """Write everything as it comes, in the command's thread."""
        with contextlib.suppress(OSError), stream:
            while self.open or not self._blocks.empty():
                try:
                    data = self._blocks.get(timeout=0.5)
                except queue.Empty:
                    continue
                if data is None:
                    return
                stream.write(data)
                stream.flush()


def event_variables(event: WakeEvent, model: str, source: str) -> dict[str, str]:
    """What a command finds in its environment."""
    return {
        "KWS_KEYWORD": event.keyword,
        "KWS_SCORE": f"{event.score:.4f}",
        "KWS_TIME_S": f"{event.time_s:.3f}",
        "KWS_START_S": f"{event.start_s:.3f}",
        "KWS_INDEX": str(event.index),
        "KWS_MODEL": model,
        "KWS_SOURCE": source.replace("\0", ""),
    }


class Runner(Protocol):
    """What a `CommandWatcher` starts for an event; it must never wait."""

    def start(self, variables: dict[str, str], audio: AudioFeed | None = None) -> bool: ...


class CommandWatcher:
    """A watcher that starts a command for each event, with the sentence around it if asked."""

    def __init__(
        self,
        runner: Runner,
        variables: Callable[[WakeEvent], dict[str, str]],
        audio_after_s: float | None = None,
        audio_before_s: float = 1.0,
    ) -> None:
        """audio_after_s: seconds after the event that the command's standard input gets, with
        audio_before_s before the start of the word; None gives it no audio.
        """
        after_s = 0.0 if audio_after_s is None else audio_after_s
        audio_before_s, after_s = check_seconds(audio_before_s, after_s)
        self._runner = runner
        self._variables = variables
        self._after_s = None if audio_after_s is None else after_s
        self._before_s = audio_before_s
        self._ring = AudioRing(audio_before_s + LONGEST_WORD_S + 1.5)
        self._feeds: list[AudioFeed] = []

    def reset(self) -> None:
        """A new stream begins."""
        self.finish()
        self._ring.reset()

    def finish(self) -> None:
        """The end of the stream cuts the audio of all commands short."""
        for feed in self._feeds:
            feed.finish()
        self._feeds = []

    def hear(self, samples: Samples, seen: Sequence[Observation]) -> None:
        self._feeds = [feed for feed in self._feeds if feed.open]
        for feed in self._feeds:
            feed.put(samples)
        if self._after_s is not None:
            self._ring.add(samples)
        for piece in seen:
            for event in piece.events:
                self._start(event)

    def _start(self, event: WakeEvent) -> None:
        variables = self._variables(event)
        if self._after_s is None:
            self._runner.start(variables)
            return
        first = first_sample(event, self._before_s)
        end = sample_number(event.time_s + self._after_s)
        feed = AudioFeed((end - first) / SAMPLE_RATE_HZ, first)
        feed.put(self._ring.between(first, self._ring.end))
        if self._runner.start(variables, feed):
            self._feeds.append(feed)
