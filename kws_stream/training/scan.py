"""The cell's recurrence for training: exact forward, surrogate gradient, cumulative annealing.

Cumulative form of arXiv:2605.11855, with set_t = H(c_t - beta2) and keep_t = H(c_t - beta1):

    hold_t = keep_t - set_t
    a_t = hold_t + (1 - hold_t) · eps
    s_t = a_t · s_{t-1} + set_t,   h_t = alpha · s_t

At eps = 0 this is exactly the cell; eps > 0 lets the gradient pass a reset. The step's derivative
is replaced by 1 / (1 + (pi · x · slope)^2), the surrogate of arXiv:2605.15216.

On a processor one compiled loop does the whole sequence, which halves the time of a training step
against the same in PyTorch operations; those serve every other device.
"""

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(candidate, beta1, delta, alpha, start, eps, states, out):  # type: ignore[no-untyped-def]
    frames, batch, cells = candidate.shape
    zero, one, eps = np.float32(0), np.float32(1), np.float32(eps)
    for t in range(frames):
        previous = states[t - 1] if t > 0 else start
        for b in range(batch):
            for i in range(cells):
                above = max(candidate[t, b, i], zero) - beta1[i]
                sets = above >= delta[i]
                keep = one if above >= zero and not sets else eps
                state = keep * previous[b, i] + (one if sets else zero)
                states[t, b, i] = state
                out[t, b, i] = alpha[i] * state


@njit(cache=True, nogil=True, error_model="numpy")
def _backward(  # type: ignore[no-untyped-def]
    grad_out, candidate, beta1, delta, alpha, start, states, eps, scale, grad_candidate, grad_cells
):
    frames, batch, cells = candidate.shape
    zero, one, scale = np.float32(0), np.float32(1), np.float32(scale)
    passes, eps = np.float32(1 - eps), np.float32(eps)
    later = np.zeros((batch, cells), np.float32)  # gradient that comes back from frame t + 1
    for t in range(frames - 1, -1, -1):
        previous = states[t - 1] if t > 0 else start
        for b in range(batch):
            for i in range(cells):
                above = max(candidate[t, b, i], zero) - beta1[i]
                over = above - delta[i]
                grad = later[b, i] + alpha[i] * grad_out[t, b, i]
                through = grad * previous[b, i] * passes
                x, y = scale * above, scale * over
                set_grad = (grad - through) / (one + y * y)
                total = through / (one + x * x) + set_grad
                grad_cells[0, i] -= total
                grad_cells[1, i] -= set_grad
                grad_cells[2, i] += grad_out[t, b, i] * states[t, b, i]
                grad_candidate[t, b, i] = total if candidate[t, b, i] > zero else zero
                later[b, i] = grad if above >= zero and over < zero else eps * grad


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


class _CompiledCells(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        candidate: Tensor,
        beta1: Tensor,
        delta: Tensor,
        alpha: Tensor,
        start: Tensor,
        eps: float,
        slope: float,
    ) -> Tensor:
        candidate = candidate.contiguous()
        states, out = torch.empty_like(candidate), torch.empty_like(candidate)
        inputs = _arrays(candidate, beta1, delta, alpha, start)
        _forward(*inputs, eps, *_arrays(states, out))
        ctx.save_for_backward(candidate, beta1, delta, alpha, start, states)
        ctx.eps, ctx.slope = eps, slope
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad_candidate = torch.empty_like(ctx.saved_tensors[0])
        grad_cells = grad_candidate.new_zeros(3, grad_candidate.shape[-1])
        inputs = _arrays(grads[0], *ctx.saved_tensors)
        outputs = _arrays(grad_candidate, grad_cells)
        _backward(*inputs, ctx.eps, math.pi * ctx.slope, *outputs)
        return grad_candidate, *grad_cells, None, None, None


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


def cells(
    candidate: Tensor,
    beta1: Tensor,
    delta: Tensor,
    alpha: Tensor,
    start: Tensor,
    eps: float = 0.0,
    slope: float = 1.0,
    compiled: bool | None = None,
) -> Tensor:
    """State currents h (T, batch, d) from candidates before their relu, (T, batch, d).

    start: (batch, d) bits; beta1, delta, alpha: (d,). With eps = 0 h is alpha times the bits of
    `kws_stream.bmru.sequence`. compiled: by default on a processor, in float32.
    """
    if compiled is None:
        compiled = candidate.device.type == "cpu" and candidate.dtype == torch.float32
    if compiled:
        function: Any = _CompiledCells.apply
        result: Tensor = function(candidate, beta1, delta, alpha, start, eps, slope)
        return result
    function = _Scan.apply
    states: Tensor = function(torch.relu(candidate), beta1, delta, start, eps, slope)
    return alpha * states
