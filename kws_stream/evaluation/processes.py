"""The same work on many clips, in as many processes as asked."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from kws_stream.errors import ParameterError
from kws_stream.evaluation.speech_commands import Clip
from kws_stream.pipeline import KeywordSpotter

CLIPS_AT_ONCE = 32  # what a process is given at a time
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

T = TypeVar("T")
Work = Callable[[KeywordSpotter, Clip], T]
"""A function of a module: a clip, and a spotter in any state, to what is known of the clip."""
Progress = Callable[[int, int], None]
"""Hears how many clips are done, and of how many."""


def over_clips(
    work: Work[T],
    spotter: KeywordSpotter,
    clips: Sequence[Clip],
    jobs: int | None = None,
    progress: Progress | None = None,
) -> list[T]:
    """What `work` gives for each clip, in their order; by `jobs` processes, all cores by default.

    Raises what `work` raises, ParameterError for less than one process.
    """
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    if jobs < 1:
        raise ParameterError(f"jobs: need 1 process or more, got {jobs}")
    report = progress or (lambda done, total: None)
    groups = [clips[at : at + CLIPS_AT_ONCE] for at in range(0, len(clips), CLIPS_AT_ONCE)]
    jobs = min(jobs, len(groups))
    results: list[T] = []
    if jobs <= 1:
        for clip in clips:
            results.append(work(spotter, clip))
            report(len(results), len(clips))
        return results
    start = (spotter.pack.path,)
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start_process, start)
    try:
        with _for_new_processes():
            futures = [pool.submit(work_on, work, group) for group in groups]
        for future in futures:
            results += future.result()
            report(len(results), len(clips))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C: drop what still waits
    return results


@contextmanager
def _for_new_processes() -> Iterator[None]:
    """What processes inherit that are spawned here: one thread each, and deafness to Ctrl-C.

    The number of threads has to be known before NumPy loads. Ctrl-C is the parent's to answer; it
    waits until the processes have started. They are spawned, not forked, since a program that
    shows its progress has threads, which a fork breaks.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if sys.platform != "win32":
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_spotters: list[KeywordSpotter] = []  # of a worker process: the one that it uses


def _start_process(pack: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows, which has no mask
    _spotters.append(KeywordSpotter(pack))


def work_on(work: Work[T], clips: Sequence[Clip]) -> list[T]:
    """A worker's share, with the spotter of its process."""
    return [work(_spotters[0], clip) for clip in clips]
