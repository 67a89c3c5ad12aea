"""`kws-stream train`: a recipe and recordings in, a model pack out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import IMPORT_S, progress
from kws_stream.errors import DataError, MissingExtraError, ParameterError, did_you_mean
from kws_stream.training import training_extra

if TYPE_CHECKING:
    from kws_stream.training.corpus import Corpus
    from kws_stream.training.loop import Check, Training
    from kws_stream.training.recipe import Recipe
    from kws_stream.training.stages import Stage
    from kws_stream.training.teacher import Teacher

FOLDER = click.Path(file_okay=False, path_type=Path)
CACHE = Path("runs") / "cache"


pictures_option = click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    help="Log-mel pictures of Speech Commands clips, a folder or tar archive, to train on too.",
)

teacher_option = click.option(
    *("--teacher", "teachers"),
    type=click.Path(path_type=Path),
    multiple=True,
    help="Whom to learn from: a folder made by `kws-stream teach`, or a file made by `kws-stream "
    "data ask-teacher`; both for a recipe that has stages of either.",
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
@click.option(
    "--kokoro",
    type=FOLDER,
    help="Kokoro's files, to speak the wake phrase too. Default: kokoro, where "
    "`kws-stream data fetch kokoro` has left it.",
)
@click.option(
    "--target-fa-per-hour",
    "target",
    type=click.FloatRange(0, min_open=True, max=1e6),
    help="False accepts per hour that the threshold of a wake phrase is chosen for. Default: 0.5.",
)
@click.option(
    "--verifier",
    type=click.Choice(["host", "mcu", "none"]),
    help="Second stage of a wake phrase, which a computer runs or a microcontroller. Default: host "
    "where its extra, phrase, is installed.",
)
@click.option("--synthetic", type=FOLDER, help="Clips made by scripts/synthesise_words.py.")
@pictures_option
@click.option("--out", type=FOLDER, help="Folder of the new model pack.")
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
    "Trains the recipe's last stage alone, or those from --from-stage on.",
)
@click.option(
    "--from-stage", metavar="NAME", help="Train the stages of the recipe from this one on."
)
@click.option("--show", is_flag=True, help="Print every setting of every stage, and train nothing.")
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
    out: Path | None,
    run: Path | None,
    threads: int | None,
    device: str,
    start_from: tuple[Path, ...],
    from_stage: str | None,
    show: bool,
    teachers: tuple[Path, ...],
    resume: bool,
) -> None:
    """Train a model pack from a recipe, or for a wake phrase.

    Ctrl-C loses the steps since the last checkpoint alone: --resume goes on from it."""
    from kws_stream import packs

    if show:
        if recipe is None or wake_phrase is not None:
            raise click.UsageError("--show is for a recipe: need CONFIG.toml alone.")
        from kws_stream.training import stages as of_file

        click.echo(of_file.shown(of_file.stages_from_toml(recipe)), nl=False)
        return
    if out is None:
        raise click.UsageError("need --out, the folder of the new model pack.")
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
    elif teachers:
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
    from kws_stream.training.recipe import WAKE_PHRASE
    from kws_stream.training.stages import stages_from_toml

    assert recipe is not None
    assert data is not None
    stages = stages_from_toml(recipe)
    last = stages[-1].recipe
    if last.task == WAKE_PHRASE:
        raise click.UsageError(f"{recipe} is for a wake phrase: add --wake-phrase WORDS.")
    run = run or Path("runs") / last.name
    wanted = stages_to_train(stages, from_stage, start_from, teachers, run)
    corpus = read_corpus(data, synthetic, last, pictures)
    corpus, network_teacher = taught_by(teachers, last, corpus)
    for stage, folders in wanted:
        training = run_training(
            stage.recipe,
            corpus.without(*stage.recipe.without),
            run / stage.name,
            folders,
            resume,
            network_teacher,
            device,
            f"{last.name} {stage.name}".rstrip(),
        )
    write_pack(training.network, last, corpus.without(*last.without), out)
    with progress("measuring on validation clips") as measured:
        metrics = record_metrics(out, folder_of(data, "speech_commands"), measured)
    for name, metric in metrics.items():
        say(f"{name}: {metric['value']}")
    complain(f"wrote {out}")


def stages_to_train(
    stages: "tuple[Stage, ...]",
    from_stage: str | None,
    start_from: tuple[Path, ...],
    teachers: tuple[Path, ...],
    run: Path,
) -> "list[tuple[Stage, tuple[Path, ...]]]":
    """The stages that are trained, each with the folders of what it begins with.

    With --start-from the last one alone, or those from --from-stage on. Raises ParameterError where
    a stage has nothing to begin with or nobody to learn from, before anything is read.
    """
    names = [stage.name for stage in stages]
    first = len(stages) - 1 if start_from else 0
    if from_stage is not None:
        if from_stage not in names:
            raise ParameterError(
                f"--from-stage: know {', '.join(filter(None, names)) or 'no stage'}, got "
                f"{from_stage}{did_you_mean(from_stage, names)}"
            )
        first = names.index(from_stage)
    wanted = []
    for number, stage in enumerate(stages[first:]):
        folders = tuple(run / name for name in stage.begins_with)
        if number == 0 and start_from:
            folders = start_from
        recipe = stage.recipe
        where = f"stage {stage.name} of {recipe.name}" if stage.name else recipe.name
        if not folders and (recipe.classifier_alone or recipe.new_classifier):
            setting = "classifier_alone" if recipe.classifier_alone else "new_classifier"
            raise ParameterError(
                f"{where}: {setting} needs a trained network to begin with, got none; "
                "name it with --start-from"
            )
        wants_network = recipe.teacher == "network"
        if recipe.teacher_weight and not any(p.is_dir() == wants_network for p in teachers):
            command = "teach" if wants_network else "data ask-teacher"
            raise ParameterError(
                f"{where} learns from a teacher: need the one that `kws-stream {command}` makes, "
                "got none; name it with --teacher"
            )
        wanted.append((stage, folders))
    return wanted


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


def run_training(
    settings: "Recipe",
    corpus: "Corpus",
    run: Path,
    start_from: tuple[Path, ...],
    resume: bool,
    teacher: "Teacher | None" = None,
    device: str = "cpu",
    title: str | None = None,
) -> "Training":
    """Train to the end, telling of each validation; title: what the lines of progress call it."""
    from kws_stream.training.curves import draw_curves
    from kws_stream.training.loop import Training

    with progress("preparing the network"):
        training = Training(settings, corpus, run, teacher, device)
        if start_from:
            training.start_from(*start_from)
    if resume:
        found = training.resume()
        complain(f"resumed at step {training.step}" if found else "no checkpoint: from step 0")
    with progress(f"training {title or settings.name}", "steps") as trained:

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
