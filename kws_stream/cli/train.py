"""`kws-stream train`: a recipe and recordings in, a model pack out."""

from pathlib import Path
from typing import Any

import click

from kws_stream import training
from kws_stream.cli.options import fa_target_option, threads_option
from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import TERMINAL
from kws_stream.errors import TaskError

FOLDER = click.Path(file_okay=False, path_type=Path)

data_option = click.option(
    "--data", type=FOLDER, required=True, help="Folder that holds the folder speech_commands."
)
synthetic_option = click.option(
    "--synthetic", type=FOLDER, help="Folder of clips made by scripts/synthesise_words.py."
)
pictures_option = click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    help="Also train on this folder or tar archive of log-mel pictures of Speech Commands clips.",
)

teacher_option = click.option(
    *("--teacher", "teachers"),
    type=click.Path(path_type=Path),
    multiple=True,
    help="Learn from this teacher: a folder made by `kws-stream teach`, or a file made by "
    "`kws-stream data ask-teacher`. Repeat the option if the recipe has stages for each "
    "of them.",
)


@click.command()
@click.argument("recipe", metavar="[CONFIG.toml]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--wake-phrase",
    metavar="WORDS",
    help="Train a model for these words from synthetic speech. CONFIG.toml may change the recipe.",
)
@click.option(
    "--positives",
    type=FOLDER,
    help="Folder of your own recordings of the wake phrase, in any format and at any rate.",
)
@click.option(
    "--data",
    type=FOLDER,
    help="Folder that holds the folder speech_commands. With --wake-phrase: folder of real "
    "speech without the phrase.",
)
@click.option(
    "--kokoro",
    type=FOLDER,
    help="Folder of Kokoro's files, whose voices then speak the wake phrase too. Default: the "
    "folder kokoro, if `kws-stream data fetch kokoro` has made it here.",
)
@fa_target_option(
    "Choose the threshold of a wake phrase for this many false accepts an hour. Default: 0.3.",
    default=None,
)
@click.option(
    "--verifier",
    type=click.Choice(["host", "mcu", "none"]),
    help="Second stage of a wake phrase, for a computer (host) or a microcontroller (mcu). "
    "Default: host, if its extra phrase is installed.",
)
@synthetic_option
@pictures_option
@click.option(
    *("-o", "--output", "out"), type=FOLDER, help="Write the new model pack to this folder."
)
@click.option(
    "--run", type=FOLDER, help="Write log and checkpoint to this folder. Default: runs/NAME."
)
@threads_option
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Train on the processor or on a GPU.",
)
@click.option(
    "--start-from",
    type=FOLDER,
    multiple=True,
    help="Start from the network of this run or model pack, or from the mean of several. Then "
    "only the recipe's last stage is trained, or those from --from-stage on.",
)
@click.option("--from-stage", metavar="NAME", help="Train the recipe's stages from this one on.")
@click.option("--show", is_flag=True, help="Print every setting of every stage, and train nothing.")
@teacher_option
@click.option("--resume", is_flag=True, help="Continue from the run's last checkpoint.")
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
    """Train a model from a recipe, or for a wake phrase.

    Ctrl-C loses only the steps since the last checkpoint; --resume continues from there.

    Example: kws-stream train --wake-phrase "hey computer" -o hey-computer
    """
    if show:
        if recipe is None or wake_phrase is not None:
            raise click.UsageError("--show is for a recipe: need CONFIG.toml alone.")
        from kws_stream.training import stages as of_file

        click.echo(of_file.shown(of_file.stages_from_toml(recipe)), nl=False)
        return
    if out is None:
        raise click.UsageError("need --output, the folder of the new model pack.")
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
