"""The same work on many clips, in processes or on a cluster."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kws_stream.evaluation.speech_commands import Clip
from kws_stream.packs import Pack
from kws_stream.pipeline import KeywordSpotter
from kws_stream.workers import Progress, Workers

CLIPS_AT_ONCE = 32  # what a process is given at a time

T = TypeVar("T")
Work = Callable[[KeywordSpotter, Clip], T]
"""A function of a module: a clip, and a spotter in any state, to what is known of the clip."""


def over_clips(
    work: Work[T],
    pack: Pack,
    clips: Sequence[Clip],
    jobs: int | None = None,
    progress: Progress | None = None,
    cluster: str | None = None,
) -> list[T]:
    """What `work` gives for each clip, in their order; by `jobs` processes, all cores by default,
    or by the workers of a cluster.

    Raises what `work` raises, and what `Workers` raises.
    """
    with Workers(jobs, cluster) as workers:
        function = _OnClip(work, pack)
        return list(workers.map(function, clips, at_once=CLIPS_AT_ONCE, progress=progress))


@dataclass(frozen=True)
class _OnClip(Generic[T]):
    work: Work[T]
    pack: Pack

    def __call__(self, clip: Clip) -> T:
        """With the spotter that this thread made for this very pack."""
        if getattr(_of_thread, "pack", None) is not self.pack:
            spotter = KeywordSpotter(self.pack, verify=False)  # clips are judged by their logits
            _of_thread.spotter, _of_thread.pack = spotter, self.pack
        return self.work(_of_thread.spotter, clip)


_of_thread = threading.local()
