"""The small network on top of the speech embedding: 16 embeddings in, one score out.

Two convolutions over time keep the order in which the sounds came; the rest is dense. Several such
networks of different seeds are one head: the score is the logistic function of the mean of their
logits. All of it is arrays in a .npz file, of shapes that are checked, and NumPy runs it.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.verifier.arrays import archive_arrays, archive_bytes
from kws_stream.verifier.embedding import SIZE

Floats = NDArray[np.float32]

STEPS = 16  # embeddings that are judged, 80 ms apart: 2 s of sound with what the first one hears
TAPS = 3  # of a convolution over time


@dataclass(frozen=True, eq=False)
class Head:
    """The arrays, float32, of S networks with h channels, c of them kept, and d hidden units.

    mean, scale: (96,), of the embeddings. first: (S, 3, 96, h), second: (S, 3, h, h), both with a
    bias (S, h). kept: (S, h, c) and (S, c). hidden: (S, 16, c, d) and (S, d). last: (S, d), (S,).
    """

    mean: Floats
    scale: Floats
    first: Floats
    first_bias: Floats
    second: Floats
    second_bias: Floats
    kept: Floats
    kept_bias: Floats
    hidden: Floats
    hidden_bias: Floats
    last: Floats
    last_bias: Floats

    __repr__ = brief

    def __post_init__(self) -> None:
        try:
            seeds, _, _, channels = self.first.shape
            kept, units = self.kept.shape[2], self.hidden.shape[3]
        except (ValueError, IndexError) as error:
            raise ParameterError("verifier head: need arrays of its axes, got others") from error
        wanted = {
            "mean": (SIZE,),
            "scale": (SIZE,),
            "first": (seeds, TAPS, SIZE, channels),
            "first_bias": (seeds, channels),
            "second": (seeds, TAPS, channels, channels),
            "second_bias": (seeds, channels),
            "kept": (seeds, channels, kept),
            "kept_bias": (seeds, kept),
            "hidden": (seeds, STEPS, kept, units),
            "hidden_bias": (seeds, units),
            "last": (seeds, units),
            "last_bias": (seeds,),
        }
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32 or 0 in shape:
                raise ParameterError(
                    f"verifier head: need {name} as float32 of shape {shape}, got {array.dtype} "
                    f"of {array.shape}"
                )
            if not np.isfinite(array).all():
                raise ParameterError(f"verifier head: need finite numbers as {name}")
        if not (self.scale > 0).all():
            raise ParameterError("verifier head: need scales above 0")

    @property
    def multiplications(self) -> int:
        """Of one score."""
        seeds, channels = self.first_bias.shape
        kept, units = self.kept.shape[2], self.hidden.shape[3]
        in_time = TAPS * channels * (SIZE + channels) + channels * kept
        return int(seeds * (STEPS * (in_time + kept * units) + units))

    def score(self, embeddings: Floats) -> float:
        """How much embeddings (16, 96), the latest last, sound like the phrase: 0 to 1."""
        return probability(self.logit(embeddings))

    def logit(self, embeddings: Floats) -> float:
        """The log odds of that score."""
        x = (embeddings - self.mean) / self.scale
        logits = [self._logit(x, seed) for seed in range(len(self.first))]
        return math.fsum(logits) / len(logits)

    def _logit(self, x: Floats, seed: int) -> float:
        for weight, bias in ((self.first, self.first_bias), (self.second, self.second_bias)):
            padded = np.pad(x, ((1, 1), (0, 0)))
            taps = [padded[tap : tap + STEPS] @ weight[seed, tap] for tap in range(TAPS)]
            x = np.maximum(taps[0] + taps[1] + taps[2] + bias[seed], 0)
        x = np.maximum(x @ self.kept[seed] + self.kept_bias[seed], 0)
        weight = self.hidden[seed].reshape(x.size, -1)
        hidden = np.maximum(x.reshape(-1) @ weight + self.hidden_bias[seed], 0)
        return float(hidden @ self.last[seed] + self.last_bias[seed])


def probability(logit: float) -> float:
    """Of log odds."""
    return 1 / (1 + math.exp(-max(-700.0, logit)))


def log_odds(score: float) -> float:
    """Of a probability, kept 1e-12 away from 0 and 1."""
    kept = min(max(1e-12, score), 1 - 1e-12)
    return math.log(kept / (1 - kept))


def head_bytes(head: Head) -> bytes:
    """The .npz file of a head; the same head gives the same bytes."""
    return archive_bytes({field.name: getattr(head, field.name) for field in fields(Head)})


def parse_head(data: bytes) -> Head:
    """The head in the bytes of a .npz file; nothing in it is evaluated.

    Raises ParameterError for anything but the arrays of one head.
    """
    arrays = archive_arrays(data, "verifier head")
    wanted = {field.name for field in fields(Head)}
    if set(arrays) != wanted:
        raise ParameterError(
            f"verifier head: need the arrays {sorted(wanted)}, got {sorted(arrays)!r:.300}"
        )
    return Head(**arrays)
