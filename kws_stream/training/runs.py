"""Training runs from Python: recipe and recordings in, model pack out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kws_stream import packs, verifier
from kws_stream.arguments import writable_folder
from kws_stream.brief import brief
from kws_stream.errors import (
    DataError,
    MissingExtraError,
    PackError,
    ParameterError,
    TaskError,
    did_you_mean,
)
from kws_stream.training.corpus import CACHE, Corpus
from kws_stream.training.curves import draw_curves
from kws_stream.training.extra import set_up
from kws_stream.training.recipe import EVENTS, WAKE_PHRASE, Recipe
from kws_stream.training.reporter import IMPORT_S, SILENT, Reporter
from kws_stream.training.stages import Stage, recipe_from_toml, stages_from_toml

if TYPE_CHECKING:
    from kws_stream.training.loop import Training, ValidationCheck
    from kws_stream.training.teacher import Teacher


def train(
    recipe: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    synthetic: Path | None = None,
    pictures: Path | None = None,
    run: Path | None = None,
    start_from: Sequence[Path] = (),
    from_stage: str | None = None,
    teachers: Sequence[Path] = (),
    resume: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Train the stages of a recipe file, write a model pack, and return its metrics.

    data: folder that holds speech_commands, or for the task events clips. out: folder of the pack;
    an older pack there is replaced. synthetic, pictures: as of `Corpus.from_folders`. run: folder
    of logs and checkpoints, by default runs/NAME; with resume the training goes on from those.
    start_from: runs or packs whose networks' mean to begin with, for the last stage alone or those
    from from_stage on.
    teachers: what stages with a teacher learn from. device, threads: as PyTorch knows them.

    Metrics are of validation clips: {name: {"value", "command"}}, as in the manifest; none for the
    task events.

    Raises ParameterError for a recipe that makes no sense or wants what is not there, DataError for
    recordings that are missing, PackError for a place that holds no pack, and MissingExtraError
    without PyTorch.
    """
    from kws_stream.evaluation import folder_of

    recipe, data, out = Path(recipe), Path(data), Path(out)
    packs.check_replaceable(out)
    with reporter.progress("loading PyTorch", first_s=IMPORT_S):
        set_up(device, threads)
        from kws_stream.training.packing import record_metrics, write_pack
        from kws_stream.training.posteriors import taught_by
    stages = stages_from_toml(recipe)
    last = stages[-1].recipe
    if last.task == WAKE_PHRASE:
        raise TaskError(f"{recipe} is for a wake phrase: add --wake-phrase WORDS.")
    run = run or Path("runs") / last.name
    writable_folder(run)
    wanted = stages_to_train(stages, from_stage, start_from, teachers, run)
    corpus = read_corpus(data, synthetic, last, pictures, reporter)
    corpus, network_teacher = taught_by(tuple(teachers), last, corpus)
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
            reporter,
        )
    of_recipe = last.sources if last.task == EVENTS else None
    write_pack(training.network, last, corpus.without(*last.without), out, of_recipe)
    if last.task == EVENTS:  # `evaluate-stream` measures it, on recordings with labels
        return {}
    with reporter.progress("measuring on validation clips") as measured:
        return record_metrics(out, folder_of(data, "speech_commands"), measured)


def teach(
    recipe: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    synthetic: Path | None = None,
    pictures: Path | None = None,
    steps: int = 6000,
    threads: int | None = None,
    reporter: Reporter = SILENT,
) -> tuple[Path, dict[str, float]]:
    """Train a teacher on the clips, features and classes of a recipe (see `teacher`).

    Returns its file in the folder `out`, and its accuracy on validation "clips" and "pictures".
    Arguments and errors: as of `train`.
    """
    recipe, data, out = Path(recipe), Path(data), Path(out)
    writable_folder(out)
    with reporter.progress("loading PyTorch", first_s=IMPORT_S):
        set_up(threads=threads)
        from kws_stream.training import teacher
        from kws_stream.training.augment import condition
        from kws_stream.training.validation import validation_clips
    settings = recipe_from_toml(recipe)
    corpus = read_corpus(data, synthetic, settings, pictures, reporter)
    with reporter.progress("training the teacher", "steps") as trained:
        made = teacher.train_teacher(
            settings, corpus, steps, lambda step, loss: trained(step, steps)
        )
    held_out = validation_clips(corpus, settings)
    path = teacher.save_teacher(made, settings, out)
    with reporter.progress("checking the teacher on validation clips"):
        shares = {
            name: teacher.accuracy(
                made, condition(of_source.clips, settings.features), of_source.labels
            )
            for source, name in (("speech_commands", "clips"), ("pictures", "pictures"))
            if len(of_source := held_out.of(source))
        }
    return path, shares


def add_verifier(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    synthetic: Path | None = None,
    pictures: Path | None = None,
    steps: int = 4000,
    seed: int = 0,
    threads: int | None = None,
    reporter: Reporter = SILENT,
) -> float:
    """Write a copy of a pack, a name or a folder, with a verifier for microcontrollers.

    Returns the verifier's threshold. Arguments and errors: as of `train`.
    """
    data, out = Path(data), Path(out)
    packs.check_replaceable(out)
    pack = packs.load(model)
    with reporter.progress("loading PyTorch", first_s=IMPORT_S):
        set_up(threads=threads)
        from kws_stream.training import verifier_network
        from kws_stream.training.packing import write_copy
    recipe = verifier_network.recipe_of(pack)
    corpus = read_corpus(data, synthetic, recipe, pictures, reporter)
    settings = verifier_network.NetworkSettings(steps=steps, seed=seed)
    with reporter.progress("training the verifier", "steps") as trained:
        taught = verifier_network.teach(
            corpus, recipe, settings, lambda step, loss: trained(step, steps)
        )
    write_copy(pack, taught, out, corpus)
    return float(taught.fields["threshold"])


def teach_triggers(
    model: str,
    triggers: Iterable[tuple[NDArray[np.float32], float, bool]],
    out: Path,
    *,
    run: Path | None = None,
    target: float,
    reporter: Reporter = SILENT,
) -> tuple[float, int]:
    """Write a copy of a pack, a name or a folder, whose verifier has learnt from labelled triggers.

    triggers: sound (n,) at 16 kHz, when in it the network triggered, in s, and whether the phrase
    was spoken. run: that in which the pack was trained, by default runs/<its name>. target: false
    accepts per hour that the threshold is chosen for; where the network's score counts too, the
    threshold stays. Returns the threshold and how many triggers there were. Raises PackError for a
    pack without a verifier of the kind host, DataError without triggers or without what the
    verifier was taught from.
    """
    packs.check_replaceable(out)
    pack = packs.load(model)
    if pack.verifier is None or pack.verifier.kind != "host":
        raise PackError(
            f"{pack.name}: need a pack with a verifier of the kind host to teach, got one with "
            f"{'none' if pack.verifier is None else 'another'}"
        )
    with reporter.progress("loading PyTorch", first_s=IMPORT_S):
        set_up()
        from kws_stream.training import verifier_again, verifier_lesson
        from kws_stream.training.packing import write_copy
    kept = [verifier_again.LabelledTrigger(*each) for each in triggers]
    place = (run or Path("runs") / pack.name) / verifier_lesson.NAME
    lesson = verifier_lesson.read_lesson(place, verifier.find_graphs())
    with reporter.progress("teaching the verifier", "steps") as done:
        taught = verifier_again.teach_again(
            verifier.parse_head(pack.verifier.head), lesson, kept, target, progress=done
        )
    if pack.verifier.network_weight:  # the head's own threshold is none for both together
        own = {key: pack.manifest["verifier"][key] for key in ("threshold", "network_weight")}
        taught = replace(taught, fields={**taught.fields, **own})
    write_copy(pack, taught, out)
    return float(taught.fields["threshold"]), len(kept)


@dataclass(frozen=True)
class PicturesFit:
    """How well the map from pictures fits validation speakers.

    clips: those with a picture and a recording; same: those of them whose two are of one recording;
    errors: of these, mean error of the envelopes in neper, channel by channel.
    """

    pictures: int
    clips: int
    same: int
    errors: tuple[float, ...]

    __repr__ = brief


def fit_pictures(
    config: Path, pictures: Path, data: Path, threads: int | None = None
) -> PicturesFit:
    """Fit the map from pictures to the envelopes of a recipe, and keep it in the cache.

    data: folder with speech_commands. Raises MissingExtraError without PyTorch, ParameterError for
    a wrong recipe and DataError where too few clips have both.
    """
    set_up(threads=threads)
    import torch

    from kws_stream.training.corpus import fitted_map, pairs_of, recordings_of
    from kws_stream.training.pictures import Pictures, same_recording

    settings = recipe_from_toml(config).features
    recordings = recordings_of(data, settings, CACHE, torch.get_num_threads())
    shown = Pictures.load(pictures)
    picture_map = fitted_map(shown, recordings, settings, CACHE)
    paired, envelopes = pairs_of(shown, recordings, "validation")
    if not len(envelopes):
        return PicturesFit(len(shown.words), 0, 0, ())
    errors = picture_map.errors(paired.pixels, envelopes)
    same = same_recording(errors)
    means = tuple(map(float, errors[same].mean(0)))
    return PicturesFit(len(shown.words), len(errors), int(same.sum()), means)


def stages_to_train(
    stages: tuple[Stage, ...],
    from_stage: str | None,
    start_from: Sequence[Path],
    teachers: Sequence[Path],
    run: Path,
) -> list[tuple[Stage, tuple[Path, ...]]]:
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
        folders = tuple(run / name for name in stage.init_from)
        if number == 0 and start_from:
            folders = tuple(start_from)
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
    data: Path,
    synthetic: Path | None,
    settings: Recipe,
    pictures: Path | None = None,
    reporter: Reporter = SILENT,
) -> Corpus:
    """The recordings to train on; what of them is left out is told."""
    import torch

    notes: list[str] = []
    with reporter.progress("computing envelopes", "recordings") as done:
        corpus = Corpus.from_folders(
            *(data, synthetic, settings.features, CACHE, torch.get_num_threads(), pictures),
            clip_s=settings.clip_s,
            of_events=settings.task == EVENTS,
            notes=notes,
            progress=done,
        )
    for note in notes:
        reporter.note(note)
    return corpus


def run_training(
    settings: Recipe,
    corpus: Corpus,
    run: Path,
    start_from: Sequence[Path],
    resume: bool,
    teacher: "Teacher | None" = None,
    device: str = "cpu",
    title: str | None = None,
    reporter: Reporter = SILENT,
) -> "Training":
    """Train to the end, telling of each validation; title: what the lines of progress call it."""
    from kws_stream.training.loop import Training

    with reporter.progress("preparing the network"):
        training = Training(settings, corpus, run, teacher, device)
        if start_from:
            training.start_from(*start_from)
    if resume:
        there = (training.folder / "checkpoint.safetensors").exists()
        if training.resume():
            reporter.note(f"resumed at step {training.step}")
        elif there:
            reporter.note(
                f"the checkpoint in {training.folder} is of other settings, or began with another "
                "network: from step 0"
            )
        else:
            reporter.note("no checkpoint: from step 0")
    with reporter.progress(f"training {title or settings.name}", "steps") as trained:

        def report(check: "ValidationCheck") -> None:
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
        reporter.note(f"no curves.png: {error}")
    return training
