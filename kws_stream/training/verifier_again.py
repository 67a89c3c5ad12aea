"""A head learns from triggers that its users have labelled, in seconds, and forgets nothing else.

Each trigger is heard several times, from another sample on and at another level, so that the grid
of steps lies otherwise over it. The networks go on from what they are, on what they were taught
from and on these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kws_stream.brief import brief
from kws_stream.errors import DataError
from kws_stream.speech.acoustics import Samples
from kws_stream.training.verifier_head import HeadSettings, train_head
from kws_stream.training.verifier_lesson import Lesson
from kws_stream.training.verifier_speech import Gathered
from kws_stream.training.verifying import Taught, taught, threshold_for
from kws_stream.verifier import Head, SpeechEmbedding
from kws_stream.verifier.embedding import STEP

AGAIN = HeadSettings(steps=200, learning_rate=5e-4, average=0.98, mined=100)
TIMES = 8  # that a trigger is heard
LEVEL_DB = (-6.0, 3.0)


@dataclass(frozen=True, eq=False)
class LabelledTrigger:
    """sound: float32 (n,) at 16 kHz; at_s: when in it the first stage triggered; spoken: whether
    it was the phrase."""

    sound: Samples
    at_s: float
    spoken: bool

    __repr__ = brief


def teach_again(
    head: Head,
    lesson: Lesson,
    triggers: Sequence[LabelledTrigger],
    per_hour: float,
    settings: HeadSettings = AGAIN,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Taught:
    """A head that has learnt from triggers too. per_hour: false accepts that its threshold allows
    the head alone in held-out sound. Arguments else as of `verifying.teach`.

    Raises DataError without triggers.
    """
    if not triggers:
        raise DataError("need triggers with the label yes or no, got none; see `triggers label`")
    heard = Gathered(SpeechEmbedding(lesson.graphs))
    rng = np.random.default_rng(0)
    for trigger in triggers:
        for start in (np.arange(TIMES) * STEP // TIMES).tolist():
            gain = np.float32(10 ** (rng.uniform(*LEVEL_DB) / 20))
            at_s = trigger.at_s - start / 16_000
            heard.add_trigger(trigger.sound[start:] * gain, at_s, trigger.spoken)
    windows = lesson.windows.joined(heard.windows())
    again = train_head(windows, settings, progress, head)
    return taught(again, lesson, threshold_for(again, lesson.held_out, per_hour))
