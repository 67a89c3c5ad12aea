"""What the commands of `kws-stream chip` share: options, progress, and where results go."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.files import write_json
from kws_stream.cli.options import json_file_options, model_option, plot_option, with_options
from kws_stream.cli.output import print_json, say
from kws_stream.cli.progress import progress
from kws_stream.files import decoded
from kws_stream.names import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kws_stream.bmru.chip import ChipSettings
    from kws_stream.packs import Pack
    from kws_stream.studies import Utterances
    from kws_stream.workers import Workers


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--settings and --set; `chip_settings` reads them."""
    command = click.option(
        *("--set", "changes"),
        multiple=True,
        metavar="NAME=VALUE",
        help="Change one setting of the chip. Repeatable. `kws-stream chip settings` lists them.",
    )(command)
    return click.option(
        *("--settings", "settings_file"),
        type=click.Path(path_type=Path),
        metavar="FILE",
        help='Read settings of the chip from this JSON file: {"name": value}.',
    )(command)


def study_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every study, given to the command as one `Study`."""

    def with_study(**given: Any) -> Any:
        own = {name: given.pop(name) for name in Study.__annotations__ if name in given}
        return command(study=Study(**own), **given)

    with_study.__name__, with_study.__doc__ = command.__name__, command.__doc__
    with_study.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    options: list[Callable[..., Any]] = [
        model_option("yes-4"),
        click.option(
            "--data",
            metavar="DIR",
            help="Speech Commands folder to hear. Default: the packaged synthetic clips.",
        ),
        click.option(
            "--split",
            type=click.Choice(["validation", "testing"]),
            default="validation",
            show_default=True,
            help="Split of the clips of --data.",
        ),
        click.option(
            "--clips",
            type=click.IntRange(1),
            default=500,
            show_default=True,
            help="Use at most this many clips, in equal shares of the classes.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="Seed that draws clips, chips and noise.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(1),
            help="Number of processes. Default: one for each processor.",
        ),
        click.option(
            "--cluster",
            metavar="ADDRESS",
            help="Let this Dask scheduler do the work in place of --jobs (extra: cluster).",
        ),
        json_file_options,
        plot_option("Draw a figure to this file (extra: report)."),
    ]
    return with_options(settings_options(with_study), options)


@dataclass(frozen=True)
class Study:
    """The options of a study."""

    model: str
    data: str | None
    split: str
    clips: int
    seed: int
    jobs: int | None
    cluster: str | None
    as_json: bool
    json_file: str | None
    figure: Path | None
    settings_file: Path | None
    changes: tuple[str, ...]

    def settings(self, **defaults: Any) -> "ChipSettings":
        """The chip's settings: the study's defaults, then the file's, then --set."""
        return chip_settings(self.settings_file, self.changes, **defaults)

    @contextlib.contextmanager
    def workers(self) -> Iterator["Workers"]:
        """Processes or a cluster."""
        from kws_stream.workers import Workers

        if self.jobs is not None and self.cluster is not None:
            raise click.UsageError("--jobs and --cluster: only one of them can be given.")
        with Workers(self.jobs, self.cluster) as workers:
            yield workers

    def utterances(
        self,
        pack: "Pack",
        workers: "Workers",
        front_end: dict[str, Any] | None = None,
        need_a_word: bool = True,
    ) -> "Utterances":
        """The clips, and their features for this model, or for a front end of other settings."""
        from kws_stream import studies

        with progress("computing features of clips") as heard:
            return studies.load_utterances(
                pack,
                self.data,
                split=self.split,
                clips=self.clips,
                seed=self.seed,
                front_end=front_end,
                need_a_word=need_a_word,
                workers=workers,
                progress=heard,
            )

    def show(
        self, figures: dict[str, Any], text: str, draw: Callable[[], "Figure"] | None = None
    ) -> None:
        """Write what was asked for; print the table, or the JSON in its place."""
        if self.figure is not None and draw is not None:
            from kws_stream.plots import save

            save(draw(), self.figure)
        if self.json_file is not None:
            write_json(Path(self.json_file), figures)
        if self.as_json:
            print_json(figures)
            return
        notes = [f"Note: {note}" for note in figures.get("notes", ())]
        notes += [f"Extrapolated: {note}" for note in figures.get("extrapolations", ())]
        say("\n".join([text, *notes]))


def chip_settings(file: Path | None, changes: tuple[str, ...], **defaults: Any) -> "ChipSettings":
    """Settings from defaults, a JSON file and NAME=VALUE; later ones win."""
    from kws_stream.bmru.chip import ChipSettings
    from kws_stream.errors import ParameterError

    values = dict(defaults)
    if file is not None:
        try:
            read = json.loads(decoded(file.read_bytes()))
        except (OSError, ValueError, RecursionError) as error:
            raise ParameterError(f"{file}: need chip settings as JSON, got: {error}") from error
        if not isinstance(read, dict):
            raise ParameterError(f"{file}: need a JSON object of chip settings")
        values |= read
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise click.BadParameter(f"{change!r}: need NAME=VALUE.", param_hint="--set")
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):
            values[name] = text
    return ChipSettings.from_dict(values)


def heading_text(figures: dict[str, Any], more: str = "") -> str:
    """The first line of every table."""
    return (
        f"{figures['model']} on {counted(figures['clips'], 'clip')} ({figures['data']}), "
        f"seed {figures['seed']}{more}"
    )
