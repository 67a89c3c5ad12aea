"""`kws-stream search`: many short trainings that look for accuracy at little power."""

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.files import write_file
from kws_stream.cli.options import NumberRange, check_workers, workers_options
from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import progress
from kws_stream.cli.train import (
    FOLDER,
    data_option,
    pictures_option,
    synthetic_option,
    teacher_option,
)

if TYPE_CHECKING:
    from kws_stream.search.space import Space
    from kws_stream.search.table import Table, TriedRecipe

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("recipe", metavar="CONFIG.toml", type=FILE)
@click.option(
    "--space",
    type=FILE,
    required=True,
    help="TOML file of the settings to search, with their ranges.",
)
@data_option
@synthetic_option
@pictures_option
@teacher_option
@click.option("--trials", type=click.IntRange(1), required=True, help="Number of trainings in all.")
@click.option(
    *("-o", "--output", "out"),
    type=FOLDER,
    required=True,
    help="Write the table and the best recipes to this folder.",
)
@click.option(
    "--power-budget",
    type=NumberRange(0, min_open=True),
    metavar="NW",
    help="Look for the most accurate network that takes no more core power than this. Default:"
    " look for the front of accuracy and power.",
)
@click.option(
    "--steps", type=click.IntRange(1), help="Number of steps of a trial. Default: the recipe's."
)
@click.option(
    "--generation",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Number of trials that are chosen together, from the outcomes of all trials before them.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed that draws the trials.",
)
@click.option("--resume", is_flag=True, help="Continue from the table in --output.")
@workers_options
def search(
    recipe: Path,
    space: Path,
    data: Path,
    synthetic: Path | None,
    pictures: Path | None,
    teachers: tuple[Path, ...],
    trials: int,
    out: Path,
    power_budget: float | None,
    steps: int | None,
    generation: int,
    seed: int,
    resume: bool,
    jobs: int | None,
    cluster: str | None,
) -> None:
    """Search for better settings of a recipe.

    The command writes DIR/trials.csv and trials.json after each trial and, at the end, the recipes
    of the best trials. The same seed gives the same trials for any number of workers. Ctrl-C loses
    only the trials that are running; --resume continues.
    """
    from kws_stream.search.generations import Search
    from kws_stream.search.generations import search as run_search
    from kws_stream.search.space import Space
    from kws_stream.search.table import Table
    from kws_stream.search.trial import Train
    from kws_stream.training.corpus import CACHE
    from kws_stream.training.stages import recipe_from_toml
    from kws_stream.workers import Workers

    check_workers(jobs, cluster)
    searched = Space.from_toml(space, recipe_from_toml(recipe))
    what = Search(searched, seed, generation, power_budget, steps)
    table = Table(out, what.as_dict(), resume)
    train = Train(data, synthetic, CACHE.resolve(), teachers, pictures)
    notes: list[str] = []
    with progress("computing envelopes", "recordings") as read:  # once, before all workers
        train.corpus(searched.base.features, jobs or os.cpu_count() or 1, notes, read)
    for note in notes:
        complain(note)
    with progress("searching", "trials") as shown, Workers(jobs, cluster) as workers:
        shown(len(table.trials), trials)

        def report(tried: "TriedRecipe") -> None:
            shown(len(table.trials), trials)
            shown.say(f"trial {len(table.trials) - 1}: {_told(tried)}")

        run_search(what, train, trials, table, workers, report)
    say(_best(table))
    _write_recipes(table, searched, out)
    complain(f"wrote {shlex.quote(str(out))}")


def _told(tried: "TriedRecipe") -> str:
    """A trial's outcome in a line."""
    outcome = tried.outcome
    if outcome.error is not None:
        return f"failed: {outcome.error}"
    return (
        f"balanced accuracy on validation clips {outcome.fresh:.4f} fresh, {outcome.carried:.4f} "
        f"carried, core {outcome.core_power_nw:.1f} nW ({outcome.seconds:.0f} s)"
    )


def _best(table: "Table") -> str:
    """The best trials, with what was searched, in lines of name=value."""
    lines = [f"{'trial':>5}{'accuracy':>10}{'fresh':>8}{'carried':>9}{'core':>11}  settings"]
    rows = table.rows()
    for row in (rows[number] for number in table.best()):
        settings = " ".join(f"{name}={value}" for name, value in row["settings"].items())
        lines.append(
            f"{row['trial']:>5}{100 * row['accuracy']:>8.2f} %{100 * row['fresh']:>8.2f}"
            f"{100 * row['carried']:>9.2f}{row['core_power_nw']:>8.1f} nW  {settings}"
        )
    return "\n".join(lines) if len(lines) > 1 else "no trial is within what was asked for"


def _write_recipes(table: "Table", space: "Space", folder: Path) -> None:
    """trial-N.toml of the best trials: with the steps of the recipe, not those of a trial."""
    from kws_stream.search.space import recipe_toml

    for number in table.best():
        found = space.recipe(table.trials[number].settings)
        named = replace(found, name=f"{found.name}-trial-{number}")
        write_file(folder / f"trial-{number}.toml", recipe_toml(named))
