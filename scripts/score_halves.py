"""Score model packs on one half of the validation speakers: recordings and pictures of clips.

Prints, for each pack, accuracy with the classes weighed as the official test set has them, with its
95 % interval, from a fresh state and carried; once for all clips and once for recordings and for
pictures alone, with the recalls of every class. Pictures go in as envelopes, behind the filterbank
(see docs/training.md). The half `choosing` is for choosing; `reported` is looked at once for each
pack that is published.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch

from kws_stream import packs
from kws_stream.evaluation import HALVES, read_clip, select
from kws_stream.training.corpus import CLIP_HOPS, Corpus, envelopes_of
from kws_stream.training.loop import new_network
from kws_stream.training.recipe import Recipe
from kws_stream.training.validation import Weighed, called, validation_clips, weigh

PATH = click.Path(exists=True, path_type=Path)


@click.command(help=__doc__)
@click.argument("models", nargs=-1, required=True)
@click.option("--data", type=PATH, required=True, help="Folder that holds speech_commands.")
@click.option("--pictures", type=PATH, help="Folder or tar archive of pictures of clips.")
@click.option("--half", type=click.Choice(HALVES), default=HALVES[0], show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--record", is_flag=True, help="Write the figures of all clips to the manifests of the packs."
)
def main(
    models: tuple[str, ...],
    data: Path,
    pictures: Path | None,
    half: str,
    as_json: bool,
    record: bool,
) -> None:
    figures = {}
    for model in models:
        pack = packs.load(model)
        scored = score(pack, data, pictures, half)
        found = scored.found
        figures[model] = {name: asdict(weighed) for name, weighed in found.items()}
        if record:
            packs.save_metrics(pack.path, pack.manifest["metrics"] | metrics_of(pack, scored, half))
        if not as_json:
            told = f"{scored.clips} clips of {scored.speakers} speakers"
            click.echo(f"{model}, {half} half, {told}")
            for name, weighed in found.items():
                low, high = (100 * share for share in weighed.interval)
                recalls = ", ".join(f"{k} {100 * v:.1f}" for k, v in weighed.recalls.items())
                click.echo(
                    f"  {name:<26}{100 * weighed.accuracy:.2f} % ({low:.1f} to {high:.1f}): "
                    f"{recalls}"
                )
    if as_json:
        click.echo(json.dumps(figures, indent=2))


@dataclass(frozen=True)
class Scored:
    """What a half says of a model.

    found: by "fresh" or "carried", and "all", "recordings" or "pictures"; silence is in each.
    clips: all of them, silence too. speakers: who spoke the words.
    """

    found: dict[str, Weighed]
    clips: int
    speakers: int


def score(pack: packs.Pack, data: Path, pictures: Path | None, half: str) -> Scored:
    """The figures of a pack on recordings, and pictures of clips, of one half."""
    settings = pack.manifest["recipe"] | {"name": pack.name, "features": pack.features}
    settings.pop("begins_with", None)  # of packs of before recipes had stages
    recipe = Recipe.from_settings(settings)
    corpus = Corpus.from_folders(data, None, recipe.features, Path("runs") / "cache", 1, pictures)
    network = new_network(recipe).eval()
    network.take(pack.network.parameters, recipe.current_scale)
    held_out = validation_clips(corpus, recipe, half)
    silence = _silence(data, recipe, half)
    quiet = recipe.classes.index("silence" if "silence" in recipe.classes else "other")
    extra = np.full(len(silence), "silence")
    clips = torch.cat([held_out.clips, torch.from_numpy(silence)])
    labels = np.concatenate([held_out.labels.numpy(), np.full(len(silence), quiet)])
    words = np.concatenate([held_out.words, extra])
    sources = np.concatenate([held_out.sources, extra])
    fresh, order, said = called(network, clips, recipe)
    found = {}
    for state, rows, calls in (
        ("fresh", np.arange(len(labels)), fresh),
        ("carried", order, said),
    ):
        right = calls == labels[rows]
        for name, source in SOURCES.items():
            of_source = np.isin(sources[rows], source)
            if set(sources[rows][of_source]) == {"silence"}:
                continue
            found[f"{state}, {name}"] = weigh(
                right[of_source], words[rows][of_source], recipe.classes
            )
    return Scored(found, len(labels), held_out.speakers)


SOURCES = {
    "all": ("speech_commands", "pictures", "silence"),
    "recordings": ("speech_commands", "silence"),
    "pictures": ("pictures", "silence"),
}


def metrics_of(pack: packs.Pack, scored: Scored, half: str) -> dict[str, object]:
    command = (
        f"python scripts/score_halves.py {pack.name} --data DATA --pictures PICTURES --half {half}"
    )
    return {
        f"weighed_accuracy_{half}{end}": {
            "value": round(scored.found[f"{state}, all"].accuracy, 4),
            "interval": [round(end, 4) for end in scored.found[f"{state}, all"].interval],
            "clips": scored.clips,
            "speakers": scored.speakers,
            "command": command,
        }
        for state, end in (("fresh", ""), ("carried", "_carried"))
    }


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
