"""`kws-stream train`: a recipe and recordings in, a model pack out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from kws_stream.errors import MissingExtraError

FOLDER = click.Path(file_okay=False, path_type=Path)
CACHE = Path("runs") / "cache"


@contextmanager
def training_extra() -> Iterator[None]:
    """Imports inside need the extra train; raises MissingExtraError that says so."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"need PyTorch for training, got: {error}; pip install 'kws-stream[train]'"
        ) from error


@click.command()
@click.argument("recipe", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@click.option("--data", type=FOLDER, required=True, help="Folder that holds speech_commands.")
@click.option("--synthetic", type=FOLDER, help="Clips made by scripts/synthesise_words.py.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the new model pack.")
@click.option("--run", type=FOLDER, help="Folder of log and checkpoint. Default: runs/NAME.")
@click.option("--threads", type=click.IntRange(1), help="Processor cores. Default: all.")
@click.option("--start-from", type=FOLDER, help="Run whose network to begin with.")
@click.option("--teacher", type=FOLDER, help="Teacher made by `kws-stream teach`.")
@click.option("--resume", is_flag=True, help="Go on from the run's checkpoint.")
def train(
    recipe: Path,
    data: Path,
    synthetic: Path | None,
    out: Path,
    run: Path | None,
    threads: int | None,
    start_from: Path | None,
    teacher: Path | None,
    resume: bool,
) -> None:
    """Train a model pack from a recipe.

    Ctrl-C loses the steps since the last checkpoint alone: --resume goes on from it."""
    with training_extra():
        import torch

        from kws_stream.training.loop import Check, Training
        from kws_stream.training.teacher import load_teacher
    from rich.console import Console
    from rich.progress import Progress

    from kws_stream.cli.curves import draw_curves
    from kws_stream.training.corpus import Corpus
    from kws_stream.training.packing import record_metrics, write_pack
    from kws_stream.training.recipe import Recipe

    if threads is not None:
        torch.set_num_threads(threads)
    console = Console(stderr=True)
    settings = Recipe.from_toml(recipe)
    corpus = Corpus.from_folders(data, synthetic, settings.features, CACHE, torch.get_num_threads())
    taught_by = load_teacher(teacher, settings) if teacher is not None else None
    training = Training(settings, corpus, run or Path("runs") / settings.name, taught_by)
    if start_from is not None:
        training.start_from(start_from)
    if resume:
        found = training.resume()
        console.print(f"resumed at step {training.step}" if found else "no checkpoint: from step 0")
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(settings.name, total=settings.steps, completed=training.step)

        def report(check: Check) -> None:
            console.print(
                f"step {check.step}: loss {check.loss:.3f}, core {check.power_nw:.0f} nW, "
                f"balanced accuracy on validation clips {check.fresh:.4f} fresh, "
                f"{check.carried:.4f} carried "
                f"({check.seconds:.0f} s)"
            )

        training.run(report, lambda step: bar.update(task, completed=step))
    try:
        draw_curves(training.folder / "log.csv", training.folder / "curves.png")
    except MissingExtraError as error:
        console.print(f"no curves.png: {error}", highlight=False, soft_wrap=True)
    write_pack(training.network, settings, corpus, out)
    for name, metric in record_metrics(out, data / "speech_commands").items():
        click.echo(f"{name}: {metric['value']}")
    console.print(f"wrote {out}")
