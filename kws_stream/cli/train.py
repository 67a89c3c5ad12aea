"""`kws-stream train`: a recipe and recordings in, a model pack out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import IMPORT_S, progress
from kws_stream.errors import DataError, MissingExtraError, ParameterError
from kws_stream.training import training_extra

if TYPE_CHECKING:
    from kws_stream.training.corpus import Corpus
    from kws_stream.training.loop import Check, Training
    from kws_stream.training.recipe import Recipe
    from kws_stream.training.teacher import Teacher

FOLDER = click.Path(file_okay=False, path_type=Path)
CACHE = Path("runs") / "cache"


pictures_option = click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    help="Log-mel pictures of Speech Commands clips, a folder or tar archive, to train on too.",
)

teacher_option = click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    help="Whom to learn from: a folder made by `kws-stream teach`, or a file made by `kws-stream "
    "data ask-teacher`.",
)


@click.command()
@click.argument("recipe", metavar="[CONFIG.toml]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--wake-phrase",
    metavar="WORDS",
    help="Train for these words, from synthetic speech; CONFIG.toml may change the recipe.",
)
@click.option(
    "--positives", type=FOLDER, help="Own recordings of the wake phrase, any files at any rate."
)
@click.option(
    "--data",
    type=FOLDER,
    help="Folder that holds speech_commands. For --wake-phrase: real speech without it.",
)
@click.option("--kokoro", type=FOLDER, help="Files of Kokoro, to speak the wake phrase too.")
@click.option(
    "--target-fa-per-hour",
    "target",
    type=click.FloatRange(0, min_open=True, max=1e6),
    help="False accepts per hour that the threshold of a wake phrase is chosen for. Default: 0.5.",
)
@click.option(
    "--verifier",
    type=click.Choice(["host", "none"]),
    help="Second stage of a wake phrase, which a computer runs. Default: host where its extra, "
    "phrase, is installed.",
)
@click.option("--synthetic", type=FOLDER, help="Clips made by scripts/synthesise_words.py.")
@pictures_option
@click.option("--out", type=FOLDER, required=True, help="Folder of the new model pack.")
@click.option("--run", type=FOLDER, help="Folder of log and checkpoint. Default: runs/NAME.")
@click.option("--threads", type=click.IntRange(1), help="Processor cores. Default: all.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where to train: the processor, or a GPU.",
)
@click.option(
    "--start-from",
    type=FOLDER,
    multiple=True,
    help="Run or model pack whose network to begin with; of several, with their mean. "
    "Default: the runs that the recipe names, beside --run.",
)
@teacher_option
@click.option("--resume", is_flag=True, help="Go on from the run's checkpoint.")
def train(
    recipe: Path | None,
    wake_phrase: str | None,
    positives: Path | None,
    data: Path | None,
    kokoro: Path | None,
    target: float | None,
    verifier: str | None,
    synthetic: Path | None,
    pictures: Path | None,
    out: Path,
    run: Path | None,
    threads: int | None,
    device: str,
    start_from: tuple[Path, ...],
    teacher: Path | None,
    resume: bool,
) -> None:
    """Train a model pack from a recipe, or for a wake phrase.

    Ctrl-C loses the steps since the last checkpoint alone: --resume goes on from it."""
    from kws_stream import packs

    if wake_phrase is None:
        if recipe is None or data is None:
            raise click.UsageError("need CONFIG.toml and --data, or --wake-phrase.")
        of_phrase = {
            "positives": positives,
            "kokoro": kokoro,
            "target-fa-per-hour": target,
            "verifier": verifier,
        }
        for name, given in of_phrase.items():
            if given is not None:
                raise click.UsageError(f"--{name} is for --wake-phrase: give both.")
    elif synthetic is not None:
        raise click.UsageError("--synthetic is not for --wake-phrase, which makes its own speech.")
    elif pictures is not None:
        raise click.UsageError("--pictures is not for --wake-phrase: they are of other words.")
    elif teacher is not None:
        raise click.UsageError("--teacher is not for --wake-phrase.")
    packs.check_replaceable(out)
    phrase = None
    if wake_phrase is not None:
        from kws_stream.evaluation.sources import audio_below
        from kws_stream.training.phrase import Phrase

        phrase = Phrase.parse(wake_phrase)
        if positives is not None:  # a folder without recordings is refused before all the rest
            audio_below(positives)
    with progress("loading PyTorch", first_s=IMPORT_S), training_extra():
        import torch

        import kws_stream.training.loop  # noqa: F401
        from kws_stream.training.posteriors import taught_by
    if device == "cuda" and not torch.cuda.is_available():
        raise ParameterError(
            "need a GPU and a build of PyTorch for it with --device cuda, found none; "
            "leave --device out"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    if phrase is not None:
        from kws_stream.cli.train_phrase import train_phrase

        train_phrase(
            phrase,
            config=recipe,
            positives=positives,
            data=data,
            out=out,
            run=run,
            start_from=start_from,
            resume=resume,
            kokoro=kokoro,
            target=target,
            device=device,
            verifier=verifier,
        )
        return
    from kws_stream.evaluation import folder_of
    from kws_stream.training.packing import record_metrics, write_pack
    from kws_stream.training.recipe import WAKE_PHRASE, Recipe

    assert recipe is not None
    assert data is not None
    settings = Recipe.from_toml(recipe)
    if settings.task == WAKE_PHRASE:
        raise click.UsageError(f"{recipe} is for a wake phrase: add --wake-phrase WORDS.")
    run = run or Path("runs") / settings.name
    starts = folders_to_start_from(settings, run, start_from)
    corpus = read_corpus(data, synthetic, settings, pictures)
    corpus, network_teacher = taught_by(teacher, settings, corpus)
    training = run_training(settings, corpus, run, starts, resume, network_teacher, device)
    write_pack(training.network, settings, corpus, out)
    with progress("measuring on validation clips") as measured:
        metrics = record_metrics(out, folder_of(data, "speech_commands"), measured)
    for name, metric in metrics.items():
        say(f"{name}: {metric['value']}")
    complain(f"wrote {out}")


def read_corpus(
    data: Path, synthetic: Path | None, settings: "Recipe", pictures: Path | None = None
) -> "Corpus":
    """The recordings to train on; what of them is left out is told."""
    import torch

    from kws_stream.training.corpus import Corpus

    notes: list[str] = []
    with progress("computing envelopes", "recordings") as done:
        corpus = Corpus.from_folders(
            *(data, synthetic, settings.features, CACHE, torch.get_num_threads(), pictures),
            notes=notes,
            progress=done,
        )
    for note in notes:
        complain(note)
    return corpus


def folders_to_start_from(
    settings: "Recipe", run: Path, given: tuple[Path, ...]
) -> tuple[Path, ...]:
    """Those of --start-from, or the runs beside this one that the recipe names.

    Raises ParameterError where there are none and the recipe needs a trained network.
    """
    folders = given or tuple(run.parent / name for name in settings.starts)
    if settings.classifier_alone and not folders:
        raise ParameterError(
            f"{settings.name}: classifier_alone needs a trained network to begin with, got none; "
            "name it in begins_with or with --start-from"
        )
    return folders


def run_training(
    settings: "Recipe",
    corpus: "Corpus",
    run: Path,
    start_from: tuple[Path, ...],
    resume: bool,
    teacher: "Teacher | None" = None,
    device: str = "cpu",
) -> "Training":
    """Train to the end, telling of each validation."""
    from kws_stream.cli.curves import draw_curves
    from kws_stream.training.loop import Training

    with progress("preparing the network"):
        training = Training(settings, corpus, run, teacher, device)
        if start_from:
            training.start_from(*start_from)
    if resume:
        found = training.resume()
        complain(f"resumed at step {training.step}" if found else "no checkpoint: from step 0")
    with progress(f"training {settings.name}", "steps") as trained:

        def report(check: "Check") -> None:
            of_pictures = ""
            if check.pictures_fresh is not None:
                of_pictures = (
                    f", on pictures {check.pictures_fresh:.4f} and {check.pictures_carried:.4f}"
                )
            trained.say(
                f"step {check.step}: loss {check.loss:.3f}, core {check.power_nw:.0f} nW, "
                f"balanced accuracy on validation clips {check.fresh:.4f} fresh, "
                f"{check.carried:.4f} carried{of_pictures} "
                f"({check.seconds:.0f} s)"
            )

        training.run(report, lambda step: trained(step, settings.steps))
    try:
        draw_curves(training.folder / "log.csv", training.folder / "curves.png")
    except (MissingExtraError, DataError) as error:  # of a log that an earlier run left damaged
        complain(f"no curves.png: {error}")
    return training
