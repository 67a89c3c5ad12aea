"""The choice of a cascade: a chattier chip, or a busier processor."""

from pathlib import Path

from kws_stream.evaluation.tuning import Tuning
from kws_stream.plots import SERIES, figure_file


def draw_cascade(tuning: Tuning, picture: Path) -> None:
    """Draw misses, false accepts and the verifier's mean power over the network's threshold.

    Each with the verifier's threshold that is best for the target. Raises MissingExtraError without
    Matplotlib.
    """
    points = tuning.cascade
    thresholds = [point.threshold for point in points]
    missed = [
        100 * (p.counts.words - p.counts.hits) / p.counts.words if p.counts.words else 0.0
        for p in points
    ]
    false = [p.counts.false_accepts / p.counts.hours for p in points]
    low, typical, high = ([p.verifier_nw[i] / 1000 for p in points] for i in range(3))
    with figure_file(picture, 6.4, 6.4) as figure:
        axes = figure.subplots(3, sharex=True)
        axes[0].plot(thresholds, missed, color=SERIES[0], marker=".")
        axes[1].plot(thresholds, false, color=SERIES[1], marker=".")
        axes[1].axhline(tuning.target, color=SERIES[3], linestyle="--", label="target")
        axes[1].legend()
        axes[2].plot(thresholds, typical, color=SERIES[2], marker=".", label="typical")
        axes[2].fill_between(thresholds, low, high, color=SERIES[2], alpha=0.2, label="low to high")
        axes[2].set_yscale("log")
        axes[2].legend()
        for axis, title in zip(
            axes,
            (
                f"{tuning.model}: missed keywords in %",
                "False accepts per hour",
                "Mean power of the verifier in uW, estimated",
            ),
            strict=True,
        ):
            axis.set_title(title)
            axis.grid(axis="y")
        axes[2].set_xlabel("threshold of the network, the verifier's being the best for the target")
