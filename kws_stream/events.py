"""Events of a running stream for applications: an iterator, an asynchronous one, and a callback.

The work is a generator that gives what each block of audio completed. Iterated plainly it runs in
the caller's thread; with `async for` and with a callback, in a thread of its own.
"""

import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterator, Sequence
from typing import Generic, Self, TypeVar

from kws_stream.arguments import seconds_to_wait
from kws_stream.errors import ParameterError

T = TypeVar("T")

# What an asynchronous reader may lag behind, in events; then the audio waits for it.
MOST_WAITING = 64
_POLL_S = 0.1


class Listener:
    """A thread that works through a stream and calls back; a context manager that stops it."""

    def __init__(
        self,
        batches: Generator[Sequence[T], None, None],
        callback: Callable[[T], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        """callback: called in the thread with each item; at_end: called there once, at the end."""
        self._stopping = threading.Event()
        self._error: BaseException | None = None

        def work() -> None:
            try:
                for batch in batches:
                    for item in batch:
                        if self._stopping.is_set():
                            return
                        callback(item)
                    if self._stopping.is_set():
                        return
            except BaseException as error:  # handed to whoever waits
                self._error = error
            finally:
                batches.close()
                at_end()

        # a daemon: a pipe that never speaks again must not keep the program alive
        self._thread = threading.Thread(target=work, name="kws-stream listener", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the stream, None for ever; False if it still runs.

        Raises what ended it, and ParameterError for what is no time.
        """
        self._thread.join(None if timeout_s is None else seconds_to_wait(timeout_s))
        if self._thread.is_alive():
            return False
        error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def ask_to_stop(self) -> None:
        """End after the block that is being worked on; does not wait."""
        self._stopping.set()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End after the block that is being worked on, and wait for that; results as of `wait`."""
        timeout_s = seconds_to_wait(timeout_s)
        self.ask_to_stop()
        return self.wait(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class EventStream(Generic[T]):
    """Items of a stream, for `for` and for `async for`; use one of the two, once.

    In `async for` the audio is read and computed in a thread, at most 64 events ahead; leaving the
    loop stops it after the block that it works on.
    """

    def __init__(
        self,
        batches: Generator[Sequence[T], None, None] | None,
        async_batches: AsyncIterable[Sequence[T]] | None = None,
    ) -> None:
        """One of the two: what each block completed, from a plain or an asynchronous source."""
        self._batches = batches
        self._async_batches = async_batches
        self._plain: Iterator[T] | None = None
        self._async: AsyncGenerator[T, None] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._batches is None:
            raise ParameterError(
                "events: need a source that can wait, got an asynchronous one; use `async for`"
            )
        if self._plain is None:
            self._plain = (item for batch in self._batches for item in batch)
        return next(self._plain)

    def close(self) -> None:
        """Let go of the source of a plain loop that was left early."""
        if self._batches is not None and self._async is None:
            self._batches.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._async is None:
            self._async = self._from_async() if self._batches is None else self._from_thread()
        return await self._async.__anext__()

    async def aclose(self) -> None:
        """Stop the thread of an `async for` that was left early."""
        if self._async is not None:
            await self._async.aclose()

    async def _from_async(self) -> AsyncGenerator[T, None]:
        assert self._async_batches is not None
        async for batch in self._async_batches:
            for item in batch:
                yield item

    async def _from_thread(self) -> AsyncGenerator[T, None]:
        import asyncio  # here, so that a program that never awaits does not load it

        assert self._batches is not None
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[T | None] = asyncio.Queue()  # None: the end
        room = threading.Semaphore(MOST_WAITING)

        def tell(item: T | None) -> None:
            try:
                loop.call_soon_threadsafe(items.put_nowait, item)
            except RuntimeError:  # the loop is closed: nobody waits any more
                listener.ask_to_stop()

        def hand_over(item: T) -> None:
            while not room.acquire(timeout=_POLL_S):
                if listener._stopping.is_set():
                    return
            tell(item)

        ready = threading.Event()

        def batches() -> Generator[Sequence[T], None, None]:
            ready.wait()  # `listener` has its value
            assert self._batches is not None
            yield from self._batches

        listener = Listener(batches(), hand_over, lambda: tell(None))
        ready.set()
        try:
            while (item := await items.get()) is not None:
                room.release()
                yield item
            listener.wait()  # at once: raises what ended the stream
        finally:
            listener.ask_to_stop()
