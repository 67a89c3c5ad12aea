"""What a model makes of a piece of a recording: signal, features, state bits, score and events.

    python scripts/plot_sensor.py MODEL RECORDING FIGURE.png --start 10 --seconds 12

For models of any sensor. Needs the extra report (matplotlib).
"""

from pathlib import Path

import click
import numpy as np

from kws_stream import KeywordSpotter
from kws_stream.evaluation.labels import read_labels
from kws_stream.evaluation.mixtures import read_whole
from kws_stream.features import FeatureSettings, centres_of


@click.command()
@click.argument("model")
@click.argument("recording", type=click.Path(exists=True, path_type=Path))
@click.argument("figure", type=click.Path(path_type=Path))
@click.option("--start", default=0.0, show_default=True, help="Where the piece begins, in s.")
@click.option("--seconds", default=10.0, show_default=True, help="How long it is.")
def main(model: str, recording: Path, figure: Path, start: float, seconds: float) -> None:
    """Draw what MODEL makes of a piece of RECORDING, which is heard from its beginning."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    spotter = KeywordSpotter(model)
    settings = FeatureSettings.from_dict(spotter.pack.features)
    pcm = read_whole(recording, to_hz=spotter.rate_hz)
    seen = spotter.observe(pcm)
    features = np.concatenate([piece.features for piece in seen])[:, : settings.channels]
    bits = np.concatenate([np.concatenate(piece.trace.bits, axis=1) for piece in seen])
    scores = np.concatenate([piece.smoothed for piece in seen])
    events = [event for piece in seen for event in piece.events]
    first, last = (round(at / spotter.frame_s) for at in (start, start + seconds))
    span = (first * spotter.frame_s, min(last, len(features)) * spotter.frame_s)

    drawing, axes = plt.subplots(
        4, 1, sharex=True, figsize=(10, 7), height_ratios=(3, 2, 2, 2), layout="constrained"
    )
    signal, heat, cells, score = axes
    signal.plot(np.arange(len(pcm)) / spotter.rate_hz, pcm, lw=0.8, color="black")
    signal.set_ylabel("signal, of full scale")
    inside = pcm[round(span[0] * spotter.rate_hz) : round(span[1] * spotter.rate_hz)]
    signal.set_ylim(inside.min() - 0.05, inside.max() + 0.1)
    for word in read_labels(recording):
        signal.axvspan(word.start_s, word.end_s, color="#f39c12", alpha=0.35, lw=0)
    heat.imshow(
        features[first:last].T,
        origin="lower",
        aspect="auto",
        extent=(*span, -0.5, settings.channels - 0.5),
        cmap="magma",
        interpolation="nearest",
    )
    rows = sorted({0, settings.channels // 2, settings.channels - 1})
    heat.set_yticks(rows, [f"{centres_of(settings)[row]:.3g}" for row in rows])
    heat.set_ylabel("feature, Hz")
    cells.imshow(
        bits[first:last].T,
        origin="lower",
        aspect="auto",
        extent=(*span, 0.5, bits.shape[1] + 0.5),
        cmap="Greys",
        interpolation="nearest",
    )
    cells.set_ylabel("state bit of cell")
    times = (np.arange(len(scores)) + 1) * spotter.frame_s
    for name, threshold in spotter.thresholds.items():
        score.plot(
            times, scores[:, spotter.classes.index(name)], drawstyle="steps-post", label=name
        )
        score.axhline(threshold, color="grey", lw=0.8, ls="--")
    for event in events:
        score.plot(event.time_s, event.score, "v", color="#c0392b")
        signal.axvline(event.time_s, color="#c0392b", lw=0.8)
    score.set_ylim(0, 1.05)
    score.set_ylabel("score")
    score.set_xlabel("time, s")
    score.set_xlim(*span)
    drawing.suptitle(
        f"{spotter.pack.name} at {spotter.rate_hz} Hz, frames of {1000 * spotter.frame_s:g} ms; "
        "labels in orange, events in red",
        fontsize=10,
    )
    drawing.savefig(figure, dpi=110)


if __name__ == "__main__":
    main()
