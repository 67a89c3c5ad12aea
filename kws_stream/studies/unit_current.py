"""What less current and less voltage save, and what the chip model says they cost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kws_stream import features as front_ends
from kws_stream import power
from kws_stream.bmru.chip import ChipSettings, extrapolations, simulate
from kws_stream.brief import brief
from kws_stream.detector import Detector, DetectorSettings, WakeEvent
from kws_stream.errors import InputError
from kws_stream.network import Trace
from kws_stream.packs import Pack
from kws_stream.plots import INK, SERIES, figure_file
from kws_stream.power.sweep import SUPPLIES_V, UNITS_NA, SweepPower, sweep

NEAR_S = 0.5  # an event of the chip is that of the exact network if no further from it


@dataclass(frozen=True)
class SweepPoint:
    """Power, and the typical chip against the exact network on the same sound.

    bits_equal, decisions_equal: shares of state bits, and of frames with the same highest logit.
    words: events of the exact network; found: of those, events of the chip, too; extra: others.
    beyond: what is outside the conditions that the chip model's numbers were fitted at.
    """

    power: SweepPower
    bits_equal: float
    decisions_equal: float
    words: int
    found: int
    extra: int
    beyond: tuple[str, ...]

    __repr__ = brief

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the power's fields beside the others."""
        return asdict(self.power) | {k: v for k, v in asdict(self).items() if k != "power"}


def unit_current(
    pack: Pack,
    samples: ArrayLike,
    units_na: Sequence[float] = UNITS_NA,
    supplies_v: Sequence[float] = SUPPLIES_V,
    seed: int = 0,
) -> tuple[SweepPoint, ...]:
    """Sweep a model over unit current and supply, on samples (n,) at its rate, full scale 1.0.

    The chip is the typical one, without mismatch, with shot noise in half a frame rate. Raises
    ParameterError for a current or supply outside the chip model's range, InputError for less
    sound than a frame.
    """
    front_end = front_ends.build(pack.features)
    frames = front_end.process(np.asarray(samples, np.float32))
    if not len(frames):
        raise InputError("sweep: need a frame of sound, got less; give more")
    frame_s = front_end.frame_s
    exact = pack.network.run(frames)
    words = _events(pack, exact, frame_s)
    points = []
    for at in sweep(power.estimate(pack.network, exact, frame_s=frame_s), units_na, supplies_v):
        settings = ChipSettings.typical(
            unit_na=at.unit_na,
            supply_v=at.supply_v,
            frame_s=frame_s,
            noise_bandwidth_hz=0.5 / frame_s,
        )
        trace = simulate(pack.network, frames, settings, seed)
        bits = [(a == b).ravel() for a, b in zip(trace.bits, exact.bits, strict=True)]
        same = trace.logits.argmax(axis=1) == exact.logits.argmax(axis=1)
        heard = _events(pack, trace, frame_s)
        found = sum(any(_is_same(word, event) for event in heard) for word in words)
        extra = sum(not any(_is_same(word, event) for word in words) for event in heard)
        points.append(
            SweepPoint(
                power=at,
                bits_equal=float(np.concatenate(bits).mean()) if bits else 1.0,
                decisions_equal=float(same.mean()),
                words=len(words),
                found=found,
                extra=extra,
                beyond=tuple(extrapolations(pack.network.parameters, settings)),
            )
        )
    return tuple(points)


def draw_sweep(points: Sequence[SweepPoint], path: Path) -> None:
    """Power, and agreement with the exact network, against the unit current; a figure's file."""
    supplies = sorted({point.power.supply_v for point in points})
    with figure_file(path, 9.0, 4.0) as figure:
        left, right = figure.subplots(1, 2)
        for supply, colour in zip(supplies, SERIES * len(supplies), strict=False):
            row = [point for point in points if point.power.supply_v == supply]
            units = [point.power.unit_na for point in row]
            name = f"{supply:g} V"
            left.plot(units, [p.power.core_nw for p in row], "o--", color=colour, label=name, ms=4)
            equal = [100 * point.bits_equal for point in row]
            right.plot(units, equal, "o--", color=colour, label=name, ms=4)
        for at in (point.power for point in points if not point.power.extrapolated):
            left.plot(at.unit_na, at.core_nw, "D", color=INK, ms=7, label="fitted", zorder=3)
        left.set_yscale("log")
        for axes in (left, right):
            axes.set_xscale("log")
            for axis in (axes.xaxis, *((axes.yaxis,) if axes is left else ())):
                axis.set_major_formatter("{x:g}")
            axes.set_xlabel("unit current, nA")
            axes.grid()
            axes.legend()
        left.set_ylabel("nW")
        left.set_title("Core power; dashed: extrapolated")
        right.set_ylabel("%")
        right.set_title("State bits as in the exact network")


def _events(pack: Pack, trace: Trace, frame_s: float) -> list[WakeEvent]:
    settings = DetectorSettings.from_dict(pack.detector)
    return Detector(settings, pack.classes, pack.keywords, frame_s).process(trace.logits)


def _is_same(word: WakeEvent, event: WakeEvent) -> bool:
    return word.keyword == event.keyword and abs(word.time_s - event.time_s) <= NEAR_S
