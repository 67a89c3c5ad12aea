"""Measure a wake phrase's pack on people: both stages, on recordings of the phrase and without it.

Prints what the network alone misses at so many false triggers an hour, and what the cascade misses
at so many false accepts, each at its best thresholds, and both as packed; with 95 % intervals. The
phrase is heard with half a second of pause around it, over noise where --noise is given. Rates are
of the hours without it.
"""

from dataclasses import replace
from pathlib import Path

import click

from kws_stream import evaluation, packs
from kws_stream.evaluation.cascade_tuning import all_staircases, search
from kws_stream.evaluation.recordings import (
    StreamHearing,
    hear,
    operating_points,
    poisson_interval,
)
from kws_stream.evaluation.tuning import TRIED, choose_thresholds
from kws_stream.workers import Workers

FOLDER = click.Path(exists=True, path_type=Path)


@click.command(help=__doc__)
@click.argument("model", metavar="PACK")
@click.option("--phrase", type=FOLDER, multiple=True, required=True, help="Its recordings.")
@click.option("--without", type=FOLDER, multiple=True, required=True, help="Sound without it.")
@click.option("--noise", type=FOLDER, multiple=True, help="Noise over the phrase.")
@click.option("--snr", "snr_db", default=15.0, show_default=True, help="Phrase over noise, dB.")
@click.option("--triggers-per-hour", "triggers", default=20.0, show_default=True)
@click.option("--false-accepts-per-hour", "accepts", default=0.3, show_default=True)
def main(
    model: str,
    phrase: tuple[Path, ...],
    without: tuple[Path, ...],
    noise: tuple[Path, ...],
    snr_db: float,
    triggers: float,
    accepts: float,
) -> None:
    pack = packs.load(model)
    (keyword,) = pack.keywords
    noises = evaluation.background_in(noise)
    clips = [clip for folder in phrase for clip in evaluation.word_clips(folder, [keyword])]
    spoken = evaluation.synthesise(clips, noises, None, snr_db)
    streams: list[evaluation.Stream] = [*spoken, *evaluation.streams_of(without)]
    network = StreamHearing(replace(pack, verifier=None), TRIED)
    with Workers(1) as workers:
        heard = hear(network, streams, workers=workers)
        hours = sum(one.seconds for one in heard[len(spoken) :]) / 3600
        own, *swept = operating_points(network, heard)
        row = choose_thresholds([point.per_keyword for point in swept], triggers * hours)[keyword]
        click.echo(f"{pack.name}: {len(clips)} recordings, {hours:.2f} h without the phrase")
        _say(f"network at {TRIED[row]:g}", swept[row], hours)
        _say("network as packed", own, hours)
        if pack.verifier is None:
            return
        both = StreamHearing(pack, TRIED, scores=True)
        heard = hear(both, streams, workers=workers)
    stairs = all_staircases(heard, pack.keywords)
    choice = search(stairs, accepts * hours, choose_thresholds)
    best = stairs[choice.rows[keyword]][keyword].at(choice.verifier_threshold)
    _say(f"cascade at {TRIED[choice.rows[keyword]]:g}, {choice.verifier_threshold:g}", best, hours)
    _say("cascade as packed", operating_points(both, heard)[0], hours)


def _say(name: str, counts: evaluation.Counts, hours: float) -> None:
    """Counts of all sound, with rates of the hours without the phrase."""
    of_words = counts.as_dict()
    low, high = of_words["false_reject_interval"]
    some = poisson_interval(counts.false_accepts, hours)
    click.echo(
        f"{name}: {of_words['false_reject_rate']:.1%} ({low:.1%} to {high:.1%}) missed, "
        f"{counts.false_accepts / hours:.2f} ({some[0]:.2f} to {some[1]:.2f}) an hour"
    )


if __name__ == "__main__":
    main()
