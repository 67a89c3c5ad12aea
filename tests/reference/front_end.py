"""The front end in integers, one channel and one sample at a time: the equations of
docs/features.md in Python's own integers, which have no width to overflow."""

from collections.abc import Iterable, Sequence
from math import isqrt

from kws_stream.features.fixed_point import FixedBank, FixedConditioning


class Channel:
    """One channel: its band-pass, its envelope, its conditioning."""

    def __init__(self, bank: FixedBank, conditioning: FixedConditioning, c: int) -> None:
        self.taps: list[int] = bank.taps[c].tolist()
        self.before = int(bank.before[c])
        self.tap_shift = int(bank.tap_shift[c])
        self.turn: list[list[int]] = bank.turn[:, c].tolist()
        self.into: list[list[int]] = bank.into[:, c].tolist()
        self.into_shift = int(bank.into_shift[c])
        self.pole: list[int] = bank.pole[:, c].tolist()
        self.weights: list[int] = bank.weights.tolist()
        self.lowpass_gain = bank.lowpass_gain
        self.half_wave = bank.half_wave
        self.fixed = conditioning
        self.re = self.im = 0
        self.envelope = 0
        self.level = 0
        self.slow = [0] * len(conditioning.slow_gains)

    def output(self, x: Sequence[int], n: int, last: int) -> int:
        """(11): y_n of the block x, behind the sample `last`."""
        heard = sum(self.taps[n - k] * x[k] for k in range(n + 1))
        if n == 0:
            heard += self.before * last
        rung = (self.re * self.turn[0][n] >> 15) + (self.im * self.turn[1][n] >> 15)
        return (heard >> self.tap_shift) + rung

    def rectified(self, y: int) -> int:
        if self.half_wave:
            return max(y, 0)
        return y if y >= 0 else -1 - y

    def next_modes(self, x: Sequence[int]) -> tuple[int, int]:
        """(12): the mode after the block x."""
        a, b = self.pole
        added = [sum(w * v for w, v in zip(row, x, strict=True)) for row in self.into]
        re = (a * self.re - b * self.im + 2**21) >> 22
        im = (a * self.im + b * self.re + 2**21) >> 22
        return re + (added[0] >> self.into_shift), im + (added[1] >> self.into_shift)

    def frame(self, samples: Sequence[int], last: int) -> list[int]:
        """Features of one frame in steps: the channel, then its slow copies."""
        mean = 0
        for at in range(0, len(samples), 8):
            x = samples[at : at + 8]
            r = [self.rectified(self.output(x, n, last)) for n in range(8)]
            w = self.weights[at // 4 : at // 4 + 2]
            mean += (w[0] * sum(r[:4]) + w[1] * sum(r[4:]) + 2**31) >> 32
            self.re, self.im = self.next_modes(x)
            last = x[-1]
        self.envelope += self.lowpass_gain * (mean - (self.envelope >> 31))
        return self.condition(self.envelope >> 31)

    def condition(self, envelope: int) -> list[int]:
        fixed = self.fixed
        if self.level >> 31 == 0:
            self.level = max(self.level, fixed.start_root * isqrt(envelope << 16) << 15)
        self.level += fixed.agc_gain * (envelope - (self.level >> 31))
        ratio = (envelope << 24) // ((self.level >> 31) + fixed.floor)
        ratio = min(ratio, 2**35 - 1)
        value = isqrt((ratio + fixed.offset) << 16) - fixed.root_offset
        for s, gain in enumerate(fixed.slow_gains):
            self.slow[s] += gain * (value - (self.slow[s] >> 31))
        values = [value, *(slow >> 31 for slow in self.slow)]
        half = (1 << fixed.step_shift) // 2
        return [min((v + half) >> fixed.step_shift, fixed.feature_max) for v in values]


def features(
    bank: FixedBank, conditioning: FixedConditioning, samples: Iterable[int]
) -> list[list[int]]:
    """Features (frames, n_features) of 16-bit samples, in steps of the grid."""
    channels = [Channel(bank, conditioning, c) for c in range(bank.channels)]
    heard = [int(x) for x in samples]
    frames = []
    for start in range(0, len(heard) - bank.frame_samples + 1, bank.frame_samples):
        last = heard[start - 1] if start else 0
        found = [c.frame(heard[start : start + bank.frame_samples], last) for c in channels]
        frames.append([row[copy] for copy in range(len(found[0])) for row in found])
    return frames
