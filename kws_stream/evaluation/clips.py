"""Scores of clips of one second, by the streaming code and in as many processes as asked."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws_stream import packs, power
from kws_stream.audio import FileSource
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import PackError, ParameterError
from kws_stream.evaluation.speech_commands import CLIP_SAMPLES, Clip
from kws_stream.pipeline import KeywordSpotter

CLIPS_AT_ONCE = 32  # what a process is given at a time
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Pcm = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Hears how many clips are done, and of how many."""


@dataclass(frozen=True)
class Score:
    """What a model said of a clip. called: a class of the model. core_nw: mean power of the clip.

    logits: the means that were compared, in the order of the model's classes.
    """

    called: str
    core_nw: float
    logits: tuple[float, ...]


def read_clip(clip: Clip) -> Pcm:
    """Samples (16000,) of a clip: cut to one second, or padded with zeros at the end.

    Raises AudioError or InputError for a file that cannot be read.
    """
    if clip.offset_s:
        start = round(clip.offset_s * SAMPLE_RATE_HZ)
        audio = _recording(clip.path)[start : start + CLIP_SAMPLES]
    else:
        audio = _read(clip.path, CLIP_SAMPLES)
    samples = np.zeros(CLIP_SAMPLES, np.float32)
    samples[: len(audio)] = audio
    return samples


def _read(path: Path, limit: int | None = None) -> Pcm:
    """The first `limit` samples of a file, or all of it."""
    parts, count = [np.zeros(0, np.float32)], 0
    with FileSource(path) as source:
        for block in source.blocks():
            parts.append(np.asarray(block, np.float32))
            count += len(block)
            if limit is not None and count >= limit:
                break
    return np.concatenate(parts)[:limit]


@lru_cache(maxsize=8)  # the data set has six recordings, of 6 MB each
def _recording(path: Path) -> Pcm:
    return _read(path)


def score_clip(spotter: KeywordSpotter, pcm: Pcm) -> Score:
    """The score of the next second of the spotter's stream; reset it first for a fresh state.

    The class with the highest mean of the logits over the pack's part of the clip; of equal ones,
    the first.
    """
    (trace,) = spotter.trace(pcm)  # a second is one piece
    start, stop = decision_frames(spotter, trace.frames)
    means = trace.logits[start:stop].mean(axis=0)
    estimate = power.estimate(spotter.pack.network, trace, frame_s=spotter.frame_s)
    called = spotter.classes[int(np.argmax(means))]
    return Score(called, estimate.core_nw, tuple(means.tolist()))


def decision_frames(spotter: KeywordSpotter, frames: int) -> tuple[int, int]:
    """Which of the frames of one second the decision averages: at least one.

    Raises PackError if the pack's part of a clip begins after its end.
    """
    window = spotter.pack.clip
    if window["from_s"] >= 1:
        raise PackError(
            f"{spotter.pack.name}: need a decision that begins within a clip of one second, got "
            f"{window['from_s']} s; get an intact copy"
        )
    start = min(round(window["from_s"] * frames), frames - 1)
    return start, max(start + 1, min(round(window["to_s"] * frames), frames))


def score_clips(
    model: str | Path | packs.Pack,
    clips: Sequence[Clip],
    jobs: int | None = None,
    carry: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Score]:
    """Scores of the clips, in their order; the same numbers for any number of `jobs`.

    model: as of `KeywordSpotter`. jobs: processes, one for every processor by default. carry:
    nothing at all is reset between clips, which are heard in an order that `seed` draws; by one
    process.

    Raises what `KeywordSpotter` raises for a pack, AudioError or InputError for a clip that cannot
    be read, ParameterError for less than one process.
    """
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    if jobs < 1:
        raise ParameterError(f"jobs: need 1 process or more, got {jobs}")
    report = progress or (lambda done, total: None)
    spotter = KeywordSpotter(model)
    groups = [clips[at : at + CLIPS_AT_ONCE] for at in range(0, len(clips), CLIPS_AT_ONCE)]
    jobs = min(jobs, len(groups))
    if carry:
        order = np.random.default_rng(seed).permutation(len(clips))
        heard: dict[int, Score] = {}
        for index in map(int, order):
            heard[index] = score_clip(spotter, read_clip(clips[index]))
            report(len(heard), len(clips))
        return [heard[index] for index in range(len(clips))]
    scores: list[Score] = []
    if jobs <= 1:
        for clip in clips:
            scores.append(_score_fresh(spotter, clip))
            report(len(scores), len(clips))
        return scores
    start = (spotter.pack.path,)
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start_process, start)
    try:
        with _for_new_processes():
            futures = [pool.submit(_score_group, group) for group in groups]
        for future in futures:
            scores += future.result()
            report(len(scores), len(clips))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C: drop what still waits
    return scores


def _score_fresh(spotter: KeywordSpotter, clip: Clip) -> Score:
    pcm = read_clip(clip)
    spotter.reset()
    return score_clip(spotter, pcm)


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


def _score_group(clips: Sequence[Clip]) -> list[Score]:
    return [_score_fresh(_spotters[0], clip) for clip in clips]
