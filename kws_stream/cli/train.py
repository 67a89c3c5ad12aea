"""`kws-stream train`: a recipe and recordings in, a model pack out."""

from pathlib import Path
from typing import Any

import click

from kws_stream import training
from kws_stream.cli.options import fa_target_option
from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import TERMINAL
from kws_stream.errors import TaskError

FOLDER = click.Path(file_okay=False, path_type=Path)


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
@fa_target_option(
    "False accepts per hour that the threshold of a wake phrase is chosen for. Default: 0.5.",
    default=None,
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
    in_both: dict[str, Any] = {
        "run": run,
        "start_from": start_from,
        "resume": resume,
        "device": device,
        "threads": threads,
        "reporter": TERMINAL,
    }
    if wake_phrase is not None:
        metrics = training.train_phrase(
            wake_phrase,
            out,
            config=recipe,
            positives=positives,
            data=data,
            kokoro=kokoro,
            target=target,
            verifier=verifier,
            **in_both,
        )
    else:
        assert recipe is not None
        assert data is not None
        try:
            metrics = training.train(
                recipe,
                data,
                out,
                synthetic=synthetic,
                pictures=pictures,
                teachers=teachers,
                from_stage=from_stage,
                **in_both,
            )
        except TaskError as error:
            raise click.UsageError(str(error)) from error
    for name, metric in metrics.items():
        say(f"{name}: {metric['value']}")
    complain(f"wrote {out}")
