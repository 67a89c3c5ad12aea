"""`kws-stream teach`: a large network that smaller ones learn from while they train."""

from pathlib import Path

import click

from kws_stream import training
from kws_stream.cli.options import threads_option
from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import TERMINAL
from kws_stream.cli.train import FOLDER, data_option, pictures_option, synthetic_option


@click.command()
@click.argument("recipe", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@data_option
@synthetic_option
@pictures_option
@click.option(
    *("-o", "--output", "out"),
    type=FOLDER,
    required=True,
    help="Write the new teacher to this folder.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=6000,
    show_default=True,
    help="Number of training steps.",
)
@threads_option
def teach(
    recipe: Path,
    data: Path,
    synthetic: Path | None,
    pictures: Path | None,
    out: Path,
    steps: int,
    threads: int | None,
) -> None:
    """Train a large network that smaller ones learn from.

    The teacher has the clips, features and classes of a recipe. With `kws-stream train --teacher`,
    its posteriors take the share teacher_weight of the loss.
    """
    path, shares = training.teach(
        recipe,
        data,
        out,
        synthetic=synthetic,
        pictures=pictures,
        steps=steps,
        threads=threads,
        reporter=TERMINAL,
    )
    for name, share in shares.items():
        say(f"accuracy on validation {name}: {share:.4f}")
    complain(f"wrote {path}")
