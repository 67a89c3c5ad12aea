"""Scores of model packs: clip by clip on a data set, and event by event on a stream.

docs/evaluation.md says what is measured, and how.
"""

from kws_stream.evaluation.clip_power import power_of_clips
from kws_stream.evaluation.clips import Score, same_when_streamed, score_clip, score_clips
from kws_stream.evaluation.folders import Skipped, folder_of, recordings_below
from kws_stream.evaluation.labels import read_labels
from kws_stream.evaluation.metrics import Result, summarise
from kws_stream.evaluation.mixtures import (
    Mixture,
    WordClip,
    background_in,
    mixtures_of,
    own_background,
    synthesise,
    word_clips,
)
from kws_stream.evaluation.reading import SNRS_DB, noise_seconds, read_clip, with_noise
from kws_stream.evaluation.recordings import (
    Counts,
    OperatingPoint,
    RecordingsResult,
    Verified,
    evaluate_recordings,
    evaluate_streams,
    poisson_interval,
)
from kws_stream.evaluation.running import ClipRun, evaluate, evaluate_clips
from kws_stream.evaluation.saving import save_streams
from kws_stream.evaluation.sources import Piece, Recordings, Stream, streams_of
from kws_stream.evaluation.speech_commands import (
    HALVES,
    NOISE,
    SPLITS,
    TASKS,
    Clip,
    Noise,
    Selection,
    half_of,
    select,
    split_of,
)
from kws_stream.evaluation.streams import StreamResult, Word, score_stream
from kws_stream.evaluation.table import clip_table
from kws_stream.evaluation.tuning import Setting, Tuning, save_tuned, tune, verifier_threshold

__all__ = [
    "HALVES",
    "NOISE",
    "SNRS_DB",
    "SPLITS",
    "TASKS",
    "Clip",
    "ClipRun",
    "Counts",
    "Mixture",
    "Noise",
    "OperatingPoint",
    "Piece",
    "Recordings",
    "RecordingsResult",
    "Result",
    "Score",
    "Selection",
    "Setting",
    "Skipped",
    "Stream",
    "StreamResult",
    "Tuning",
    "Verified",
    "Word",
    "WordClip",
    "background_in",
    "clip_table",
    "evaluate",
    "evaluate_clips",
    "evaluate_recordings",
    "evaluate_streams",
    "folder_of",
    "half_of",
    "mixtures_of",
    "noise_seconds",
    "own_background",
    "poisson_interval",
    "power_of_clips",
    "read_clip",
    "read_labels",
    "recordings_below",
    "same_when_streamed",
    "save_streams",
    "save_tuned",
    "score_clip",
    "score_clips",
    "score_stream",
    "select",
    "split_of",
    "streams_of",
    "summarise",
    "synthesise",
    "tune",
    "verifier_threshold",
    "with_noise",
    "word_clips",
]
