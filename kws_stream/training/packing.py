"""From a trained network to a model pack that says what it was made from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kws_stream import packs
from kws_stream.evaluation import evaluate
from kws_stream.evaluation.speech_commands import SILENCE, select, speaker_of
from kws_stream.network import Network
from kws_stream.packs.pruning import pruned
from kws_stream.packs.stage_graphs import stage_graphs
from kws_stream.training.corpus import Corpus
from kws_stream.training.recipe import Recipe
from kws_stream.workers import Progress

if TYPE_CHECKING:
    from kws_stream.training.model import SpottingNetwork
    from kws_stream.training.verifying import Taught

SOURCES = {
    "speech_commands": {
        "name": "Google Speech Commands v0.01 and v0.02, training speakers",
        "licence": "CC-BY-4.0",
        "source": "Pete Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech "
        "Recognition, arXiv:1804.03209",
    },
    "pictures": {
        "name": "log-mel pictures of Google Speech Commands v0.02, training speakers",
        "licence": "CC-BY-4.0, as the clips that they show",
        "source": "Pete Warden, arXiv:1804.03209; pictures from the history of the repository "
        "thegtagamer/PICO-tinyML-benchmark",
    },
    "other_words": {
        "name": "CMU AN4 words; Mycroft Precise community data",
        "licence": "AN4: free for any purpose; Precise: public domain",
        "source": "CMU AN4 database; Mycroft Precise community data",
    },
    "running_speech": {
        "name": "CMU AN4 utterances; Picovoice speech-to-intent and wake-word benchmarks",
        "licence": "AN4: free for any purpose; Picovoice: Apache-2.0",
        "source": "CMU AN4 database; Picovoice speech-to-intent-benchmark, wake-word-benchmark",
    },
    "noise": {
        "name": "ESC-10; background noise of Google Speech Commands",
        "licence": "CC BY 3.0 (each clip CC0 or CC-BY); CC-BY-4.0",
        "source": "Karol J. Piczak, ESC: Dataset for Environmental Sound Classification; "
        "Pete Warden, arXiv:1804.03209",
    },
    "synthetic": {
        "name": "clips made by espeak-ng, flite or Kokoro-82M, or joined from Speech Commands",
        "licence": "made by this project; Kokoro's weights: Apache-2.0",
        "source": "scripts/synthesise_words.py, scripts/splice_words.py",
    },
    "posteriors": {
        "name": "what a published classifier says of the clips",
        "licence": "that of the classifier",
        "source": "kws-stream data ask-teacher",
    },
}


def write_pack(
    network: "SpottingNetwork",
    recipe: Recipe,
    corpus: Corpus,
    folder: Path,
    data: list[dict[str, str]] | None = None,
    verifier: "Taught | None" = None,
) -> Path:
    """Write the quantised network as a model pack; an older pack in `folder` is replaced.

    Cells that change nothing are left out.

    data: what it was trained on, as a manifest says it; by default what the corpus holds. verifier:
    the second stage.

    Raises PackError if the network is not exact on its grid.
    """
    on_grid = network.parameters_on_grid(recipe.features.input_grid, recipe.current_scale)
    parameters = pruned(on_grid)
    dtype = Network(parameters).exactness.dtype
    step, low, high = recipe.features.input_grid
    start, stop = recipe.decision_s
    used = [*corpus.clips, *corpus.streams]
    if any(len(clips.logits) for clips in corpus.clips.values()):
        used.append("posteriors")
    manifest = {
        "name": recipe.name,
        "version": recipe.version,
        "description": recipe.description,
        "licence": "MIT; trained on data under the licences below",
        "classes": list(recipe.classes),
        "keywords": list(recipe.keywords),
        "features": recipe.features.as_dict(),
        "grid": {"step": step, "low": low, "high": high},
        "detector": recipe.detector.as_dict(),
        "clip": {"from_s": start, "to_s": stop},
        "data": [SOURCES[name] for name in SOURCES if name in used] if data is None else data,
        "recipe": recipe.training_settings() | {"decision_s": list(recipe.decision_s)},
        "metrics": {},
    }
    head = None
    if verifier is not None:
        head = verifier.head
        manifest["verifier"] = verifier.fields
    graphs = stage_graphs(parameters, dtype)
    return packs.save(folder, manifest, parameters, graphs, overwrite=True, head=head)


def write_copy(
    pack: packs.Pack, verifier: "Taught", out: Path, corpus: Corpus | None = None
) -> None:
    """A copy of a pack with that verifier in place of its own; a pack in `out` is replaced.

    corpus: what the verifier was trained on, if that was more than its pack's manifest says.
    """
    used = [] if corpus is None else [*corpus.clips, *corpus.streams]
    data = list(pack.manifest["data"])
    data += [source for name, source in SOURCES.items() if name in used and source not in data]
    packs.save_copy(
        pack.path,
        out,
        overwrite=True,
        head=verifier.head,
        name=out.resolve().name,
        verifier=verifier.fields,
        data=data,
        metrics={},
    )


def record_metrics(folder: Path, data: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Measure the pack in `folder` on validation clips of `data` and write that to its manifest.

    Fresh and carried, with the commands that give the same figures; returns the metrics.
    """
    pack = packs.load(folder)
    task = pack.manifest["recipe"]["task"]
    selection = select(data, task, "validation").clips
    speakers = len({speaker_of(clip.path.name) for clip in selection if clip.word != SILENCE})
    metrics: dict[str, Any] = {}
    for carry in (False, True):
        result = evaluate(data, task, "validation", folder, carry=carry, progress=progress)
        command = f"kws-stream evaluate DATA --task {task} --split validation -m {pack.name}"
        command += " --carry" if carry else ""
        figures = {result.headline[0]: result.headline[1]}
        if result.eight_words is not None:
            figures["eight_words"] = result.eight_words
        if not carry:
            figures["core_power_nw"] = result.core_power_nw["mean"]
        for name, value in figures.items():
            label = f"{name}_carried" if carry else name
            metrics[label] = {"value": round(value, 4), "command": command}
        label = f"{result.headline[0]}_carried" if carry else result.headline[0]
        metrics[label] |= {"clips": result.clips, "speakers": speakers}
    packs.save_metrics(folder, metrics)
    return metrics
