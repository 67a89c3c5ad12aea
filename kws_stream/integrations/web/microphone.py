"""One microphone of the server for many pages."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from kws_stream.audio import MicrophoneSource, to_float32
from kws_stream.errors import DeviceError, KwsStreamError
from kws_stream.live.ring import Samples

_BLOCKS_WAITING = 250  # for a page that cannot follow; then it loses blocks


class SharedMicrophone:
    """Opens the device while somebody listens; each listener has a queue of blocks.

    None in a queue is the end, and `fault` says why.
    """

    def __init__(
        self,
        device: str | None = None,
        channel: int | None = None,
        on_status: Callable[[str], None] | None = None,
    ) -> None:
        """Arguments as of `MicrophoneSource`."""
        self.name = ""
        self.fault = ""
        self._lost = 0  # by devices that were closed, and blocks that pages were too slow for
        self._device, self._channel, self._on_status = device, channel, on_status
        self._queues: set[asyncio.Queue[Samples | None]] = set()
        self._source: MicrophoneSource | None = None

    @property
    def lost(self) -> int:
        """How often sound was lost since the start: overruns of the system, dropped blocks."""
        source = self._source
        return self._lost + (source.overruns + source.dropped_blocks if source else 0)

    def available(self) -> str:
        """Empty if there is a device, else the sentence that says why not."""
        from kws_stream.audio.devices import find_device

        try:
            self.name = find_device(self._device).name
        except DeviceError as error:
            return str(error)
        return ""

    def subscribe(self) -> "asyncio.Queue[Samples | None]":
        """A queue of blocks; raises DeviceError if the device cannot be opened."""
        if self._source is None:
            self._source = MicrophoneSource(
                self._device, channel=self._channel, on_status=self._on_status
            )
            self.name = self._source.name
            loop = asyncio.get_running_loop()
            arguments = (self._source, loop)
            threading.Thread(target=self._read, args=arguments, daemon=True).start()
        queue: asyncio.Queue[Samples | None] = asyncio.Queue(_BLOCKS_WAITING)
        self._queues.add(queue)
        return queue

    def leave(self, queue: "asyncio.Queue[Samples | None]") -> None:
        """A listener goes; the last one closes the device."""
        self._queues.discard(queue)
        if not self._queues and self._source is not None:
            self._source.close()
            self._forget()

    def _forget(self) -> None:
        self._lost, self._source = self.lost, None

    def _read(self, source: MicrophoneSource, loop: Any) -> None:
        fault = ""
        try:
            for block in source.blocks():
                loop.call_soon_threadsafe(self._give, source, to_float32(block))
        except KwsStreamError as error:
            fault = str(error)
        except RuntimeError:  # the loop is closed
            return
        finally:
            source.close()
        loop.call_soon_threadsafe(self._end, source, fault)

    def _give(self, source: MicrophoneSource, block: Samples | None) -> None:
        if source is not self._source:  # of a device that was left
            return
        for queue in self._queues:
            if queue.full():
                self._lost += 1
            else:
                queue.put_nowait(block)

    def _end(self, source: MicrophoneSource, fault: str) -> None:
        if source is self._source:
            self.fault = fault
            for queue in self._queues:
                while queue.full():
                    queue.get_nowait()
                queue.put_nowait(None)
            self._forget()
