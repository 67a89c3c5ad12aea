"""Scores of clips of one second, by the streaming code."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kws_stream import features, packs
from kws_stream.arguments import instance_of
from kws_stream.brief import brief
from kws_stream.constants import HOP_SAMPLES
from kws_stream.errors import PackError
from kws_stream.evaluation.processes import over_clips
from kws_stream.evaluation.reading import Pcm, read_clip
from kws_stream.evaluation.speech_commands import CLIP_SAMPLES, Clip
from kws_stream.pipeline import KeywordSpotter
from kws_stream.workers import Progress


@dataclass(frozen=True)
class Score:
    """What a model said of a clip. called: a class of the model. core_nw: mean power of the clip.

    logits: the means that were compared, in the order of the model's classes. note: what should be
    said of the recording, in a sentence.
    """

    called: str
    core_nw: float
    logits: tuple[float, ...]
    note: str = ""

    __repr__ = brief


def score_clip(spotter: KeywordSpotter, pcm: Pcm) -> Score:
    """The score of the next second of the spotter's stream; reset it first for a fresh state.

    The class with the highest mean of the logits over the pack's part of the clip; of equal ones,
    the first. Raises ParameterError for no spotter, InputError for no samples.
    """
    instance_of(spotter, KeywordSpotter, "spotter", "a KeywordSpotter")
    logits, estimate = spotter.logits(pcm)
    start, stop = decision_frames(spotter, len(logits))
    means = logits[start:stop].mean(axis=0)
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
    cluster: str | None = None,
) -> list[Score]:
    """Scores of the clips, in their order; the same numbers for any number of `jobs`.

    model: as of `KeywordSpotter`. jobs: processes, one for every processor by default. cluster:
    address of a Dask scheduler in place of them. carry: nothing at all is reset between clips,
    which are heard in an order that `seed` draws; by this process.

    Raises what `KeywordSpotter` raises for a pack, AudioError or InputError for a clip that cannot
    be read, and what `Workers` raises.
    """
    spotter = KeywordSpotter(model, verify=False)
    if not carry:
        return over_clips(score_fresh, spotter.pack, clips, jobs, progress, cluster)
    scores: dict[int, Score] = {}
    for index in np.random.default_rng(seed).permutation(len(clips)).tolist():
        scores[index] = _score(spotter, clips[index])
        if progress is not None:
            progress(len(scores), len(clips))
    return [scores[index] for index in range(len(clips))]


def score_fresh(spotter: KeywordSpotter, clip: Clip) -> Score:
    """The score of a clip heard from the start."""
    spotter.reset()
    return _score(spotter, clip)


def _score(spotter: KeywordSpotter, clip: Clip) -> Score:
    notes: list[str] = []
    pcm = read_clip(clip, notes.append)
    return replace(score_clip(spotter, pcm), note=" ".join(notes))


def same_when_streamed(spotter: KeywordSpotter, clip: Clip) -> bool:
    """Whether a clip heard 10 ms at a time has, bit for bit, the score of the clip heard at once.

    And the logits of every frame are those of `Network.run` on all its features together.
    """
    pcm = read_clip(clip)
    spotter.reset()
    pieces = [
        trace.logits
        for at in range(0, CLIP_SAMPLES, HOP_SAMPLES)
        for trace in spotter.trace(pcm[at : at + HOP_SAMPLES])
    ]
    streamed_power, logits = spotter.power().core_nw, np.concatenate(pieces)
    frames = features.build(spotter.pack.features).process(pcm)
    spotter.reset()
    score = score_clip(spotter, pcm)
    start, stop = decision_frames(spotter, len(logits))
    return (
        np.array_equal(logits, spotter.pack.network.run(frames).logits)
        and score.logits == tuple(logits[start:stop].mean(axis=0).tolist())
        and score.core_nw == streamed_power
    )
