"""The detector one frame and one class at a time, in plain Python.

Only `score_codes` is the package's own; tests hold it against real exponentials by itself.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import Any

from kws_stream.detector import DetectorSettings, score_codes


def run(
    logits: Sequence[Sequence[float]],
    settings: DetectorSettings,
    classes: Sequence[str],
    keywords: Sequence[str],
    frame_s: float,
) -> tuple[list[dict[str, Any]], list[list[float]]]:
    """Events as dicts, and the smoothed scores of every frame."""
    window = max(1, round(settings.window_s / frame_s))
    warmup = max(round(settings.warmup_s / frame_s), window // 3)
    refractory = round(settings.refractory_s / frame_s)
    threshold = {name: settings.thresholds.get(name, settings.threshold) for name in keywords}
    last_low = dict.fromkeys(classes, 0)  # frame of the last score under the re-arming level
    last_fired: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    smoothed: list[list[float]] = []
    rows: list[list[int]] = []
    for frame, row in enumerate(logits, start=1):
        rows.append([floor(Fraction(float(value)) * 2**26) for value in row])
        last = rows[-window:]
        sums = [sum(old[k] for old in last) for k in range(len(classes))]
        scores = [code / 2**24 for code in score_codes(sums, len(last))]
        smoothed.append(scores)
        for name, score in zip(classes, scores, strict=True):
            level = min(settings.rearm, max(threshold.get(name, 1.0), 1 / len(classes)))
            if settings.rearm == 1 or score < level:
                last_low[name] = frame
        leader = max(range(len(classes)), key=lambda k: (scores[k], -k))  # a tie: the first
        name, score = classes[leader], scores[leader]
        if name not in threshold or score < threshold[name] or frame <= warmup:
            continue
        if name in last_fired:
            fallen = last_low[name] > last_fired[name]
            if not fallen or frame < last_fired[name] + refractory:
                continue
        start_s = max(0.0, last_low[name] * frame_s - settings.onset_s)
        events.append(
            {
                "keyword": name,
                "time_s": round(frame * frame_s, 6),
                "score": score,
                "start_s": round(start_s, 6),
                "index": len(events),
            }
        )
        last_fired[name] = frame
    return events, smoothed
