"""The power report of the clips of a task: of silence, of words, and of words that were found."""

import numpy as np

from kws_stream.evaluation.clips import Score
from kws_stream.evaluation.processes import over_clips
from kws_stream.evaluation.reading import read_clip
from kws_stream.evaluation.running import ClipRun
from kws_stream.evaluation.speech_commands import SILENCE, Clip
from kws_stream.features import FeatureSettings
from kws_stream.pipeline import KeywordSpotter
from kws_stream.power import PowerEstimate, PowerReport, report
from kws_stream.power.averages import mean
from kws_stream.power.by_activity import mean_power
from kws_stream.workers import Progress


def clip_estimate(spotter: KeywordSpotter, clip: Clip) -> PowerEstimate:
    """Power over one clip, heard from the start."""
    pcm = read_clip(clip)
    spotter.reset()
    spotter.trace(pcm)
    return spotter.power()


def power_of_clips(
    run: ClipRun,
    jobs: int | None = None,
    progress: Progress | None = None,
    cluster: str | None = None,
) -> PowerReport:
    """Hear every clip of a run again, each from the start, and report the power of all of it.

    A hit is a clip of a keyword that was called right, silence a clip of noise, and any other clip
    is speech. Arguments and errors as of `score_clips`.
    """
    estimates = over_clips(clip_estimate, run.pack, run.clips, jobs, progress, cluster)
    kinds = [
        _kind(clip, score, run.pack.keywords)
        for clip, score in zip(run.clips, run.scores, strict=True)
    ]
    activity = []
    for kind in ("silence", "speech", "hit"):
        ours = [one for one, its in zip(estimates, kinds, strict=True) if its == kind]
        sums = np.zeros(2)
        for one in ours:
            sums += one.frames * np.array([one.cells_nw, one.feedforward_nw])
        frames = sum(one.frames for one in ours)
        activity.append(mean_power(kind, frames, sums, estimates[0].frame_s))
    return report(
        mean(estimates),
        FeatureSettings.from_dict(run.pack.features).channels,
        parameters=run.pack.network.parameters,
        activity=activity,
        words=kinds.count("hit"),
    )


def _kind(clip: Clip, score: Score, keywords: tuple[str, ...]) -> str:
    if clip.word == SILENCE:
        return "silence"
    return "hit" if clip.label in keywords and score.called == clip.label else "speech"
