"""Train the minGRU and the LRU that `kws-stream chip robustness` compares with (extra: train).

Some minutes on two cores. DATA is the folder that the recipe itself is trained on, the folder above
speech_commands.
"""

from pathlib import Path

import click

from kws_stream.training.baselines import train_baseline, write_baselines
from kws_stream.training.corpus import Corpus
from kws_stream.training.stages import recipe_from_toml

ROOT = Path(__file__).parents[1]
PATH = click.Path(path_type=Path)


@click.command(help=__doc__)
@click.argument("data", type=PATH)
@click.option("--recipe", type=PATH, default=ROOT / "recipes" / "yes-4.toml", show_default=True)
@click.option("--synthetic", type=PATH, help="Clips made by scripts/synthesise_words.py.")
@click.option("--steps", type=click.IntRange(1), default=8000, show_default=True)
@click.option("--learning-rate", type=float, default=1e-2, show_default=True)
@click.option(
    "--out", type=PATH, default=ROOT / "kws_stream" / "_data" / "baselines.npz", show_default=True
)
def main(
    data: Path, recipe: Path, synthetic: Path | None, steps: int, learning_rate: float, out: Path
) -> None:
    settings = recipe_from_toml(recipe)
    corpus = Corpus.from_folders(data, synthetic, settings.features, Path("runs") / "cache")
    networks = {}
    for kind in ("mingru", "lru"):

        def report(step: int, loss: float, kind: str = kind) -> None:
            if step % 250 == 0:
                click.echo(f"{kind} step {step}: loss {loss:.3f}", err=True)

        networks[kind] = train_baseline(kind, settings, corpus, steps, learning_rate, report)
    write_baselines(out, networks, settings, steps=steps, learning_rate=learning_rate)
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
