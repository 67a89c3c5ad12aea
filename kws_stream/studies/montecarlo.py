"""Many virtual chips on the same utterances: how accurate they are, and how many are good."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kws_stream.bmru.chip import ChipSettings
from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.evaluation.metrics import wilson_interval
from kws_stream.packs import Pack
from kws_stream.parameters import FloatArray
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import (
    exact,
    heading,
    headline,
    joined,
    listen,
    scores,
    spread,
    tasks_of,
)
from kws_stream.workers import Progress, Workers

DROPS = (0.01, 0.02, 0.05, 0.10)  # the yield is also told at these drops from the exact network


@dataclass(frozen=True, eq=False)
class MonteCarlo:
    """Figures of a population of chips; fractions are 0..1.

    accuracies (chips,): the headline figure of each. flipped (chips,): share of utterances that a
    chip calls otherwise than the exact network; frame_flips: the same of single frames. clip_flips
    (n,): share of chips that call an utterance otherwise.
    """

    head: dict[str, Any]
    exact_accuracy: float
    accuracies: FloatArray
    other_accuracies: dict[str, FloatArray]
    flipped: FloatArray
    frame_flips: FloatArray
    clip_flips: FloatArray
    wanted: float

    __repr__ = brief

    def share_above(self, accuracy: float) -> tuple[float, tuple[float, float]]:
        """Share of chips of this accuracy or more, and its 95 % interval (Wilson)."""
        good = int((self.accuracies >= accuracy).sum())
        return good / len(self.accuracies), wilson_interval(good, len(self.accuracies))

    def as_dict(self) -> dict[str, Any]:
        drops = [round(self.exact_accuracy - drop, 6) for drop in DROPS]
        levels = [self.wanted, *(level for level in drops if 0 <= level != self.wanted)]
        yields = [(level, *self.share_above(level)) for level in levels]
        return self.head | {
            "chips": len(self.accuracies),
            "exact": self.exact_accuracy,
            **{name: spread(values) for name, values in self.other_accuracies.items()},
            "yield": [
                {"accuracy": level, "share": share, "interval": list(interval)}
                for level, share, interval in yields
            ],
            "flips": spread(self.flipped),
            "frame_flips": spread(self.frame_flips),
            "clips_that_ever_flip": float((self.clip_flips > 0).mean()),
            "accuracies": self.accuracies.tolist(),
        }


def montecarlo(
    pack: Pack,
    utterances: Utterances,
    settings: ChipSettings,
    chips: int = 1000,
    *,
    wanted: float = 0.9,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> MonteCarlo:
    """Chips 0 to chips - 1 of `seed`; the same numbers for any number of workers.

    wanted: the accuracy that a good chip has. Raises ParameterError for less than one chip or an
    accuracy outside 0..1.
    """
    if chips < 1:
        raise ParameterError(f"chips: need 1 or more, got {chips}")
    if not 0 <= wanted <= 1:
        raise ParameterError(f"wanted: need an accuracy from 0 to 1, got {wanted}")
    nominal = exact(pack, utterances)
    tasks = tasks_of(settings, chips)
    heard = joined(listen(pack, utterances, tasks, seed, workers, progress))
    flips = heard.called != nominal.called
    return MonteCarlo(
        head=heading("montecarlo", pack, utterances, seed, settings),
        exact_accuracy=float(headline(nominal.called, utterances)[0]),
        accuracies=headline(heard.called, utterances),
        other_accuracies=scores(heard.called, utterances),
        flipped=flips.mean(axis=1),
        frame_flips=(heard.frames != nominal.frames).mean(axis=(1, 2)),
        clip_flips=np.asarray(flips.mean(axis=0)),
        wanted=wanted,
    )
