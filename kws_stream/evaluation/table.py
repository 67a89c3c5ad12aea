"""A row a clip, for spreadsheets and data frames."""

import csv
import io

from kws_stream.detector import softmax
from kws_stream.evaluation.clips import Score
from kws_stream.evaluation.metrics import task_class
from kws_stream.evaluation.running import ClipRun


def posteriors(score: Score) -> list[float]:
    """Confidence in each class of the model, 0..1: the softmax of the mean logits."""
    return softmax(score.logits)


def clip_table(run: ClipRun) -> str:
    """CSV with a header: file, offset_s, label, predicted, correct (0 or 1), a confidence for each
    class of the model, core_power_nw.

    Numbers are written so that reading them gives the same bits.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    scores = [f"score_{name}" for name in run.pack.classes]
    rows.writerow(["file", "offset_s", "label", "predicted", "correct", *scores, "core_power_nw"])
    for clip, score in zip(run.clips, run.scores, strict=True):
        predicted = task_class(score.called, run.result.task)
        rows.writerow(
            [
                *(clip.path, clip.offset_s, clip.label, predicted, int(predicted == clip.label)),
                *posteriors(score),
                score.core_nw,
            ]
        )
    return text.getvalue()
