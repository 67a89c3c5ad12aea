"""The cell's recurrence for training: exact forward, surrogate gradient, cumulative annealing.

Cumulative form of arXiv:2605.11855, with set_t = H(c_t - beta2) and keep_t = H(c_t - beta1):

    hold_t = keep_t - set_t
    a_t = hold_t + (1 - hold_t) · eps
    s_t = a_t · s_{t-1} + set_t

At eps = 0 this is exactly the cell; eps > 0 lets the gradient pass a reset. The step's derivative
is replaced by 1 / (1 + (pi · x · slope)^2), the surrogate of arXiv:2605.15216.

One autograd function for the whole sequence, time first: a Python loop through autograd nodes
costs several times more.
"""

import math
from typing import Any

import torch
from torch import Tensor


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        candidate: Tensor,
        beta1: Tensor,
        delta: Tensor,
        start: Tensor,
        eps: float,
        slope: float,
    ) -> Tensor:
        above = candidate - beta1
        sets = (above >= delta).to(candidate.dtype)
        decay = ((above >= 0).to(candidate.dtype) - sets) * (1 - eps) + eps
        states = torch.empty_like(candidate)
        state = start
        for t in range(len(candidate)):
            state = torch.addcmul(sets[t], decay[t], state, value=1.0, out=states[t])
        ctx.save_for_backward(above, delta, decay, states, start)
        ctx.eps, ctx.slope = eps, slope
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        above, delta, decay, states, start = ctx.saved_tensors
        grad = grads[0].clone()
        for t in range(len(grad) - 2, -1, -1):
            grad[t].addcmul_(decay[t + 1], grad[t + 1])
        through_decay = torch.empty_like(grad)
        torch.mul(grad[1:], states[:-1], out=through_decay[1:])
        torch.mul(grad[0], start, out=through_decay[0])
        through_decay *= 1 - ctx.eps
        scale = math.pi * ctx.slope
        keep_grad = through_decay / (1 + (scale * above).square())
        set_grad = (grad - through_decay) / (1 + (scale * (above - delta)).square())
        candidate_grad = keep_grad + set_grad
        axes = tuple(range(grad.ndim - 1))
        return candidate_grad, -candidate_grad.sum(axes), -set_grad.sum(axes), None, None, None


def scan(
    candidate: Tensor,
    beta1: Tensor,
    delta: Tensor,
    start: Tensor,
    eps: float = 0.0,
    slope: float = 1.0,
) -> Tensor:
    """States (T, batch, d) from candidates (T, batch, d); start (batch, d), beta1 and delta (d,).

    With eps = 0 the states are the bits of `kws_stream.bmru.sequence` as 0.0 and 1.0.
    """
    result: Tensor = _Scan.apply(candidate, beta1, delta, start, eps, slope)  # type: ignore[no-untyped-call]
    return result
