"""One self-contained HTML page about a session: what was heard, and what it would have cost.

Needs Matplotlib (extra `report`). What is remembered of a session is bounded: beyond 2,000 columns
neighbouring ones are joined, so that an hour is drawn as finely as a page can show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws_stream import __version__
from kws_stream.brief import brief
from kws_stream.detector import WakeEvent
from kws_stream.evaluation.report.figures import ACCENT, INK, SERIES, as_html, drawing
from kws_stream.evaluation.report.html import Section, page, paragraph, table, text, tiles
from kws_stream.features import FeatureSettings, centres_of
from kws_stream.names import counted
from kws_stream.parameters import FloatArray
from kws_stream.pipeline import KeywordSpotter, Observation
from kws_stream.plots import check_matplotlib
from kws_stream.power import PowerReport
from kws_stream.power.by_activity import frame_power

COLUMNS = 2000
MOST_EVENTS = 2000
DRAWN_EVENTS = 60  # with their names
DRAWN_STREAMS = 20
_LINES = 8  # scores that are drawn at least; those of words that fired always are
_LEGEND_ROWS = 10
_STROKES = ("-", "--", ":", "-.")  # of keywords beyond the colours


@dataclass(frozen=True)
class StreamLog:
    """One stream. heat (n, channels): loudest, scores (n, K): highest, power (n, 2): mean of cells
    and feedforward in nW, in columns of column_s. events: the first of them; fired: the keywords of
    all.
    """

    name: str
    seconds: float
    column_s: float
    heat: FloatArray
    scores: FloatArray
    power: FloatArray
    events: tuple[WakeEvent, ...]
    event_count: int
    fired: frozenset[str]

    __repr__ = brief


class SessionLog:
    """A watcher of a spotter (as of `kws_stream.live`), for one report over all its streams."""

    def __init__(self, spotter: KeywordSpotter) -> None:
        self._spotter = spotter
        self._parameters = spotter.pack.network.parameters
        self._channels = FeatureSettings.from_dict(spotter.pack.features).channels
        self.streams: list[StreamLog] = []
        self.omitted = 0
        self._begin("")

    def begin(self, name: str) -> None:
        """A new stream of this name; what the one before had is closed."""
        self.finish()
        self._begin(name)

    def _begin(self, name: str) -> None:
        self._name = name
        self._size = 1  # frames a column
        self._columns: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self._open: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self._events: list[WakeEvent] = []
        self._event_count = 0
        self._fired: set[str] = set()
        self._frames = 0

    def reset(self) -> None:
        """A new stream begins, of the same name."""
        self.begin(self._name)

    def hear(self, samples: NDArray[np.float32], seen: Sequence[Observation]) -> None:
        """What the spotter made of some samples."""
        for piece in seen:
            trace = piece.trace
            power = frame_power(self._parameters, trace.inputs, trace.candidates, trace.states)
            if len(power) != trace.frames:  # a network without cells
                power = np.zeros((trace.frames, 2))
            features = piece.features[:, : self._channels]
            for frame in zip(features, piece.smoothed, power, strict=True):
                self._add(frame)
            self._event_count += len(piece.events)
            self._fired |= {event.keyword for event in piece.events}
            self._events += piece.events[: MOST_EVENTS - len(self._events)]

    def _add(self, frame: tuple[FloatArray, FloatArray, FloatArray]) -> None:
        self._frames += 1
        self._open.append(frame)
        if len(self._open) < self._size:
            return
        self._columns.append(_joined(self._open))
        self._open = []
        if len(self._columns) >= 2 * COLUMNS:
            pairs = zip(self._columns[::2], self._columns[1::2], strict=True)
            self._columns = [_joined(pair) for pair in pairs]
            self._size *= 2

    def finish(self) -> None:
        """The stream is over."""
        if not self._frames:
            return
        if len(self.streams) >= DRAWN_STREAMS:
            self.omitted += 1
        else:
            columns = [*self._columns, *([_joined(self._open)] if self._open else [])]
            heat, scores, power = (np.array(part) for part in zip(*columns, strict=True))
            self.streams.append(
                StreamLog(
                    name=self._name,
                    seconds=self._frames * self._spotter.frame_s,
                    column_s=self._size * self._spotter.frame_s,
                    heat=heat,
                    scores=scores,
                    power=power,
                    events=tuple(self._events),
                    event_count=self._event_count,
                    fired=frozenset(self._fired),
                )
            )
        self._begin(self._name)


def _joined(
    parts: Sequence[tuple[FloatArray, FloatArray, FloatArray]],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    heat, scores, power = (np.array(part) for part in zip(*parts, strict=True))
    return heat.max(axis=0), scores.max(axis=0), power.mean(axis=0)


def render_session(
    log: SessionLog, spotter: KeywordSpotter, power: PowerReport, command: str = ""
) -> str:
    """The page as HTML. power: over all streams. command: how it was made.

    Raises MissingExtraError without Matplotlib.
    """
    check_matplotlib("a report")
    log.finish()
    seconds = sum(stream.seconds for stream in log.streams)
    count = sum(stream.event_count for stream in log.streams)
    sections = [Section("Summary", _summary(log, power, count))]
    for stream in log.streams:
        name = stream.name if len(log.streams) > 1 else "What was heard"
        sections.append(Section(name, _stream(stream, spotter)))
    sections.append(Section("Power, energy and battery life", _power(power)))
    footer = f"<p>kws-stream {__version__}, model {text(spotter.pack.name)} "
    footer += f"{text(spotter.pack.version)}.</p>"
    if command:
        footer += f"<p><code>{text(command)}</code></p>"
    names = log.streams[0].name if len(log.streams) == 1 else f"{len(log.streams)} recordings"
    subtitle = f"{names}; {seconds:.1f} s heard, {counted(count, 'event')}"
    return page(f"{spotter.pack.name}: session", subtitle, sections, footer)


def _summary(log: SessionLog, power: PowerReport, count: int) -> str:
    seconds = power.seconds
    energy = power.energy["core"].per_second_nj * seconds
    shown = tiles(
        [
            ("heard", _duration(seconds), _streams(len(log.streams) + log.omitted)),
            ("events", str(count), f"{3600 * count / seconds:.0f} an hour" if seconds else ""),
            ("core, mean", _nano(power.core.typical, "W"), "simulated"),
            ("energy of the core", _nano(energy, "J"), "simulated"),
        ]
    )
    if log.omitted:
        shown += paragraph(f"Note: {log.omitted} further recordings are counted, not drawn.")
    return shown


def _streams(count: int) -> str:
    return "in one stream" if count == 1 else f"in {count} streams"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"


def _nano(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    for factor, prefix in ((1e-6, "m"), (1e-3, "µ"), (1.0, "n")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {prefix}{unit}"
    return f"{value:.3g} n{unit}"


def _stream(stream: StreamLog, spotter: KeywordSpotter) -> str:
    rows = [
        (event.keyword, f"{event.time_s:.2f}", f"{event.start_s:.2f}", f"{event.score:.2f}")
        for event in stream.events
    ]
    shown = _picture(stream, spotter)
    if rows:
        shown += table(["word", "time, s", "from, s", "score"], rows)
    else:
        shown += paragraph("No event.")
    if stream.event_count > len(rows):
        shown += paragraph(f"The first {len(rows)} of {stream.event_count} events.")
    return shown


def _picture(stream: StreamLog, spotter: KeywordSpotter) -> str:
    settings = FeatureSettings.from_dict(spotter.pack.features)
    end_s = len(stream.heat) * stream.column_s
    times = (np.arange(len(stream.heat)) + 1) * stream.column_s
    ratios = {"gridspec_kw": {"height_ratios": [2.2, 1.4, 1]}}
    label = f"{stream.name}: filterbank with events, scores, power"
    with drawing(9.5, 6.0, 3, **ratios) as (figure, axes):
        heat, scores, power = axes
        heat.imshow(
            stream.heat.T,
            origin="lower",
            aspect="auto",
            extent=(0, end_s, -0.5, settings.channels - 0.5),
            cmap="magma",
            vmin=0,
            vmax=settings.high / 2,
            interpolation="nearest",
        )
        heat.grid(visible=False)
        centres = centres_of(settings)
        ticks = sorted({0, settings.channels // 2, settings.channels - 1})
        heat.set_yticks(ticks, [f"{centres[tick] / 1000:.1f}" for tick in ticks])
        heat.set_ylabel("kHz")
        for event in stream.events[:DRAWN_EVENTS]:
            heat.axvspan(event.start_s, event.time_s, color="white", alpha=0.25, lw=0)
            heat.annotate(
                event.keyword,
                (event.start_s, settings.channels - 0.3),
                annotation_clip=False,
                rotation=30,
                fontsize=8,
            )
        drawn = _drawn(stream, spotter)
        for name in drawn:
            place = list(spotter.thresholds).index(name)  # one look in every recording
            scores.plot(
                times,
                stream.scores[:, spotter.classes.index(name)],
                color=SERIES[place % len(SERIES)],
                ls=_STROKES[place // len(SERIES) % len(_STROKES)],
                label=name,
                lw=1.2,
            )
        for level in sorted(set(spotter.thresholds.values())):
            scores.axhline(level, color=INK, ls=":", lw=1)
        scores.set_ylim(-0.04, 1.04)
        scores.set_ylabel("score")
        columns = -(-len(drawn) // _LEGEND_ROWS)
        scores.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=columns)
        power.plot(times, stream.power.sum(axis=1), color=ACCENT, label="core", lw=1.2)
        power.plot(times, stream.power[:, 0], color=INK, label="cells", lw=1, ls="--")
        power.set_ylim(bottom=0)
        power.set_ylabel("nW")
        power.set_xlabel("s")
        power.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        power.set_xlim(0, end_s)
        caption = (
            "Above: what the filterbank's channels gave, with each event from its estimated start "
            f"to its time. Middle: smoothed scores, {_which(drawn, spotter)}; thresholds dotted. "
            "Below: the core's power, simulated."
        )
        if len(stream.events) > DRAWN_EVENTS:
            caption += f" Only the first {DRAWN_EVENTS} events are marked above."
        return as_html(figure, label, caption)


def _drawn(stream: StreamLog, spotter: KeywordSpotter) -> list[str]:
    """Keywords that fired, and those with the highest scores, in the order of classes."""

    def rank(name: str) -> tuple[bool, float]:
        return name not in stream.fired, -stream.scores[:, spotter.classes.index(name)].max()

    highest = sorted(spotter.thresholds, key=rank)[: max(_LINES, len(stream.fired))]
    return [name for name in spotter.thresholds if name in highest]


def _which(drawn: Sequence[str], spotter: KeywordSpotter) -> str:
    left_out = len(spotter.thresholds) - len(drawn)
    if not left_out:
        return "of every keyword"
    return (
        "of every keyword that fired and of those that rose highest (left out are "
        f"{left_out} that fired nowhere in it)"
    )


def _power(power: PowerReport) -> str:
    spans = {"core": power.core, "chip": power.chip, "system": power.system}
    rows = [
        (
            part,
            *(_nano(value, "W") for value in (span.low, span.typical, span.high)),
            _nano(power.energy[part].per_second_nj * power.seconds, "J"),
        )
        for part, span in spans.items()
    ]
    shown = table(["", "low", "typical", "high", "energy of this session"], rows)
    lives = []
    for life in power.battery_life:
        years = (life.core_years, life.chip_years, life.system_years)
        lives.append((life.battery.name, *(f"{value:.1f}" for value in years)))
    shown += paragraph("Years on a battery, typical, self-discharge included:")
    shown += table(["battery", "core", "chip", "system"], lives)
    parts = [
        (row.block, *(_nano(value, "W") for value in (row.low, row.typical, row.high)), row.status)
        for row in power.rows
    ]
    shown += paragraph("Where it goes:")
    shown += table(["", "low", "typical", "high", "status"], parts)
    return shown + paragraph("No silicon stands behind these figures; see the power report.")
