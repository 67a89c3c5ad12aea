"""`kws-stream data`: data sets from where they are published."""

from pathlib import Path

import click

from kws_stream.cli.group import Group


@click.group(cls=Group)
def data() -> None:
    """Fetch data sets."""


@data.command()
@click.argument("name", metavar="NAME", type=click.Choice(["speech-commands"]))
@click.option(
    "--version", type=click.Choice(["0.02"]), default="0.02", show_default=True, help="Which one."
)
@click.option(
    *("-o", "--output"),
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    metavar="DIR",
    help="The data set becomes a folder in DIR.",
)
@click.option("--url", help="Another place that has the archive.")
@click.option(
    "--sha256", metavar="HEX", help="Another archive at --url: the checksum that it has to have."
)
@click.option("--keep-archive", is_flag=True, help="Keep the archive beside the folder.")
def fetch(
    name: str, version: str, output: Path, url: str | None, sha256: str | None, keep_archive: bool
) -> None:
    """Download, check and unpack a data set; print its folder.

    NAME: speech-commands, 2.4 GB. Run it again after it was cut: it goes on where it ended."""
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from kws_stream.evaluation import fetching

    archive = fetching.SPEECH_COMMANDS[version]
    if sha256 is not None:
        if url is None:
            raise click.UsageError("--sha256 is for another archive: give its --url too.")
        archive = fetching.other_archive(url, sha256)
    elif url is not None:
        archive = replace(archive, url=url)
    console = Console(stderr=True)
    columns = (
        *Progress.get_default_columns()[:2],
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks = {
            what: bar.add_task(what, total=None, start=False) for what in ("download", "unpack")
        }

        def report(what: str, done: int, total: int | None) -> None:
            bar.start_task(tasks[what])
            bar.update(tasks[what], completed=done, total=total)

        folder = fetching.fetch(archive, output, report, keep_archive)
    click.echo(str(folder))
