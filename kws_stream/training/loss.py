"""The loss of logits against labels and a teacher."""

import torch
from torch import Tensor
from torch.nn import functional

from kws_stream.training.recipe import Recipe


def distilled(decisions: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Divergence (joined, batch) of decisions from a teacher's logits, (joined, batch, K) each.

    Both softened by the temperature, times its square to keep the gradient's size
    (arXiv:1503.02531).
    """
    own, other = ((x / temperature).log_softmax(-1) for x in (decisions, taught))
    divergence = functional.kl_div(own, other, reduction="none", log_target=True)
    return temperature**2 * divergence.sum(-1)


def adjusted(logits: Tensor, class_shares: Tensor, balance: float) -> Tensor:
    """Logits (..., K) as the loss takes them: what is heard often gets its advantage there.

    Logit adjustment, equation 10 of Menon et al., arXiv:2007.07314: with balance 1 the network's
    own logits are left without the classes' shares (K,) in training, and decide as if all classes
    were equally likely. A class that is never heard counts as heard once in a thousand times.
    """
    return logits + balance * class_shares.clamp(min=1e-3).log()


def sequence_loss(
    logits: Tensor, labels: Tensor, recipe: Recipe, taught: Tensor | None = None
) -> Tensor:
    """Loss of logits (T, batch, K) of joined clips with labels (batch, joined).

    The decision's own loss: cross-entropy of the mean logits over decision_s of each clip; with a
    teacher's logits `taught` (joined, batch, K), `distilled` takes a share of it, where they are
    not NaN. And for
    windows of the same length that end between decisions: minus the log of the probability that is
    left to the clip's class, the class before it, and the classes that are no keyword.
    """
    batch, joined = labels.shape
    classes = logits.shape[-1]
    per_clip = len(logits) // joined
    start, stop = (round(s / recipe.clip_s * per_clip) for s in recipe.decision_s)
    decisions = logits.view(joined, per_clip, batch, classes)[:, start:stop].mean(1)
    of_clips = functional.cross_entropy(
        decisions.permute(0, 2, 1),
        labels.t(),
        label_smoothing=recipe.label_smoothing,
        reduction="none",
    )
    if taught is not None:
        share = recipe.teacher_weight * (~taught[..., 0].isnan()).float()
        divergence = distilled(decisions, taught.nan_to_num(), recipe.temperature)
        of_clips = (1 - share) * of_clips + share * divergence
    loss = of_clips.mean()
    if not recipe.between_weight:
        return loss
    window = stop - start
    sums = torch.cat([logits.new_zeros(1, batch, classes), logits.cumsum(0)])
    ends = torch.arange(window, len(logits) + 1, max(1, per_clip // 5))
    ends = ends[ends % per_clip != stop % per_clip]
    posteriors = ((sums[ends] - sums[ends - window]) / window).log_softmax(-1)
    here = (ends // per_clip).clamp(max=joined - 1)
    allowed = torch.zeros_like(posteriors, dtype=torch.bool)
    for clip in (here, (here - 1).clamp(min=0)):
        allowed.scatter_(2, labels.t()[clip][..., None], True)
    for index, name in enumerate(recipe.classes):
        if name not in recipe.keywords:
            allowed[..., index] = True
    between = posteriors.masked_fill(~allowed, -torch.inf).logsumexp(-1)
    return loss - recipe.between_weight * between.mean()
