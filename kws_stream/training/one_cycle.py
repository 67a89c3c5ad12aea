"""Steps of AdamW with a learning rate that rises and falls once."""

import torch
from torch import Tensor, nn


class OneCycle:
    """An optimiser and its schedule, for `steps` steps; rise: the share of them with a rising rate.

    longest: gradients are cut to this length; None for as they are. momentum: it falls where the
    rate rises.
    """

    def __init__(
        self,
        network: nn.Module,
        rate: float,
        steps: int,
        *,
        decay: float,
        rise: float = 0.15,
        longest: float | None = 1.0,
        momentum: bool = True,
    ) -> None:
        self._network, self._longest = network, longest
        self._optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            rate,
            total_steps=steps + 1,
            pct_start=rise,
            cycle_momentum=momentum,
        )

    def step(self, loss: Tensor) -> float:
        """Go one step down a loss; returns its value."""
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        if self._longest is not None:
            nn.utils.clip_grad_norm_(self._network.parameters(), self._longest)
        self._optimiser.step()
        self._schedule.step()
        return loss.item()
