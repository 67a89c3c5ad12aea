"""A live microphone: the callback copies, queues and counts; everything else happens here."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import number_above_zero, whole_number
from kws_stream.audio.devices import InputDevice, find_device, load_backend
from kws_stream.audio.mix import Mixer, checked_channel
from kws_stream.audio.resample import Resampler, checked_rate
from kws_stream.audio.source import Pcm
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import DeviceError

CLIP_LEVEL = 0.999  # of full scale; a 16-bit converter's largest value is 0.99997
_BLOCKS_PER_S = 50  # 20 ms a callback
_POLL_S = 0.25  # how soon close() from another thread, or Ctrl-C on Windows, is noticed


class MicrophoneSource:
    """A microphone at its own rate, resampled to the one that is wanted.

    The clock of the audio counts samples: what was dropped, or missed while a device was gone,
    takes no time. Attributes: name, device_name, rate_hz, channels; overruns (times that the system
    lost samples), dropped_blocks (blocks that a full queue lost, oldest first), clipped_samples
    (samples at 0.999 of full scale or more, over all channels; those that a driver gives as
    infinite or as no number count too, and are heard as silence).
    """

    stall_s = 2.0  # no callback for so long: the device is gone
    retry_s = 0.5  # first pause between two tries to reconnect; doubles up to
    longest_retry_s = 5.0

    def __init__(
        self,
        device: int | str | None = None,
        reconnect: bool = False,
        duration_s: float | None = None,
        queue_blocks: int = 250,
        backend: Any = None,
        on_status: Callable[[str], None] | None = None,
        channel: int | None = None,
        to_hz: int = SAMPLE_RATE_HZ,
    ) -> None:
        """Finds and opens the device; `blocks` starts it.

        device: index, or name or part of it; None is the default. reconnect: wait for a device
        that went away. duration_s: end after so much audio. queue_blocks: blocks of 20 ms that may
        wait. backend: a stand-in for the sounddevice module. on_status: called with a sentence when
        the device goes and comes back, and when the mean of the channels is far weaker than one.
        channel: the channel to hear, from 1; None for mono as the device gives it, or else for the
        mean of all. to_hz: the rate that `blocks` gives.

        Raises DeviceError without PortAudio, device or permission, ParameterError for settings.
        """
        if duration_s is not None:
            duration_s = number_above_zero(duration_s, "duration", "seconds above 0")
        queue_blocks = whole_number(queue_blocks, "queue_blocks", 1)
        self._channel, self.to_hz = checked_channel(channel), checked_rate(to_hz)
        self._limit = None if duration_s is None else round(duration_s * self.to_hz)
        self._reconnect = reconnect
        self._queue_blocks = queue_blocks
        self._on_status = on_status or (lambda message: None)
        self._closing = threading.Event()
        self._sd = load_backend(backend)
        self.overruns = 0
        self.dropped_blocks = 0
        self.clipped_samples = 0
        found = find_device(device, self._sd)
        self._wanted = device if device is None or isinstance(device, str) else found.full_name
        self._open(found)
        self.name = self.device_name

    def _open(self, found: InputDevice) -> None:
        """Open the stream, not started: mono, or all channels where one is chosen or mono fails."""
        if self._channel is not None and self._channel > found.channels:
            raise DeviceError(
                f"need a device with a channel {self._channel}, got {found} with {found.channels} "
                f"channel{'s' if found.channels > 1 else ''}; choose one of those that are there"
            )
        self.device_name = found.name
        self.rate_hz = found.rate_hz
        self._queue: queue.Queue[NDArray[np.float32]] = queue.Queue(self._queue_blocks)
        self._finished = threading.Event()
        callback = self._callback_into(self._queue)
        least = 1 if self._channel is None else found.channels
        for channels in dict.fromkeys((least, found.channels)):
            try:
                self._stream: Any = self._sd.InputStream(
                    samplerate=self.rate_hz,
                    blocksize=self.rate_hz // _BLOCKS_PER_S,
                    device=found.index,
                    channels=channels,
                    dtype="float32",
                    callback=callback,
                    finished_callback=self._finished.set,
                )
            except (self._sd.PortAudioError, ValueError) as error:
                refusal = error
                continue
            self.channels = channels
            return
        raise DeviceError(
            f"need to record from {found}, got {refusal}; "
            "check that no other program holds it and that recording is permitted"
        ) from refusal

    def _callback_into(self, blocks: queue.Queue[NDArray[np.float32]]) -> Callable[..., None]:
        """The callback of one stream, which keeps to that stream's own queue."""

        def callback(indata: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
            if status.input_overflow:
                self.overruns += 1
            block = indata.copy()
            try:
                blocks.put_nowait(block)
            except queue.Full:
                with contextlib.suppress(queue.Empty):  # the reader may be quicker
                    blocks.get_nowait()
                    self.dropped_blocks += 1
                blocks.put_nowait(block)  # there is room: nobody else puts

        return callback

    def blocks(self) -> Iterator[Pcm]:
        """float32 blocks as they are recorded, until the duration, `close` or the device ends.

        Raises DeviceError when the device goes away, unless `reconnect` was asked for.
        """
        stream, left = self._stream, self._limit
        if stream is None:  # closed
            return
        try:
            stream.start()
        except self._sd.PortAudioError as error:
            if not self._reconnect:
                raise DeviceError(
                    f"need sound from {self.device_name}, got {error}; "
                    "check that no other program holds it and that recording is permitted"
                ) from error
            self._finished.set()
        for block in self._resampled():
            if left is not None:
                block = block[:left]
                left -= len(block)
            if len(block):
                yield block
            if left == 0:
                return

    def _resampled(self) -> Iterator[NDArray[np.float32]]:
        """Blocks over all connections; a new connection starts a new resampler."""
        while not self._closing.is_set():
            resampler = Resampler(self.rate_hz, self.to_hz)
            mixer = Mixer(
                self.channels, self._channel, self.rate_hz, self.device_name, self._on_status
            )
            for raw in self._captured():
                self.clipped_samples += raw.size - int(np.count_nonzero(np.abs(raw) < CLIP_LEVEL))
                raw[~np.isfinite(raw)] = 0.0
                yield resampler.process(mixer.mix(raw))
            mixer.judge()
            yield resampler.process(np.zeros(0, np.float32), last=True)
            if self._closing.is_set():
                return
            if not self._reconnect:
                raise DeviceError(
                    f"need sound from {self.device_name}, got none any more; "
                    "the device went away, connect it again (--reconnect waits for it)"
                )
            self._come_back()

    def _captured(self) -> Iterator[NDArray[np.float32]]:
        """Blocks (n, channels) of one connection, until it is lost or closed."""
        heard = time.monotonic()
        while not self._closing.is_set():
            try:
                raw = self._queue.get(timeout=min(_POLL_S, self.stall_s))
            except queue.Empty:
                if self._finished.is_set() or time.monotonic() - heard >= self.stall_s:
                    return
                continue
            heard = time.monotonic()
            yield raw

    def _come_back(self) -> None:
        """Wait for the device and open it again; returns early when closed."""
        lost = self.device_name
        self._on_status(f"{lost} went away; waiting for it")
        self._release()
        pause = self.retry_s
        while not self._closing.wait(pause):
            pause = min(2 * pause, self.longest_retry_s)
            try:
                # PortAudio lists devices once, when it starts: only a restart sees new ones
                with contextlib.suppress(self._sd.PortAudioError):  # not running since last time
                    self._sd._terminate()
                self._sd._initialize()
                self._open(find_device(self._wanted, self._sd))
                self._stream.start()
            except (DeviceError, self._sd.PortAudioError):
                self._release()
                continue
            if self._closing.is_set():  # closed while it opened
                self._release()
                return
            self._on_status(f"{self.device_name} is back")
            return

    def _release(self) -> None:
        """Close the stream, once: PortAudio must not see a stream that it has freed."""
        stream, self._stream = self._stream, None
        if stream is not None:
            # abort, not stop: stop waits for buffers that an unplugged device never fills
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    def close(self) -> None:
        """Stop recording; a `blocks` that waits in another thread ends."""
        if not self._closing.is_set():
            self._closing.set()
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
