"""Training of a verifier's head: several small networks on the speech embedding, then one average.

Each network sees windows of 16 embeddings, and again and again those without the phrase that it
scores highest. What is kept is the moving average of its weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kws_stream.brief import changed
from kws_stream.errors import DataError
from kws_stream.settings import Count, NotNegative, Share, Whole, set_checked
from kws_stream.training.verifier_speech import Windows
from kws_stream.verifier.embedding import SIZE
from kws_stream.verifier.head import STEPS, TAPS, Head

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class HeadSettings:
    """seeds: networks in a head. batch: windows with the phrase in a step, three times as many
    without; own: how many of them are of its users' own voices, and as many are those that they
    called wrong, where there are any. dropped, lost: shares of hidden values and of the
    embedding's numbers left out. mined: every so many steps the highest-scoring windows are looked
    for among `looked` and the ones known.
    """

    seeds: Count = 3
    steps: Whole = 1500
    channels: Count = 32
    kept: Count = 24
    units: Count = 48
    learning_rate: NotNegative = 2e-3
    decay: NotNegative = 1e-2
    batch: Count = 32
    own: Whole = 12
    dropped: Share = 0.2
    lost: Share = 0.1
    smoothing: Share = 0.02
    average: Share = 0.998
    mined: Count = 200
    looked: Count = 6000
    hard: Count = 3000

    __repr__ = changed

    def __post_init__(self) -> None:
        set_checked(self, "verifier head")


DEFAULT = HeadSettings()


class _Network(nn.Module):
    def __init__(self, mean: Tensor, scale: Tensor, settings: HeadSettings, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.mean, self.scale = mean, scale
        self.settings = settings
        channels, kept = settings.channels, settings.kept
        self.first = nn.Conv1d(SIZE, channels, TAPS, padding=1)
        self.second = nn.Conv1d(channels, channels, TAPS, padding=1)
        self.kept = nn.Linear(channels, kept)
        self.hidden = nn.Linear(STEPS * kept, settings.units)
        self.last = nn.Linear(settings.units, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits (n,) of windows (n, 16, 96)."""
        x = ((windows - self.mean) / self.scale).transpose(1, 2)
        if self.training:  # whole numbers of the embedding, over all of the window
            x = functional.dropout1d(x, self.settings.lost)
        for layer in (self.first, self.second):
            x = self._thinned(functional.relu(layer(x)))
        x = self._thinned(functional.relu(self.kept(x.transpose(1, 2))).flatten(1))
        logits: Tensor = self.last(functional.relu(self.hidden(x)))[:, 0]
        return logits

    def _thinned(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.settings.dropped, self.training)


def train_head(
    windows: Windows,
    settings: HeadSettings = DEFAULT,
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: Head | None = None,
) -> Head:
    """A head of `settings.seeds` networks; progress hears of the steps done and of all.

    known: a head to begin with, whose number of networks and sizes are kept.

    Raises DataError without windows of each kind.
    """
    for kind in ("hits", "near", "others"):
        if not len(getattr(windows, kind)):
            raise DataError(f"verifier: need recordings to learn {kind} from, got none")
    everything = windows.embeddings
    mean = everything.mean(axis=0, dtype=np.float32)
    scale = everything.std(axis=0, dtype=np.float32) + np.float32(1e-3)
    if known is not None:
        settings = _as_known(settings, known)
        mean, scale = known.mean, known.scale
    networks = []
    for seed in range(settings.seeds):
        total = settings.seeds * settings.steps
        network = _Network(torch.tensor(mean), torch.tensor(scale), settings, seed)
        if known is not None:
            network.load_state_dict(_state(known, seed))
        for step in _trained(network, windows, settings, seed):
            progress(seed * settings.steps + step, total)
        networks.append(network)
    return _head(networks, mean, scale)


def _trained(
    network: _Network, windows: Windows, settings: HeadSettings, seed: int
) -> Iterator[int]:
    """Train a network, telling the number of each step that is done."""
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.decay
    )
    averages = [parameter.detach().clone() for parameter in network.parameters()]
    without = np.concatenate([windows.near, windows.others])
    hard: Rows = np.zeros(0, np.int64)
    count = settings.batch
    labels = torch.cat([torch.ones(count), torch.zeros(3 * count)])
    labels = labels * (1 - settings.smoothing) + settings.smoothing / 2
    for step in range(settings.steps):
        warm = min(1.0, (step + 1) / 100)
        for group in optimiser.param_groups:
            rate = settings.learning_rate * (0.5 + 0.5 * np.cos(np.pi * step / settings.steps))
            group["lr"] = warm * rate
        if step % settings.mined == settings.mined - 1:
            hard = _hardest(network, windows, without, hard, settings, rng)
        own, wrong = (settings.own * bool(len(rows)) for rows in (windows.own, windows.wrong))
        rows = np.concatenate(
            [
                rng.choice(windows.hits, count - own),
                rng.choice(windows.own, own) if own else windows.own,
                rng.choice(windows.others, count),
                rng.choice(windows.near, count // 2),
                rng.choice(hard if len(hard) else without, 2 * count - count // 2 - wrong),
                rng.choice(windows.wrong, wrong) if wrong else windows.wrong,
            ]
        )
        network.train()
        logits = network(torch.from_numpy(windows.at(rows)))
        loss = functional.binary_cross_entropy_with_logits(logits, labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        share = min(settings.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for average, parameter in zip(averages, network.parameters(), strict=True):
                average.lerp_(parameter, 1 - share)
        yield step + 1
    with torch.no_grad():
        for average, parameter in zip(averages, network.parameters(), strict=True):
            parameter.copy_(average)
    network.eval()


def _hardest(
    network: _Network,
    windows: Windows,
    without: Rows,
    known: Rows,
    settings: HeadSettings,
    rng: np.random.Generator,
) -> Rows:
    """The windows without the phrase that score highest, of some and of those known."""
    drawn = rng.choice(without, min(settings.looked, len(without)), replace=False)
    rows = np.unique(np.concatenate([drawn, known]))
    order = np.argsort(-logits_of([network], windows, rows), kind="stable")
    hardest: Rows = rows[order[: settings.hard]]
    return hardest


@torch.no_grad()
def logits_of(networks: list[_Network], windows: Windows, rows: Rows) -> NDArray[np.float32]:
    """The mean of the networks' logits at these rows."""
    parts: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    for at in range(0, len(rows), 2048):
        some = torch.from_numpy(windows.at(rows[at : at + 2048]))
        parts.append(torch.stack([network.eval()(some) for network in networks]).mean(0).numpy())
    return np.concatenate(parts)


def _head(networks: list[_Network], mean: NDArray[np.float32], scale: NDArray[np.float32]) -> Head:
    def stacked(get: Callable[[_Network], Any]) -> NDArray[np.float32]:
        return np.stack([get(one).detach().numpy() for one in networks])

    settings = networks[0].settings
    shape = (STEPS, settings.kept, settings.units)
    return Head(
        mean=mean,
        scale=scale,
        first=stacked(lambda one: one.first.weight.permute(2, 1, 0)),
        first_bias=stacked(lambda one: one.first.bias),
        second=stacked(lambda one: one.second.weight.permute(2, 1, 0)),
        second_bias=stacked(lambda one: one.second.bias),
        kept=stacked(lambda one: one.kept.weight.T),
        kept_bias=stacked(lambda one: one.kept.bias),
        hidden=stacked(lambda one: one.hidden.weight.T.reshape(shape)),
        hidden_bias=stacked(lambda one: one.hidden.bias),
        last=stacked(lambda one: one.last.weight[0]),
        last_bias=stacked(lambda one: one.last.bias[0]),
    )


def _as_known(settings: HeadSettings, head: Head) -> HeadSettings:
    seeds, channels = head.first_bias.shape
    kept, units = head.kept_bias.shape[1], head.hidden_bias.shape[1]
    return replace(settings, seeds=seeds, channels=channels, kept=kept, units=units)


def _state(head: Head, seed: int) -> dict[str, Tensor]:
    """The parameters of one of its networks: what `_head` reads, the other way."""
    flat = head.hidden[seed].reshape(-1, head.hidden.shape[3])
    arrays = {
        "first.weight": head.first[seed].transpose(2, 1, 0),
        "first.bias": head.first_bias[seed],
        "second.weight": head.second[seed].transpose(2, 1, 0),
        "second.bias": head.second_bias[seed],
        "kept.weight": head.kept[seed].T,
        "kept.bias": head.kept_bias[seed],
        "hidden.weight": flat.T,
        "hidden.bias": head.hidden_bias[seed],
        "last.weight": head.last[seed][None],
        "last.bias": head.last_bias[seed][None],
    }
    return {name: torch.tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}
