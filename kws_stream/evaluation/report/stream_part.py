"""The sections about streams: rates at the model's thresholds and others, latency, events."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kws_stream.evaluation.metrics import wilson_interval
from kws_stream.evaluation.recordings import (
    Counts,
    OperatingPoint,
    RecordingsResult,
    poisson_interval,
)
from kws_stream.evaluation.report.clip_part import between, percent
from kws_stream.evaluation.report.figures import (
    ACCENT,
    BAD,
    INK,
    MUTED,
    SERIES,
    as_html,
    drawing,
    histogram,
    percent_axis,
)
from kws_stream.evaluation.report.html import Section, details, paragraph, short_name, table

Array = NDArray[np.float64]

MOST_ROWS = 1000  # of a list of events
TICKS = (0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
AIM = (0.5, 0.05)  # false accepts per hour and share missed that openWakeWord aims at


def stream_tiles(result: RecordingsResult) -> list[tuple[str, str, str]]:
    """The figures of the summary: name, value, note."""
    point = result.point
    figures = point.as_dict()
    low, high = figures["false_accepts_per_hour_interval"]
    shown = [
        (
            "false accepts per hour",
            number(figures["false_accepts_per_hour"]),
            f"95 %: {number(low)} to {number(high)}; {point.false_accepts} in {result.hours:.2f} h",
        )
    ]
    if point.words:
        rate = ("false reject rate", percent(figures["false_reject_rate"]))
        shown.append((*rate, between(figures["false_reject_interval"])))
        shown.append(("keywords found", f"{point.hits} of {point.words}", "in the recordings"))
    if point.latencies_s:
        shown.append(
            (
                "latency, median",
                seconds(figures["latency_median_s"]),
                f"after the word; 95 % within {seconds(figures['latency_p95_s'])}",
            )
        )
    return shown


def seconds(value: float) -> str:
    return f"{value:.2f} s".replace("-", "\N{MINUS SIGN}")


def number(rate: float) -> str:
    """A rate per hour, in about three digits."""
    return f"{rate:.2f}" if rate < 10 else f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"


def stream_sections(result: RecordingsResult) -> list[Section]:
    return [
        Section("False accepts per hour", _against_threshold(result) + _counts(result)),
        Section("DET curve of the stream", _trade_off(result)),
        Section("Latency", _latency(result)),
        Section("Events", _events(result)),
    ]


def _thresholds(points: Sequence[OperatingPoint]) -> list[float]:
    return [next(iter(point.thresholds.values())) for point in points]


def _against_threshold(result: RecordingsResult) -> str:
    thresholds = _thresholds(result.sweep)
    places = _places(thresholds)
    counts = [point.false_accepts for point in result.sweep]
    rates = np.array(counts) / result.hours
    low, high = np.array([poisson_interval(count, result.hours) for count in counts]).T
    words = result.point.words
    own = _places(sorted(set(result.point.thresholds.values())))
    with drawing(6.4, 7.6 if words else 5.0, 2 if words else 1) as (figure, axes):
        above, below = axes if words else (axes, None)
        above.fill_between(places, low, high, color=ACCENT, alpha=0.2, lw=0, label="95 %")
        above.plot(places, rates, color=ACCENT, marker="o", markersize=3.5)
        above.set_yscale("symlog", linthresh=1 / result.hours)
        _plain_numbers(above.yaxis)
        above.set_ylim(bottom=0)
        above.set_ylabel("false accepts per hour")
        if below is not None:
            missed = [words - point.hits for point in result.sweep]
            low, high = np.array([wilson_interval(count, words) for count in missed]).T
            shares = [count / words for count in missed]
            below.fill_between(places, low, high, color=SERIES[1], alpha=0.2, lw=0)
            below.plot(places, shares, color=SERIES[1], marker="o", markersize=3.5)
            below.set_ylabel("false reject rate")
            below.set_ylim(0, 1)
            percent_axis(below.yaxis)
        lowest = above if below is None else below
        for axis in dict.fromkeys((above, lowest)):
            for index, place in enumerate(own):
                name = None if index else "the model's own"
                axis.axvline(place, color=BAD, linestyle="--", linewidth=1.2, label=name)
        above.legend(loc="lower left")
        lowest.set_xlabel("threshold, one for all keywords")
        lowest.set_xticks(_places(TICKS), [f"{tick:g}" for tick in TICKS])
        drawn = as_html(figure, "False accepts per hour and misses against threshold")
    rows = [
        (
            f"{threshold:g}",
            percent(point.as_dict()["false_reject_rate"]),
            number(rate),
            " to ".join(map(number, poisson_interval(point.false_accepts, result.hours))),
        )
        for threshold, rate, point in zip(thresholds, rates, result.sweep, strict=True)
    ]
    head = ["threshold", "missed", "per hour", "95 % interval"]
    return (
        paragraph(
            f"{result.hours:.2f} hours in {result.files} "
            f"recording{'s' * (result.files != 1)}. Bands: 95 % intervals, exact Poisson for the "
            "rate (Garwood, 1936), Wilson's for the misses."
        )
        + f"<div class=plots>{drawn}{table(head, rows, texts=0)}</div>"
    )


def _places(thresholds: Sequence[float]) -> Array:
    """Log odds: what matters happens close to 1."""
    inside = np.clip(thresholds, 1e-3, 1 - 1e-4)
    places: Array = np.log(inside / (1 - inside))
    return places


def _plain_numbers(axis: object) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # type: ignore[attr-defined]


def _counts(result: RecordingsResult) -> str:
    """Tables of what was counted at the model's thresholds."""
    each = {
        f"{name} ({result.point.thresholds[name]:g})": counts
        for name, counts in result.point.per_keyword.items()
    }
    shown = "<h3>Each keyword, at the model's threshold</h3>" + _table("keyword (threshold)", each)
    if len(result.sources) > 1:
        sources = {short_name(name): counts for name, counts in result.sources.items()}
        shown += "<h3>Each source, at the model's thresholds</h3>" + _table("source", sources)
    return shown


def _table(what: str, rows: Mapping[str, Counts]) -> str:
    lines: list[Sequence[object]] = []
    for name, counts in rows.items():
        figures = counts.as_dict()
        missed, rate = figures["false_reject_interval"], figures["false_accepts_per_hour"]
        bounds = figures["false_accepts_per_hour_interval"]
        lines.append(
            (
                *(name, f"{counts.hours:.2f}", counts.words, counts.hits),
                percent(figures["false_reject_rate"]),
                between(missed)[6:] if missed else "–",
                *(counts.false_accepts, "–" if rate is None else number(rate)),
                " to ".join(map(number, bounds)) if bounds else "–",
            )
        )
    head = [what, "hours", "spoken", "found", "missed", "95 % interval"]
    return table([*head, "false accepts", "per hour", "95 % interval"], lines)


def _trade_off(result: RecordingsResult) -> str:
    words, hours = result.point.words, result.hours
    if not words:
        return paragraph("The recordings have no labelled keywords, so none could be missed.")
    each = [name for name, counts in result.point.per_keyword.items() if counts.words]
    with drawing(8.4, 4.4) as (figure, axes):
        for index, name in enumerate(each if len(each) > 1 else ()):
            counts = [point.per_keyword[name] for point in result.sweep]
            axes.plot(
                [c.false_accepts / hours for c in counts],
                [1 - c.hits / c.words for c in counts],
                color=SERIES[index] if index < len(SERIES) else MUTED,
                linestyle="-" if index < 5 else "--",
                linewidth=1,
                label=name if index < len(SERIES) else None,
            )
        x = [point.false_accepts / hours for point in result.sweep]
        y = [1 - point.hits / words for point in result.sweep]
        axes.plot(x, y, color=INK, linewidth=2.4, marker="o", markersize=4, label="all keywords")
        for place, threshold in enumerate(_thresholds(result.sweep)):
            if place in (0, len(x) // 2, len(x) - 1):
                axes.annotate(
                    f"{threshold:g}", (x[place], y[place]), (5, 5), textcoords="offset points"
                )
        axes.plot(
            *([result.point.false_accepts / hours], [1 - result.point.hits / words]),
            *("D",),
            color=BAD,
            markersize=7,
            label="the model's own thresholds",
        )
        axes.axvline(AIM[0], color=MUTED, linewidth=0.9, linestyle=":")
        axes.axhline(AIM[1], color=MUTED, linewidth=0.9, linestyle=":", label="5 %, 0.5 per hour")
        axes.set_xscale("symlog", linthresh=1 / hours)
        _plain_numbers(axes.xaxis)
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1)
        percent_axis(axes.yaxis)
        axes.set_xlabel("false accepts per hour")
        axes.set_ylabel("false reject rate")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        drawn = as_html(figure, "Misses against false accepts per hour, over thresholds")
    return (
        paragraph(
            "The detection error trade-off of the stream, as one threshold for all keywords goes "
            f"from {_thresholds(result.sweep)[0]:g} to "
            f"{_thresholds(result.sweep)[-1]:g}. Dotted: the aim that openWakeWord names for its "
            "models, 5 % missed at 0.5 false accepts per hour.",
        )
        + f"<div class=plots>{drawn}</div>"
    )


def _latency(result: RecordingsResult) -> str:
    latencies = list(result.point.latencies_s)
    if not latencies:
        return paragraph("No keyword was found, so there is none.")
    figures = result.point.as_dict()
    median, p95 = figures["latency_median_s"], figures["latency_p95_s"]
    drawn = histogram(
        latencies,
        "event after the end of its word in s",
        {f"median {seconds(median)}": median, f"95 % within {seconds(p95)}": p95},
        "events",
        "Histogram of latency",
        (8.4, 3.2),
    )
    return (
        paragraph(
            "Time of a hit after the labelled end of its word; before the end it is negative."
        )
        + f"<div class=plots>{drawn}</div>"
    )


def _events(result: RecordingsResult) -> str:
    false = [
        (short_name(file), event.keyword, f"{event.time_s:.2f}", f"{event.score:.3f}")
        for file, event in result.false_accepts
    ]
    missed = [
        (short_name(file), word.word, f"{word.start_s:.2f}", f"{word.end_s:.2f}")
        for file, word in result.missed
    ]
    found = [
        (
            *(short_name(file), word.word, f"{word.end_s:.2f}", f"{event.time_s:.2f}"),
            *(f"{event.time_s - word.end_s:+.2f}", f"{event.score:.3f}"),
        )
        for file, word, event in result.found
    ]
    return (
        paragraph("At the model's thresholds; times in s from the start of each recording.")
        + _list("False accepts", ["recording", "called", "time", "score"], false)
        + _list("Missed words", ["recording", "word", "from", "to"], missed)
        + _list("Hits", ["recording", "word", "word's end", "event", "latency", "score"], found)
    )


def _list(name: str, head: Sequence[str], rows: Sequence[Iterable[object]]) -> str:
    shown = table(head, [tuple(row) for row in rows[:MOST_ROWS]], texts=2)
    if len(rows) > MOST_ROWS:
        shown += paragraph(f"The first {MOST_ROWS} of {len(rows)}; the JSON has all of them.")
    return details(f"{name}: {len(rows)}", shown if rows else paragraph("None."))
