"""The sections about clips: figures, confusion, errors over thresholds, noise, power."""

from collections.abc import Sequence

import numpy as np

from kws_stream.evaluation.metrics import Result, wilson_interval
from kws_stream.evaluation.report.curves import Curve, keyword_curves
from kws_stream.evaluation.report.figures import (
    ACCENT,
    INK,
    MUTED,
    SERIES,
    as_html,
    drawing,
    histogram,
    percent_axis,
    probit_axes,
)
from kws_stream.evaluation.report.html import Section, details, paragraph, table, text
from kws_stream.evaluation.running import ClipRun

MATRIX_CLASSES = 12  # more are shown smaller, or folded away


def percent(share: float | None, decimals: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{decimals}f} %"


def nanowatts(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def between(interval: tuple[float, float]) -> str:
    return f"95 %: {100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def clip_tiles(result: Result) -> list[tuple[str, str, str]]:
    """The figures of the summary: name, value, note."""
    power, size = result.core_power_nw, result.multiply_accumulates or {}
    accuracy = ("accuracy", percent(result.accuracy, 2), between(result.interval))
    balanced = ("balanced accuracy", percent(result.balanced_accuracy, 2), "mean recall")
    shown = (
        [balanced, accuracy] if result.headline[0] == "balanced_accuracy" else [accuracy, balanced]
    )
    if result.eight_words is not None:
        shown.append(
            ("eight words", percent(result.eight_words, 2), "without on, off and the rest")
        )
    shown.append(
        (
            "core power, simulated",
            f"{nanowatts(power['mean'])} nW",
            f"clips from {nanowatts(power['min'])} to {nanowatts(power['max'])}",
        )
    )
    if result.parameters is not None:
        shown.append(("parameters", f"{result.parameters:,}", "weights, biases, currents"))
        shown.append(
            (
                "multiply-accumulates",
                f"{size['per_second'] / 1e3:,.0f} k",
                f"per second; {size['per_frame']:,} a frame",
            )
        )
    if result.same_when_streamed is not None:
        equal = f"{result.same_when_streamed} of {result.clips}"
        shown.append(("streamed = offline", equal, "clips with the same score in every bit"))
    return shown


def clip_sections(run: ClipRun) -> list[Section]:
    result = run.result
    return [
        Section("Confusion matrix", _confusion(result)),
        Section("DET curves of the keywords", _trade_off(run)),
        Section("Accuracy against SNR", _noise(result)),
        Section("Power", _power(run)),
    ]


def _confusion(result: Result) -> str:
    """A row for each class, shaded by the share of its clips."""
    many = len(result.classes) > MATRIX_CLASSES
    head = "".join(f"<th><span>{text(name)}</span></th>" for name in result.classes)
    lines = []
    for row, (name, counts) in enumerate(zip(result.classes, result.confusion, strict=True)):
        total = sum(counts)
        cells = "".join(
            _cell(count, count / total if total else 0.0, row == column, name, called)
            for column, (count, called) in enumerate(zip(counts, result.classes, strict=True))
        )
        recall = percent(result.per_class_recall[name])
        lines.append(f"<tr><th>{text(name)}</th>{cells}<td class=rate>{recall}</td></tr>")
    precision = [result.per_class_precision[name] for name in result.classes]
    shares = "".join(
        f"<td class=rate>{'–' if p is None else f'{100 * p:.0f}'}</td>" for p in precision
    )
    return (
        paragraph(
            "Rows: what was said. Columns: what the model called it. A cell counts clips and is "
            "shaded by their share of the row. Right: recall. Below: precision in %."
        )
        + f"<div class=wide><table class='matrix{' many' if many else ''}'><thead><tr><th></th>"
        f"{head}<th class=rate><span>recall</span></th></tr></thead><tbody>{''.join(lines)}"
        f"<tr><th class=rate>precision</th>{shares}</tr></tbody></table></div>"
    )


def _cell(count: int, share: float, right: bool, said: str, called: str) -> str:
    """Errors are shaded by the root of their share, so that few are seen at all."""
    opacity = share if right else min(1.0, share**0.5)
    style = f"background:rgb(var(--{'hit' if right else 'miss'}) / {opacity:.2f})" if count else ""
    return (
        f"<td style='{style}'{' class=strong' if opacity > 0.55 else ''} "
        f"title='{text(said)} called {text(called)}: {count}, {percent(share)}'>{count or ''}</td>"
    )


def _trade_off(run: ClipRun) -> str:
    curves, overall = keyword_curves(run)
    if overall is None:
        return paragraph("There are no clips of a keyword, or none of anything else.")
    ranked = sorted(curves.items(), key=lambda item: -item[1].equal_error_rate)
    shown = dict(ranked[: len(SERIES)])
    colours = {name: SERIES[i] for i, name in enumerate(n for n in curves if n in shown)}
    with drawing(8.4, 5.0) as (figure, axes):
        deviate = probit_axes(axes)
        for _, curve in ranked[len(SERIES) :]:
            axes.plot(deviate(curve.false_alarms), deviate(curve.misses), color=MUTED, lw=0.6)
        for index, name in enumerate(colours):
            curve = curves[name]
            axes.plot(
                *(deviate(curve.false_alarms), deviate(curve.misses)),
                color=colours[name],
                linestyle="-" if index < 5 else "--",
                linewidth=1.3,
                label=_named(name, curve),
            )
        if len(curves) > 1:
            axes.plot(
                *(deviate(overall.false_alarms), deviate(overall.misses)),
                color=INK,
                linewidth=2.6,
                label=_named("all keywords", overall),
            )
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_xlabel("other clips called so (false alarm rate)")
        axes.set_ylabel("clips of the keyword missed (miss rate)")
        axes.legend(
            loc="upper left", bbox_to_anchor=(1, 1), title="equal error rate", title_fontsize=9
        )
        drawn = as_html(figure, "Detection error trade-off of each keyword and of all together")
    rest = len(curves) - len(shown)
    rates = [(name, percent(curve.equal_error_rate, 2)) for name, curve in ranked]
    return (
        paragraph(
            "Detection error trade-off: each keyword against all other clips, as the threshold on "
            "its confidence falls from the upper left to the lower right; axes are normal "
            "deviates.",
            f"The {len(shown)} worst keywords are coloured, the other {rest} grey." if rest else "",
        )
        + f"<div class=plots>{drawn}</div>"
        + (details("Equal error rates", table(["keyword", "rate"], rates)) if rest else "")
    )


def _named(name: str, curve: Curve) -> str:
    return f"{name}  {percent(curve.equal_error_rate)}"


def _noise(result: Result) -> str:
    by_snr, balanced = result.accuracy_by_snr, result.balanced_accuracy_by_snr
    if by_snr is None or balanced is None:
        return paragraph(
            "Not measured: it needs recordings of noise, those in _background_noise_ of the data "
            "set or of a folder given with --noise."
        )
    names = list(by_snr)[::-1]
    places = range(len(names))
    with drawing(6.4, 3.4) as (figure, axes):
        shares = np.array([by_snr[name] for name in names])
        bounds = np.array(
            [wilson_interval(round(share * result.clips), result.clips) for share in shares]
        )
        error = np.abs(bounds.T - shares)
        axes.errorbar(places, shares, error, color=ACCENT, marker="o", capsize=4, label="accuracy")
        axes.plot(
            *(places, [balanced[name] for name in names]),
            color=SERIES[1],
            marker="s",
            linestyle="--",
            label="balanced accuracy",
        )
        axes.set_xticks(places, [n if n == "clean" else f"{n} dB" for n in names])
        axes.set_xlabel("signal-to-noise ratio")
        axes.set_ylim(0, 1)
        percent_axis(axes.yaxis)
        axes.legend(loc="lower right")
        drawn = as_html(figure, "Accuracy against signal-to-noise ratio")
    rows: list[Sequence[object]] = [
        (n if n == "clean" else f"{n} dB", percent(by_snr[n], 2), percent(balanced[n], 2))
        for n in by_snr
    ]
    return (
        paragraph(
            "Every clip, with a second of noise added whose mean power over the second is so far "
            "below the clip's. Bars: 95 % intervals."
        )
        + f"<div class=plots>{drawn}{table(['noise', 'accuracy', 'balanced'], rows)}</div>"
    )


def _power(run: ClipRun) -> str:
    powers = [score.core_nw for score in run.scores]
    mean = float(np.mean(powers))
    low, high = np.percentile(powers, [2.5, 97.5])
    drawn = histogram(
        powers,
        "core power of a clip in nW",
        {f"mean {nanowatts(mean)} nW": mean},
        "clips",
        "Histogram of core power over clips",
        (6.4, 4.2),
    )
    called = np.array([clip.label for clip in run.clips])
    rows = []
    for name in run.result.classes:
        own = np.array(powers)[called == name]
        if len(own):
            rows.append((name, len(own), *map(nanowatts, (own.mean(), own.min(), own.max()))))
    head = ["class", "clips", "mean nW", "lowest", "highest"]
    return paragraph(
        "Cells and feedforward branches of the analog core, at a unit current of 1 nA: "
        "simulated, that is, computed from the network's own activity by formulas fitted to "
        "circuit simulation (arXiv:2605.15216). No chip was measured.",
        f"Of all clips 95 % lie between {nanowatts(low)} and {nanowatts(high)} nW.",
    ) + (
        f"<div class=plots>{drawn}{table(head, rows)}</div>"
        if len(rows) <= MATRIX_CLASSES
        else f"<div class=plots>{drawn}</div>{details('Each class', table(head, rows))}"
    )
