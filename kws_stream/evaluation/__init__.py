"""Scores of model packs: clip by clip on a data set, and event by event on a stream.

docs/evaluation.md says what is measured, and how.
"""

from kws_stream.evaluation.clips import Score, read_clip, score_clip, score_clips
from kws_stream.evaluation.metrics import Result, evaluate, summarise
from kws_stream.evaluation.recordings import (
    OperatingPoint,
    RecordingsResult,
    evaluate_recordings,
    poisson_interval,
    read_labels,
)
from kws_stream.evaluation.speech_commands import SPLITS, TASKS, Clip, Selection, select, split_of
from kws_stream.evaluation.streams import StreamResult, Word, score_stream

__all__ = [
    "SPLITS",
    "TASKS",
    "Clip",
    "OperatingPoint",
    "RecordingsResult",
    "Result",
    "Score",
    "Selection",
    "StreamResult",
    "Word",
    "evaluate",
    "evaluate_recordings",
    "poisson_interval",
    "read_clip",
    "read_labels",
    "score_clip",
    "score_clips",
    "score_stream",
    "select",
    "split_of",
    "summarise",
]
