"""Score model packs on one half of the validation speakers: recordings and pictures of clips.

Prints, for each pack, accuracy with the classes weighed as the official test set has them, with its
95 % interval, from a fresh state and carried; once for all clips and once for recordings and for
pictures alone, with the recalls of every class. Pictures go in as envelopes, behind the filterbank
(see docs/training.md). The half `choosing` is for choosing; `reported` is looked at once for each
pack that is published.
"""

import json
from pathlib import Path

import click
import numpy as np

from kws_stream import packs
from kws_stream.evaluation import HALVES, read_clip, select
from kws_stream.training.corpus import CLIP_HOPS, Corpus, envelopes_of
from kws_stream.training.loop import new_network
from kws_stream.training.recipe import Recipe
from kws_stream.training.validation import called, validation_clips, weigh

PATH = click.Path(exists=True, path_type=Path)


@click.command(help=__doc__)
@click.argument("models", nargs=-1, required=True)
@click.option("--data", type=PATH, required=True, help="Folder that holds speech_commands.")
@click.option("--pictures", type=PATH, help="Folder or tar archive of pictures of clips.")
@click.option("--half", type=click.Choice(HALVES), default=HALVES[0], show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    models: tuple[str, ...], data: Path, pictures: Path | None, half: str, as_json: bool
) -> None:
    figures = {}
    for model in models:
        figures[model] = score(packs.load(model), data, pictures, half)
        if not as_json:
            click.echo(f"{model}, {half} half")
            for name, line in figures[model].items():
                click.echo(f"  {name:<24}{line}")
    if as_json:
        click.echo(json.dumps(figures, indent=2))


def score(pack: packs.Pack, data: Path, pictures: Path | None, half: str) -> dict[str, str]:
    settings = pack.manifest["recipe"] | {"name": pack.name, "features": pack.features}
    recipe = Recipe.from_settings(settings)
    cache = Path("runs") / "cache"
    corpus = Corpus.from_folders(data, None, recipe.features, cache, 1, pictures)
    network = new_network(recipe).eval()
    network.take(pack.network.parameters, recipe.current_scale)
    held_out = validation_clips(corpus, recipe, half)
    clips, words, sources = held_out.clips.numpy(), held_out.words, held_out.sources
    labels = held_out.labels.numpy()
    silence = _silence(data, recipe, half)
    clips = np.concatenate([clips, silence])
    quiet = "silence" if "silence" in recipe.classes else "other"
    words = np.concatenate([words, np.full(len(silence), "silence")])
    sources = np.concatenate([sources, np.full(len(silence), "silence")])
    labels = np.concatenate([labels, np.full(len(silence), recipe.classes.index(quiet))])
    import torch

    fresh, order, said = called(network, torch.from_numpy(clips), recipe)
    lines = {}
    for state, rows, calls in (
        ("fresh", np.arange(len(labels)), fresh),
        ("carried", order, said),
    ):
        right = calls == labels[rows]
        for source in ("all", "speech_commands", "pictures"):
            chosen = np.isin(sources[rows], (source, "silence")) | (source == "all")
            found = weigh(right[chosen], words[rows][chosen], recipe.classes)
            low, high = found.interval
            recalls = ", ".join(f"{k} {100 * v:.1f}" for k, v in found.recalls.items())
            lines[f"{state}, {source}"] = (
                f"{100 * found.accuracy:.2f} % ({100 * low:.1f} to {100 * high:.1f}) of "
                f"{chosen.sum()}: {recalls}"
            )
    return lines


def _silence(data: Path, recipe: Recipe, half: str) -> np.ndarray:
    """Envelopes of the seconds of noise that `kws-stream evaluate --half` takes."""
    chosen = select(data / "speech_commands", recipe.task, "validation", 0, half).clips
    quiet = [clip for clip in chosen if clip.word == "_silence_"]
    if not quiet:
        return np.empty((0, CLIP_HOPS, recipe.features.channels), np.float32)
    pcm = np.stack([read_clip(clip) for clip in quiet]).astype(np.float64)
    return envelopes_of(pcm, recipe.features)


if __name__ == "__main__":
    main()
