"""A run over the clips of a task: select, score, count."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kws_stream import packs
from kws_stream.audio.mix import checked_channel
from kws_stream.brief import brief
from kws_stream.errors import ParameterError, TaskError
from kws_stream.evaluation.clips import Score, same_when_streamed, score_clips
from kws_stream.evaluation.folders import Skipped, folder_of
from kws_stream.evaluation.metrics import Result, summarise
from kws_stream.evaluation.processes import over_clips
from kws_stream.evaluation.reading import noise_seconds, with_noise
from kws_stream.evaluation.speech_commands import NOISE, TASKS, Clip, select
from kws_stream.pipeline import KeywordSpotter
from kws_stream.workers import Progress


@dataclass(frozen=True)
class ClipRun:
    """What was heard, what the model said of it, and the figures; scores[i] is that of clips[i]."""

    pack: packs.Pack
    clips: tuple[Clip, ...]
    scores: tuple[Score, ...]
    result: Result

    __repr__ = brief

    @property
    def channel_notes(self) -> list[str]:
        """What should be said of the channels of clips: one sentence for each of those."""
        return [score.note for score in self.scores if score.note]


def evaluate(
    folder: str | os.PathLike[str],
    task: str = "v2-12",
    split: str = "validation",
    model: str | Path | packs.Pack = "commands-12",
    jobs: int | None = None,
    seed: int = 0,
    carry: bool = False,
    progress: Progress | None = None,
    *,
    snrs_db: Sequence[float] = (),
    noise: str | os.PathLike[str] | None = None,
    check_streaming: bool = False,
    cluster: str | None = None,
    channel: int | None = None,
    half: str | None = None,
) -> Result:
    """Figures of a model on the clips of a Speech Commands folder: `evaluate_clips(...).result`."""
    return evaluate_clips(
        folder,
        task,
        split,
        model,
        jobs,
        seed,
        carry,
        progress,
        snrs_db=snrs_db,
        noise=noise,
        check_streaming=check_streaming,
        cluster=cluster,
        channel=channel,
        half=half,
    ).result


def evaluate_clips(
    folder: str | os.PathLike[str],
    task: str = "v2-12",
    split: str = "validation",
    model: str | Path | packs.Pack = "commands-12",
    jobs: int | None = None,
    seed: int = 0,
    carry: bool = False,
    progress: Progress | None = None,
    *,
    snrs_db: Sequence[float] = (),
    noise: str | os.PathLike[str] | None = None,
    check_streaming: bool = False,
    cluster: str | None = None,
    channel: int | None = None,
    half: str | None = None,
) -> ClipRun:
    """Scores and figures of a model on the clips of a Speech Commands folder.

    Arguments as of `select` and `score_clips`. snrs_db: also the accuracy with noise added at
    these signal-to-noise ratios, from the recordings in the folder `noise`, by default the data
    set's `_background_noise_`. check_streaming: also score every clip 10 ms at a time, and count
    those whose score is the same. channel: of the clips, from 1; None for the mean of all.

    Raises TaskError for a model that cannot do the task, DataError for noise that is missing, and
    what those two raise.
    """
    pack = model if isinstance(model, packs.Pack) else packs.load(model)
    check_task(pack, task)
    channel = checked_channel(channel)
    selection = select(folder, task, split, seed, half)
    clips = tuple(replace(clip, channel=channel) for clip in selection.clips)
    batches = [list(clips)]
    notes = list(selection.notes)
    if snrs_db:
        skipped = Skipped()
        own = folder_of(Path(folder), NOISE)
        seconds = noise_seconds(own if noise is None else Path(noise), skipped)
        notes += skipped.notes if noise is not None else []  # else `select` has told them
        batches += [with_noise(batches[0], seconds, snr_db, seed) for snr_db in snrs_db]
    scores = [
        [_within_task(score, pack.classes, task) for score in heard]
        for heard in _in_batches(pack, batches, jobs, carry, seed, progress, cluster)
    ]
    results = [
        summarise(
            batch,
            heard,
            task=task,
            model=pack.name,
            seed=seed,
            split=selection.split,
            half=half,
            carry=carry,
            notes=notes,
        )
        for batch, heard in zip(batches, scores, strict=True)
    ]
    result = replace(results[0], **_size(pack), **_by_snr(results, snrs_db))
    if check_streaming:
        same = over_clips(same_when_streamed, pack, clips, jobs, progress, cluster)
        result = replace(result, same_when_streamed=sum(same))
    return ClipRun(pack, clips, tuple(scores[0]), result)


def _size(pack: packs.Pack) -> dict[str, Any]:
    per_frame = pack.network.parameters.multiply_accumulates
    return {
        "parameters": pack.network.parameters.parameter_count,
        "multiply_accumulates": {
            "per_frame": per_frame,
            "per_second": round(per_frame / KeywordSpotter(pack, verify=False).frame_s),
        },
    }


def _by_snr(results: Sequence[Result], snrs_db: Sequence[float]) -> dict[str, Any]:
    if not snrs_db:
        return {}
    names = ["clean", *(f"{snr_db:g}" for snr_db in snrs_db)]
    return {
        f"{figure}_by_snr": {
            name: getattr(result, figure) for name, result in zip(names, results, strict=True)
        }
        for figure in ("accuracy", "balanced_accuracy")
    }


def check_task(pack: packs.Pack, task: str) -> None:
    """Raises TaskError unless the pack has the classes of the task; for yes, the class yes."""
    if task not in TASKS:
        raise ParameterError(f"task: need one of {', '.join(TASKS)}, got {task!r}")
    needed = ("yes",) if task == "yes" else TASKS[task]
    missing = [name for name in needed if name not in pack.classes]
    if missing:
        raise TaskError(
            f"task {task}: need a model with the classes {_some(needed)}, but {pack.name} has "
            f"{_some(pack.classes)}; choose another model or task, or evaluate-stream"
        )


def _some(names: Sequence[str]) -> str:
    """All names, or of very many the first few."""
    if len(names) <= 12:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more words"


def _in_batches(
    pack: packs.Pack,
    batches: Sequence[Sequence[Clip]],
    jobs: int | None,
    carry: bool,
    seed: int,
    progress: Progress | None,
    cluster: str | None,
) -> list[list[Score]]:
    """Scores of each batch; carried states go through one batch and start anew in the next."""
    clips = len(batches[0])
    if not carry:
        everything = [clip for batch in batches for clip in batch]
        scores = score_clips(pack, everything, jobs, progress=progress, cluster=cluster)
        return [scores[at : at + clips] for at in range(0, len(scores), clips)]
    total, done = clips * len(batches), 0
    heard = []
    for batch in batches:
        report = (lambda n, _, before=done: progress(before + n, total)) if progress else None
        heard.append(score_clips(pack, batch, 1, carry, seed, report))
        done += clips
    return heard


def _within_task(score: Score, classes: Sequence[str], task: str) -> Score:
    """v2-35 has no class for the rest: there the best of its own classes is the answer."""
    if task != "v2-35" or score.called in TASKS[task]:
        return score
    called = max(TASKS[task], key=lambda name: score.logits[classes.index(name)])
    return replace(score, called=called)
