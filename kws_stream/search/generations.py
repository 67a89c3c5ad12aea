"""A search for good recipes: accuracy against core power, by Optuna, in processes or on a cluster.

Trials are asked for in generations of a fixed size. A generation is trained, its outcomes are told
in the order of the trials, and only then the next one is asked for. So what is tried depends on the
seed and on outcomes alone, not on how many workers there are or which is quick. Going on from a
table asks for the same trials again and takes their outcomes from the table.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kws_stream import __version__
from kws_stream.errors import MissingExtraError, ParameterError
from kws_stream.search.space import Space
from kws_stream.search.table import Table, TriedRecipe
from kws_stream.search.trial import Outcome
from kws_stream.training.recipe import Recipe
from kws_stream.workers import Workers

if TYPE_CHECKING:
    from optuna import Study, Trial

FIRST_AT_RANDOM = 10  # at most; Optuna's own default


@dataclass(frozen=True)
class Search:
    """What is searched and how.

    generation: trials that are asked for together. power_budget_nw: the most that the core may
    take, at 1 nA; None: accuracy and power are two objectives, and the result is their front. steps
    of each trial, None for the recipe's.
    """

    space: Space
    seed: int = 0
    generation: int = 8
    power_budget_nw: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.generation < 1:
            raise ParameterError(f"generation: need 1 trial or more, got {self.generation}")
        if self.steps is not None and self.steps < 1:
            raise ParameterError(f"steps: need 1 or more, got {self.steps}")
        budget = self.power_budget_nw
        if budget is not None and not (math.isfinite(budget) and budget > 0):
            raise ParameterError(f"power budget: need nW above 0, got {budget}")

    def as_dict(self) -> dict[str, Any]:
        """All that decides which trials are tried, for the table."""
        base = self.space.base
        return {
            "recipe": base.training_settings()
            | {"name": base.name, "features": base.features.as_dict()},
            "space": self.space.as_dict(),
            "seed": self.seed,
            "generation": self.generation,
            "power_budget_nw": self.power_budget_nw,
            "steps": self.steps,
            "made_with": {"kws-stream": __version__, "optuna": _optuna().__version__},
        }


def search(
    what: Search,
    train: Callable[[Recipe], Outcome],
    trials: int,
    table: Table,
    workers: Workers,
    report: Callable[[TriedRecipe], None] = lambda trial: None,
) -> None:
    """Fill `table` up to `trials` trials; it is written after each of them.

    train: `trial.Train`, or anything else that `workers` can map. report hears of every trial that
    was not in the table. What is tried is the same for any number of workers, and for any number of
    times that the search was ended and resumed.

    Raises MissingExtraError without Optuna, ParameterError for a table of another search, and what
    `train`, `Table` and `workers` raise. A trial that fails is in the table, with its sentence.
    """
    if trials < len(table.trials):
        raise ParameterError(
            f"trials: need {len(table.trials)} or more, which the table has, got {trials}"
        )
    study = _study(what)
    for first in range(0, trials, what.generation):
        numbers = range(first, min(first + what.generation, trials))
        asked = [study.ask() for _ in numbers]
        drawn = [what.space.draw(trial) for trial in asked]
        known = table.trials[first : numbers.stop]
        if [trial.settings for trial in known] != drawn[: len(known)]:
            raise ParameterError(
                f"{table.folder}: need the trials that this search would ask for, got others; "
                "another version of Optuna may draw others: name another folder"
            )
        for tried in _try(what, train, drawn[len(known) :], workers):
            table.add(tried)
            report(tried)
        for trial, tried in zip(asked, table.trials[first : numbers.stop], strict=True):
            _tell(study, trial, tried, what)


def _try(
    what: Search,
    train: Callable[[Recipe], Outcome],
    drawn: list[dict[str, Any]],
    workers: Workers,
) -> Iterator[TriedRecipe]:
    """Outcomes in the order of the trials; settings that make no sense together are not trained."""
    recipes: list[Recipe | str] = []
    for settings in drawn:
        fixed = {} if what.steps is None else {"steps": what.steps}
        try:
            recipes.append(what.space.recipe(settings | fixed))
        except ParameterError as error:
            recipes.append(str(error))
    outcomes = workers.map(train, [recipe for recipe in recipes if isinstance(recipe, Recipe)])
    for settings, recipe in zip(drawn, recipes, strict=True):
        outcome = Outcome(0.0, error=recipe) if isinstance(recipe, str) else next(outcomes)
        yield TriedRecipe(settings, outcome)


def _study(what: Search) -> "Study":
    """A study without a trial yet; the recipe as it is comes first, where the space holds it."""
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(
        seed=what.seed,
        n_startup_trials=min(FIRST_AT_RANDOM, what.generation),
        constant_liar=True,  # the trials of a generation keep clear of one another
    )
    directions = ["maximize"] if what.power_budget_nw is not None else ["maximize", "minimize"]
    study: Study = optuna.create_study(sampler=sampler, directions=directions)
    base = what.space.base_as_drawn()
    if base is not None:
        study.enqueue_trial(base)
    return study


def _tell(study: "Study", trial: "Trial", tried: TriedRecipe, what: Search) -> None:
    state = _optuna().trial.TrialState
    accuracy, core_nw = tried.accuracy, tried.outcome.core_power_nw
    if accuracy is None or core_nw is None:
        study.tell(trial, state=state.FAIL)
    elif what.power_budget_nw is None:
        study.tell(trial, [accuracy, core_nw])
    else:
        trial.set_constraint("core_power_nw", core_nw - what.power_budget_nw)
        study.tell(trial, accuracy)


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(
            f"need Optuna for a search, got: {error}; pip install 'kws-stream[search]'"
        ) from error
    module: ModuleType = optuna
    return module
