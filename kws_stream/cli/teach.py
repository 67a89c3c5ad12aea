"""`kws-stream teach`: a large network that smaller ones learn from while they train."""

from pathlib import Path

import click

from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import IMPORT_S, progress
from kws_stream.cli.train import FOLDER, pictures_option, read_corpus
from kws_stream.training import training_extra


@click.command()
@click.argument("recipe", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@click.option("--data", type=FOLDER, required=True, help="Folder that holds speech_commands.")
@click.option("--synthetic", type=FOLDER, help="Clips made by scripts/synthesise_words.py.")
@pictures_option
@click.option("--out", type=FOLDER, required=True, help="Folder of the new teacher.")
@click.option("--steps", type=click.IntRange(1), default=6000, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Processor cores. Default: all.")
def teach(
    recipe: Path,
    data: Path,
    synthetic: Path | None,
    pictures: Path | None,
    out: Path,
    steps: int,
    threads: int | None,
) -> None:
    """Train a teacher on the clips, features and classes of a recipe.

    `kws-stream train --teacher` then lets its posteriors take the recipe's teacher_weight."""
    with progress("loading PyTorch", first_s=IMPORT_S), training_extra():
        import torch

        from kws_stream.training import teacher
    from kws_stream.training.augment import condition
    from kws_stream.training.recipe import Recipe
    from kws_stream.training.validation import validation_clips

    if threads is not None:
        torch.set_num_threads(threads)
    settings = Recipe.from_toml(recipe)
    corpus = read_corpus(data, synthetic, settings, pictures)
    with progress("training the teacher", "steps") as trained:
        made = teacher.train_teacher(
            settings, corpus, steps, lambda step, loss: trained(step, steps)
        )
    held_out = validation_clips(corpus, settings)
    path = teacher.save_teacher(made, settings, out)
    with progress("checking the teacher on validation clips"):
        shares = {
            name: teacher.accuracy(
                made, condition(of_source.clips, settings.features), of_source.labels
            )
            for source, name in (("speech_commands", "clips"), ("pictures", "pictures"))
            if len(of_source := held_out.of(source))
        }
    for name, share in shares.items():
        say(f"accuracy on validation {name}: {share:.4f}")
    complain(f"wrote {path}")
