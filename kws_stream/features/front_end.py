"""The streaming front end: samples in, frames of features on the chip's input grid out."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kws_stream.arguments import instance_of
from kws_stream.brief import changed
from kws_stream.errors import InputError, ParameterError, did_you_mean
from kws_stream.features.conditioning import SILENCE, Conditioning, ConditioningSettings
from kws_stream.features.filterbank import (
    MEL_CORNER_HZ,
    Filterbank,
    design_bank,
    samples_to_codes,
    spaced_centres,
)
from kws_stream.features.fixed_point import (
    BLOCK,
    FULL_SCALE,
    FixedBank,
    FixedConditioning,
    fixed_conditioning,
)
from kws_stream.features.integers import IntegerConditioning
from kws_stream.features.mel import MelBands, MelState, mel_edges

Array = NDArray[np.float64]

MOST_SLOW = 16  # slow copies of a channel; a manifest has room for hundreds of thousands
RATES_HZ = 10, 192_000
MOST_HOP_SAMPLES = 4096  # of eight hops the engine counts the samples in 16 bits
LEAST = 1e-6  # of what divides: below lies nothing that a filter can be made of
MOST_STEPS = 2**31  # of the input grid, as in the integers of the front end
OF_RATE = ("rate_hz", "hop_samples", "corner_hz")  # in a manifest where they are not of speech


@dataclass(frozen=True)
class FeatureSettings(ConditioningSettings):
    """Settings of a front end: the bank's here, the rest in `ConditioningSettings`.

    kind: "analog", a bank of second-order band-passes, or "mel", a windowed FFT for 16 kHz. The
    bank's centres are evenly spaced from low_hz to high_hz on a scale that is linear far below
    corner_hz and logarithmic far above it; 700 Hz is the mel scale. selectivity: quality factor
    times the spacing of neighbouring centres over the centre frequency; 1 makes the bandwidth one
    spacing. preemphasis, lowpass_s, half_wave and corner_hz serve the bank alone.
    """

    kind: str = "analog"
    channels: int = 16
    low_hz: float = 120.0
    high_hz: float = 6500.0
    selectivity: float = 1.0
    preemphasis: float = 0.9
    lowpass_s: float = 0.012
    half_wave: bool = False
    corner_hz: float = MEL_CORNER_HZ

    __repr__ = changed

    def __post_init__(self) -> None:
        super().__post_init__()
        for good, name, need in self._checks():
            if not good:
                raise ParameterError(f"features {name}: {need}, got {getattr(self, name)!r:.200}")

    def _checks(self) -> Iterator[tuple[bool, str, str]]:
        """Whether a setting is good, its name and what it needs; each relies on those before it."""
        low, high = RATES_HZ
        yield low <= self.rate_hz <= high, "rate_hz", f"need {low} to {high} Hz"
        whole_blocks = self.hop_samples % BLOCK == 0
        yield (
            whole_blocks and BLOCK <= self.hop_samples <= MOST_HOP_SAMPLES,
            "hop_samples",
            f"need a multiple of {BLOCK} up to {MOST_HOP_SAMPLES}",
        )
        yield LEAST <= self.corner_hz <= high, "corner_hz", f"need {LEAST:g} to {high} Hz"
        yield self.kind in ("analog", "mel"), "kind", 'need "analog" or "mel"'
        of_speech = all(getattr(self, name) == getattr(type(self), name) for name in OF_RATE)
        yield (
            self.kind == "analog" or of_speech,
            "kind",
            f'need "analog" where {", ".join(OF_RATE)} are set',
        )
        yield 1 <= self.channels <= 256, "channels", "need 1 to 256"
        yield (
            LEAST <= self.low_hz < self.high_hz / (1 + LEAST),
            "low_hz",
            f"need {LEAST:g} Hz or more, and less than high_hz by a millionth of it",
        )
        yield (
            self.high_hz < self.rate_hz / 2,
            "high_hz",
            f"need less than {self.rate_hz / 2:g} Hz, half of rate_hz",
        )
        yield LEAST <= self.selectivity <= 100, "selectivity", f"need {LEAST:g} to 100"
        yield 0 <= self.preemphasis <= 1, "preemphasis", "need 0 to 1"
        yield LEAST <= self.lowpass_s <= 10, "lowpass_s", f"need {LEAST:g} to 10 s"
        yield 1 <= self.hops_per_frame <= 8, "hops_per_frame", "need 1 to 8"
        yield 0 < self.agc_s <= 1000, "agc_s", "need 0 to 1000 s"
        yield self.floor > 0, "floor", "need more than 0"
        yield self.start_level >= 0, "start_level", "need 0 or more"
        yield self.offset >= 0, "offset", "need 0 or more"
        yield len(self.slow_s) <= MOST_SLOW, "slow_s", f"need {MOST_SLOW} of them at most"
        yield all(0 < s <= 1000 for s in self.slow_s), "slow_s", "need 0 to 1000 s each"
        power = self.step > 0 and np.frexp(self.step)[0] == 0.5
        yield bool(power), "step", "need a power of two"
        steps = self.high / self.step if self.high < MOST_STEPS * self.step else 0.5
        yield (
            steps >= 1 and steps % 1 == 0,
            "high",
            f"need whole steps of {self.step:g}, less than {MOST_STEPS}",
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FeatureSettings":
        """Settings from a manifest's numbers; unknown names and wrong types are refused."""
        instance_of(values, Mapping, "features", "a mapping of settings")
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise ParameterError(
                    f"features: unknown setting {name!r}; know {sorted(known)}"
                    f"{did_you_mean(str(name), known)}"
                )
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """For a manifest; `from_dict` gives it back."""
        values = asdict(self) | {"slow_s": list(self.slow_s)}
        for name in OF_RATE:
            if values[name] == getattr(type(self), name):
                del values[name]
        return values

    @property
    def n_features(self) -> int:
        """Features a frame: the channels and each slow copy of them."""
        return self.channels * (1 + len(self.slow_s))

    @property
    def start_gain(self) -> float:
        """Envelope of a steady sound over what its first frame shows of it, cut to 1 to 2.

        The bank's low-pass has not settled by then.
        """
        if self.kind == "mel":
            return 1.0
        return min(2.0, float(-1 / np.expm1(-self.frame_s / self.lowpass_s)))

    @property
    def input_grid(self) -> tuple[float, float, float]:
        """(step, low, high) of what the front end gives."""
        return self.step, 0.0, self.high


class _State(Protocol):
    @property
    def envelope(self) -> Array: ...


class Bank(Protocol):
    """An envelope extractor: pure steps of one frame, for one stream or an array of them."""

    channels: int
    frame_samples: int

    def start(self, *streams: int) -> Any: ...

    def step(self, samples: Array, state: Any) -> _State: ...


def bands_of(settings: FeatureSettings) -> tuple[Array, Array]:
    """Centres in Hz and quality factors of the bank's band-passes, (channels,) each."""
    centres = spaced_centres(
        settings.channels, settings.low_hz, settings.high_hz, settings.corner_hz
    )
    spacing = np.gradient(centres) if settings.channels > 1 else centres
    return centres, settings.selectivity * centres / spacing


def centres_of(settings: FeatureSettings) -> Array:
    """The frequencies (channels,) in Hz to which the channels of either kind of bank belong."""
    if settings.kind == "mel":
        return mel_edges(settings.channels, settings.low_hz, settings.high_hz)[1:-1]
    return bands_of(settings)[0]


def build_bank(settings: FeatureSettings, hops_per_frame: int | None = None) -> Bank:
    """The envelope extractor that `settings` describe, with their frames or others."""
    frame_samples = (hops_per_frame or settings.hops_per_frame) * settings.hop_samples
    if settings.kind == "mel":
        return MelBands(settings.channels, settings.low_hz, settings.high_hz, frame_samples)
    return _filterbank(settings, frame_samples)


def _filterbank(settings: FeatureSettings, frame_samples: int) -> Filterbank:
    return Filterbank(
        design_bank(
            *bands_of(settings),
            settings.preemphasis,
            settings.lowpass_s,
            settings.half_wave,
            frame_samples,
            settings.rate_hz,
        )
    )


def _fixed_conditioning(settings: FeatureSettings, bank: FixedBank) -> FixedConditioning:
    return fixed_conditioning(
        bank,
        frame_s=settings.frame_s,
        agc_s=settings.agc_s,
        slow_s=settings.slow_s,
        start_level=settings.start_gain * settings.start_level,
        floor=settings.floor,
        offset=settings.offset,
        step=settings.step,
        high=settings.high,
    )


def fixed_front_end(settings: FeatureSettings) -> tuple[FixedBank, FixedConditioning]:
    """The integers that define the front end of `settings`, kind "analog".

    Raises ParameterError for a mel front end, which has none, and for settings that integers have
    no room for.
    """
    if settings.kind != "analog":
        raise ParameterError(
            "fixed-point front end: need the analog filterbank, got a mel front end; use a model "
            "trained on the filterbank"
        )
    bank = _filterbank(settings, settings.frame_samples).fixed
    return bank, _fixed_conditioning(settings, bank)


class _AnalogFrames:
    """The filterbank and its conditioning, a frame at a time."""

    def __init__(self, settings: FeatureSettings) -> None:
        self._bank = _filterbank(settings, settings.frame_samples)
        fixed = _fixed_conditioning(settings, self._bank.fixed)
        self._conditioning = IntegerConditioning(fixed, self._bank.channels, settings.step)
        self.reset()

    def reset(self) -> None:
        self._state = self._bank.start()
        self._levels = self._conditioning.start()

    def frame(self, codes: Array, out: Array) -> None:
        self._state = self._bank.step_codes(codes, self._state)
        self._levels = self._conditioning.step(self._state.codes, self._levels, out)


class _MelFrames:
    """The mel bands and their conditioning, a frame at a time."""

    def __init__(self, settings: FeatureSettings) -> None:
        self._bank = MelBands(
            settings.channels,
            settings.low_hz,
            settings.high_hz,
            settings.frame_samples,
        )
        self._conditioning = Conditioning(settings, self._bank.channels)
        self.reset()

    def reset(self) -> None:
        self._state: MelState = self._bank.start()
        self._levels = self._conditioning.start()

    def frame(self, codes: Array, out: Array) -> None:
        self._state = self._bank.step(codes / FULL_SCALE, self._state)
        if self._state.envelope.max() < SILENCE:
            self._levels = self._levels.without_traces()
        self._levels = self._conditioning.step(self._state.envelope, self._levels, out)


class FrontEnd:
    """Samples in, features out; the same bits however the stream is cut.

    Samples are rounded to 16 bits. Work is aligned to frames inside; samples that do not fill a
    frame yet wait for the next call.
    """

    def __init__(self, settings: FeatureSettings | None = None) -> None:
        self.settings = FeatureSettings() if settings is None else settings
        instance_of(self.settings, FeatureSettings, "settings", "FeatureSettings")
        frames = _MelFrames if self.settings.kind == "mel" else _AnalogFrames
        self._frames: _AnalogFrames | _MelFrames = frames(self.settings)
        self.n_features = self.settings.n_features
        self.frame_s = self.settings.frame_s
        self._frame_samples = self.settings.frame_samples
        self._no_frames = np.empty((0, self.n_features))
        self.reset()

    def reset(self) -> None:
        """Back to the start: equal to a new object in every bit."""
        self._frames.reset()
        self._samples = np.zeros(1 + self._frame_samples)  # last sample, frame filling up
        self._filled = 1

    def process(self, block: NDArray[np.floating]) -> Array:
        """Frames (t, n_features) that the samples (n,) complete; full scale is 1.0.

        Raises InputError for integer samples, other shapes, NaN and infinity.
        """
        if block.ndim != 1 or block.dtype.kind != "f" or not np.isfinite(block).all():
            raise InputError(
                "front end: need finite mono float samples of shape (n,), "
                f"got {block.dtype} of shape {block.shape}; see kws_stream.audio.to_float32"
            )
        return self.process_codes(samples_to_codes(block))

    def process_codes(self, block: NDArray[np.int16] | Array) -> Array:
        """As `process`, of samples that are 16-bit integers, in whatever type."""
        samples, filled = self._samples, self._filled
        if filled + len(block) < len(samples):  # half of all 10 ms blocks, at 20 ms frames
            samples[filled : filled + len(block)] = block
            self._filled = filled + len(block)
            return self._no_frames
        frames = (filled - 1 + len(block)) // self._frame_samples
        features = np.empty((frames, self.n_features))
        used = 0
        for row in features:
            take = len(samples) - filled
            samples[filled:] = block[used : used + take]
            used += take
            self._frames.frame(samples, row)
            samples[0] = samples[-1]
            filled = 1
        left = len(block) - used
        samples[filled : filled + left] = block[used:]
        self._filled = filled + left
        return features
