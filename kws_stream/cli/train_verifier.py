"""`kws-stream train-verifier`: a model of words gets a second stage for a microcontroller."""

from pathlib import Path

import click

from kws_stream import training
from kws_stream.cli.options import threads_option
from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import TERMINAL
from kws_stream.cli.train import FOLDER, data_option, pictures_option, synthetic_option


@click.command("train-verifier")
@click.argument("model", metavar="PACK")
@data_option
@synthetic_option
@pictures_option
@click.option(
    *("-o", "--output", "out"),
    type=FOLDER,
    required=True,
    help="Write the new model pack to this folder.",
)
@click.option(
    "--steps",
    type=click.IntRange(10),
    default=4000,
    show_default=True,
    help="Number of training steps.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed that draws the first weights and the training examples.",
)
@threads_option
def train_verifier(
    model: str,
    data: Path,
    synthetic: Path | None,
    pictures: Path | None,
    out: Path,
    steps: int,
    seed: int,
    threads: int | None,
) -> None:
    """Train a verifier for the words of a model.

    PACK is a name or a folder. The verifier is of the kind mcu, an integer network for a
    microcontroller. The new pack is a copy of PACK with that verifier; its network stays as it is.
    `kws-stream tune` then chooses both thresholds.
    """
    threshold = training.add_verifier(
        model,
        data,
        out,
        synthetic=synthetic,
        pictures=pictures,
        steps=steps,
        seed=seed,
        threads=threads,
        reporter=TERMINAL,
    )
    say(f"verifier: threshold {threshold:g}")
    complain(f"wrote {out}; kws-stream tune chooses both thresholds for your recordings")
