"""Random changes of envelopes, and the front end's conditioning, on whole batches in PyTorch.

Ranges at strength 1: speed 0.85..1.15, shift 100 ms, the channel axis stretched by 3 % and shifted
by half a channel (vocal tracts differ), level -16..+8 dB, spectral tilt 4 dB, and in all sequences
a noise floor of 1e-5..1e-3 of full scale. In shares of their own: noise at 3..43 dB under the peaks
of a sequence; masks of clips, up to 200 ms and up to three channels silent; quiet clips, 10 to
35 dB down.
"""

import math

import torch
from torch import Tensor

from kws_stream.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from kws_stream.features import FeatureSettings

NOISY = 0.7  # share of sequences at strength 1
HOP_S = HOP_SAMPLES / SAMPLE_RATE_HZ
SHIFT_S = 0.1
MASKED_HOPS, MASKED_CHANNELS = 20, 3  # at most
QUIET_DB = 10.0, 35.0


def _interpolate(values: Tensor, positions: Tensor, axis: int) -> Tensor:
    """`values` (n, hops, channels) at fractional `positions` (n, count) along axis 1 or 2."""
    below = positions.floor().long().clamp(0, values.shape[axis] - 2)
    fraction = positions - below
    shape = [len(values), 1, 1]
    shape[axis] = positions.shape[1]
    expanded = list(values.shape)
    expanded[axis] = positions.shape[1]
    index = below.view(shape).expand(expanded)
    fraction = fraction.view(shape)
    low, high = values.gather(axis, index), values.gather(axis, index + 1)
    return low + fraction * (high - low)


def _quiet(clips: Tensor) -> Tensor:
    """The quiet level (n, 1, 1) of clips: a tenth of what they hold lies below."""
    values = clips.flatten(1)
    return values.kthvalue(max(1, values.shape[1] // 10), dim=1).values[:, None, None]


def change_clips(
    clips: Tensor, strength: float, generator: torch.Generator, hop_s: float = HOP_S
) -> Tensor:
    """Clips (n, hops, channels) at other speeds, places, voices, levels and colours.

    hop_s: length of a hop.
    """
    n, hops, channels = clips.shape

    def uniform(*shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) * strength

    # what lies outside the clip is its own quiet level
    edge = _quiet(clips).expand(n, 1, channels)
    padded = torch.cat([edge, clips, edge], 1)
    middle = hops / 2
    times = (torch.arange(hops) - middle) * (1 + 0.15 * uniform(n, 1)) + middle
    times = (times + SHIFT_S / hop_s * uniform(n, 1) + 1).clamp(0, hops + 1)
    clips = _interpolate(padded, times, axis=1)
    places = torch.arange(channels) * (1 + 0.03 * uniform(n, 1)) + 0.5 * uniform(n, 1)
    clips = _interpolate(clips, places.clamp(0, channels - 1), axis=2)
    level_db = 12 * uniform(n, 1, 1) - 4 * strength
    tilt_db = 4 * uniform(n, 1, 1) * torch.linspace(-1, 1, channels)
    return clips * 10 ** ((level_db + tilt_db) / 20)


def mask(clips: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Clips (n, hops, channels) of which a share has a stretch and a band at their quiet level.

    SpecAugment's time and frequency masks (Park et al., arXiv:1904.08779), one of each.
    """
    n, hops, channels = clips.shape
    chosen = torch.rand(n, 1, generator=generator) < share

    def masked(length: int, most: int) -> Tensor:
        width = torch.randint(0, most + 1, (n, 1), generator=generator)
        start = (torch.rand(n, 1, generator=generator) * (length - width + 1)).long()
        place = torch.arange(length) - start
        return (place >= 0) & (place < width) & chosen

    silent = masked(hops, MASKED_HOPS)[:, :, None] | masked(channels, MASKED_CHANNELS)[:, None]
    return torch.where(silent, _quiet(clips), clips)


def quieten(clips: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Clips (n, hops, channels) of which a share is spoken softly, or far from the microphone."""
    n = len(clips)
    chosen = torch.rand(n, 1, 1, generator=generator) < share
    down_db = QUIET_DB[0] + (QUIET_DB[1] - QUIET_DB[0]) * torch.rand(n, 1, 1, generator=generator)
    return torch.where(chosen, clips * 10 ** (-down_db / 20), clips)


def add_noise(sequences: Tensor, noise: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Sequences (n, hops, channels), a share of them with stretches of `noise` (hops, channels).

    All of them get a noise floor.
    Envelopes of independent sounds add in power, so amplitudes add as root sum of squares.
    """
    n, hops, channels = sequences.shape
    starts = torch.randint(0, len(noise) - hops, (n,), generator=generator)
    added = noise[starts[:, None] + torch.arange(hops)]
    peak = sequences.flatten(1).kthvalue(int(0.97 * hops * channels), dim=1).values[:, None, None]
    level = added.square().mean((1, 2), keepdim=True).sqrt() + 1e-6
    below_db = 3 + 40 * torch.rand(n, 1, 1, generator=generator)
    noisy = torch.rand(n, 1, 1, generator=generator) < share
    added = added * peak / level * 10 ** (-below_db / 20) * noisy
    floor = 10 ** (2 * torch.rand(n, 1, 1, generator=generator) - 5)
    floor = floor * (0.7 + 0.6 * torch.rand(n, hops, channels, generator=generator))
    return (sequences.square() + added.square() + floor.square()).sqrt()


def condition(envelopes: Tensor, settings: FeatureSettings) -> Tensor:
    """Features (frames, n, n_features) of envelopes (n, hops, channels), time first.

    The equations of `kws_stream.features.conditioning`, in float32.
    """
    hops = settings.hops_per_frame
    frames = envelopes[:, hops - 1 :: hops].transpose(0, 1).contiguous()
    silent = frames.cumsum(0) == 0  # before its first sound a stream has no level
    first = frames.gather(0, silent.sum(0, keepdim=True).clamp(max=len(frames) - 1))
    start = (settings.start_gain * settings.start_level * first).sqrt()
    heard = torch.where(silent, start, frames)
    level = _low_pass(heard, settings.frame_s / settings.agc_s, start[0])
    fast = (frames / (level + settings.floor) + settings.offset).sqrt() - math.sqrt(settings.offset)
    copies = [
        _low_pass(fast, settings.frame_s / slow_s, torch.zeros_like(fast[0]))
        for slow_s in settings.slow_s
    ]
    features = torch.cat([fast, *copies], dim=-1)
    return (torch.round(features / settings.step) * settings.step).clamp(max=settings.high)


def _low_pass(values: Tensor, ratio: float, state: Tensor) -> Tensor:
    """One-pole low-pass along the first axis; ratio: frame period over time constant.

    As one product with the filter's impulse response: a loop over time costs ten times more.
    """
    keep = math.exp(-ratio)
    time = torch.arange(len(values), dtype=values.dtype, device=values.device)
    lag = time[:, None] - time
    response = torch.where(lag >= 0, (1 - keep) * keep ** lag.clamp(min=0), 0.0)
    out = (response @ values.flatten(1)).view(values.shape)
    return out + (keep ** (time + 1)).view(-1, *[1] * state.ndim) * state
