"""Train a model pack from a recipe: python scripts/train.py RECIPE --data DIR --out PACK."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from kws_stream.errors import KwsStreamError
from kws_stream.training.corpus import Corpus
from kws_stream.training.loop import Check, Training
from kws_stream.training.packing import record_metrics, write_pack
from kws_stream.training.recipe import Recipe

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--data", type=FOLDER, required=True, help="Folder that holds speech_commands.")
@click.option("--synthetic", type=FOLDER, help="Clips made by scripts/synthesise_words.py.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the new model pack.")
@click.option("--run", type=FOLDER, help="Folder of log and checkpoint [default: runs/NAME].")
@click.option("--threads", type=click.IntRange(1), default=2, help="Processor cores to use.")
@click.option("--resume", is_flag=True, help="Go on from the run's checkpoint.")
def main(
    recipe: Path,
    data: Path,
    synthetic: Path | None,
    out: Path,
    run: Path | None,
    threads: int,
    resume: bool,
) -> None:
    import torch

    torch.set_num_threads(threads)
    console = Console(stderr=True)
    try:
        settings = Recipe.from_toml(recipe)
        cache = Path("runs") / "cache"
        corpus = Corpus.from_folders(data, synthetic, settings.features, cache, threads)
        training = Training(settings, corpus, run or Path("runs") / settings.name)
        if resume and training.resume():
            console.print(f"resumed at step {training.step}")
        with Progress(console=console) as bar:
            task = bar.add_task(settings.name, total=settings.steps, completed=training.step)

            def report(check: Check) -> None:
                bar.console.print(
                    f"step {check.step}: loss {check.loss:.3f}, balanced accuracy on validation "
                    f"clips {check.fresh:.4f} fresh, {check.carried:.4f} carried "
                    f"({check.seconds:.0f} s)"
                )

            training.run(report, lambda step: bar.update(task, completed=step))
        write_pack(training.network, settings, corpus, out)
        metrics = record_metrics(out, data / "speech_commands")
    except KwsStreamError as error:
        raise click.ClickException(str(error)) from error
    for name, metric in metrics.items():
        console.print(f"{name}: {metric['value']}")
    console.print(f"wrote {out}")


if __name__ == "__main__":
    main()
