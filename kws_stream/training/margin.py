"""The state error that white noise on the candidates is expected to cause, for the loss."""

import math

import torch
from torch import Tensor

from kws_stream.training.scan import cells

MEAN_OF_NOISE = math.sqrt(2 / math.pi)  # E|n| of normal noise n with rms 1


def chances_of_on(
    candidate: Tensor, beta1: Tensor, delta: Tensor, start: Tensor, noise: float
) -> Tensor:
    """Chance (T, batch, d) that each cell is on, with white noise new in every frame.

    candidate: before its relu, (T, batch, d); start: bits, (batch, d); noise: rms, in the unit of
    the candidates, above 0. The noise comes behind the relu, as in `ChipSettings`:

        P(set_t) = Phi((c_t - beta2) / noise),   P(keep_t) = Phi((c_t - beta1) / noise)
        p_t = P(set_t) + (P(keep_t) - P(set_t)) · p_{t-1}

    with Phi the normal distribution function. This is exact, since the draws of frames are
    independent and one draw meets both thresholds. A threshold of 0 or less is always exceeded.
    """
    candidate = torch.relu(candidate)

    def exceeds(threshold: Tensor) -> Tensor:
        chance = torch.special.ndtr((candidate - threshold) / noise)
        return torch.where(threshold > 0, chance, torch.ones_like(chance))

    sets = exceeds(beta1 + delta)
    holds = exceeds(beta1) - sets
    chances, chance = [], start
    for now, hold in zip(sets.unbind(), holds.unbind(), strict=True):
        chance = torch.addcmul(now, hold, chance)
        chances.append(chance)
    return torch.stack(chances)


def state_errors(
    candidate: Tensor, beta1: Tensor, delta: Tensor, alpha: Tensor, start: Tensor, noise: float
) -> Tensor:
    """Expected state error of each cell over the error of its candidate, (d,).

    Of cells with state currents alpha (d,), for the exact bits z of the same candidates and the
    chances p of `chances_of_on`; noise as there:

        alpha · mean |p_t - z_t| / (sqrt(2/pi) · noise)

    The mean of all cells is the inverse of the suppression that `kws_stream.studies.noise` has,
    but for candidates at 0, whose noise the relu halves, and errors that come from blocks before.
    """
    with torch.no_grad():
        bits = cells(candidate, beta1, delta, torch.ones_like(alpha), start)
    wrong = (chances_of_on(candidate, beta1, delta, start, noise) - bits).abs().mean((0, 1))
    return alpha * wrong / (MEAN_OF_NOISE * noise)
