#!/usr/bin/env python3
"""Where a model loses clips: by level, by words cut at an edge, by length and by class.

    python scripts/loss_table.py commands-12 --data speech_commands

Level is that of the loudest 100 ms. A word is cut where the first or last 40 ms of its recording
have a fourth or more of the loudest 100 ms's power. Prints, for every group, clips, how many of
them were called wrongly, and which share of all losses that is.
"""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from kws_stream.audio import to_int16
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.evaluation import HALVES, evaluate_clips
from kws_stream.evaluation.speech_commands import SILENCE, Clip
from kws_stream.pipeline import blocks_of

PATH = click.Path(exists=True, file_okay=False, path_type=Path)
EDGE, LOUDEST = SAMPLE_RATE_HZ * 40 // 1000, SAMPLE_RATE_HZ // 10
CUT = 0.25  # of the power of the loudest 100 ms
LEVELS_DBFS = (-35.0, -25.0, -15.0)


def of_clip(clip: Clip) -> Iterator[str]:
    """The groups that a clip belongs to."""
    yield f"class {clip.label}"
    if clip.word == SILENCE:
        return
    samples = np.concatenate([to_int16(block) for block in blocks_of(clip.path)]) / 32768
    loudest = max(_power(samples[at : at + LOUDEST]) for at in range(0, len(samples), LOUDEST // 2))
    level = 10 * np.log10(max(loudest, 1e-12))
    below = [edge for edge in LEVELS_DBFS if level < edge]
    yield f"loudest under {below[0]:g} dBFS" if below else f"loudest from {LEVELS_DBFS[-1]:g} dBFS"
    begins, ends = (_power(part) >= CUT * loudest for part in (samples[:EDGE], samples[-EDGE:]))
    yield {
        (False, False): "word whole",
        (True, False): "word cut at its start",
        (False, True): "word cut at its end",
        (True, True): "word cut at both ends, or loud noise",
    }[begins, ends]
    yield "a second long" if len(samples) >= SAMPLE_RATE_HZ else "shorter than a second"


def _power(samples: NDArray[np.float64]) -> float:
    return float(np.mean(samples**2)) if len(samples) else 0.0


@click.command(help=__doc__)
@click.argument("models", nargs=-1, required=True)
@click.option("--data", type=PATH, required=True, help="A Speech Commands folder.")
@click.option("--task", default="v2-12", show_default=True)
@click.option("--half", type=click.Choice(HALVES), default=HALVES[0], show_default=True)
def main(models: tuple[str, ...], data: Path, task: str, half: str) -> None:
    for model in models:
        run = evaluate_clips(data, task, "validation", model, half=half)
        groups: dict[str, list[bool]] = {}
        wrong = 0
        for clip, score in zip(run.clips, run.scores, strict=True):
            lost = score.called != clip.label
            wrong += lost
            for group in of_clip(clip):
                groups.setdefault(group, []).append(lost)
        click.echo(f"{model}, {task}, {half} half: {wrong} of {len(run.clips)} clips lost")
        click.echo(f"  {'group':<38}{'clips':>6}{'lost':>6}{'rate':>8}{'share of losses':>17}")
        for group, lost_ones in sorted(groups.items()):
            count, lost = len(lost_ones), sum(lost_ones)
            click.echo(
                f"  {group:<38}{count:>6}{lost:>6}{100 * lost / count:>7.1f}%"
                f"{100 * lost / max(wrong, 1):>16.1f}%"
            )


if __name__ == "__main__":
    main()
