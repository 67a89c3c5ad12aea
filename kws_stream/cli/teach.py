"""`kws-stream teach`: a large network that smaller ones learn from while they train."""

from pathlib import Path

import click

from kws_stream.cli.train import CACHE, FOLDER, pictures_option
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
    with training_extra():
        import torch

        from kws_stream.training import teacher
    from rich.console import Console
    from rich.progress import Progress

    from kws_stream.training.augment import condition
    from kws_stream.training.corpus import Corpus
    from kws_stream.training.recipe import Recipe
    from kws_stream.training.validation import validation_clips

    if threads is not None:
        torch.set_num_threads(threads)
    console = Console(stderr=True)
    settings = Recipe.from_toml(recipe)
    corpus = Corpus.from_folders(
        data, synthetic, settings.features, CACHE, torch.get_num_threads(), pictures
    )
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("teacher", total=steps)
        made = teacher.train_teacher(
            settings, corpus, steps, lambda step, loss: bar.update(task, completed=step)
        )
    held_out = validation_clips(corpus, settings)
    path = teacher.save_teacher(made, settings, out)
    for source, name in (("speech_commands", "clips"), ("pictures", "pictures")):
        of_source = held_out.of(source)
        if len(of_source):
            features = condition(of_source.clips, settings.features)
            share = teacher.accuracy(made, features, of_source.labels)
            click.echo(f"accuracy on validation {name}: {share:.4f}")
    console.print(f"wrote {path}")
