"""The table of a search's trials: trials.json and trials.csv, rewritten whole after each trial."""

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kws_stream.arguments import writable_folder
from kws_stream.brief import brief
from kws_stream.errors import DataError, ParameterError
from kws_stream.files import write
from kws_stream.search.trial import Outcome

FIGURES = ("accuracy", "fresh", "carried", "core_power_nw", "seconds")


@dataclass(frozen=True)
class TriedRecipe:
    """The searched settings of a trial by name, and what came of them."""

    settings: dict[str, Any]
    outcome: Outcome

    __repr__ = brief

    @property
    def accuracy(self) -> float | None:
        """What is searched for: the mean of fresh and carried accuracy, 0..1."""
        if self.outcome.fresh is None or self.outcome.carried is None:
            return None
        return (self.outcome.fresh + self.outcome.carried) / 2


class Table:
    """Trials in the order of their numbers, in a folder.

    head: what was searched, as JSON can hold it. A new table begins with no trial; `resume` takes
    those of the files that are there. Raises DataError for files that are there without `resume`,
    that cannot be read or cannot be written, ParameterError for those of another search.
    """

    def __init__(self, folder: Path, head: dict[str, Any], resume: bool = False) -> None:
        writable_folder(folder)
        self.folder = folder
        self.trials: list[TriedRecipe] = []
        self._head: dict[str, Any] = json.loads(json.dumps(head))
        path = folder / "trials.json"
        if path.exists():
            if not resume:
                raise DataError(f"{path}: exists; --resume goes on from it, or name another folder")
            self.trials = self._read(path)

    def add(self, tried: TriedRecipe) -> None:
        self.trials.append(tried)
        self.write()

    def best(self) -> list[int]:
        """Numbers of the trials that none beats, the most accurate first.

        Without a power budget: in accuracy and core power both, the front. With one: the most
        accurate trial within it, if there is any.
        """
        points = [
            (-tried.accuracy, tried.outcome.core_power_nw, number)
            for number, tried in enumerate(self.trials)
            if tried.accuracy is not None and tried.outcome.core_power_nw is not None
        ]
        budget = self._head.get("power_budget_nw")
        if budget is not None:
            return [number for _, core_nw, number in sorted(points) if core_nw <= budget][:1]
        front: list[int] = []
        least = float("inf")
        for _, core_nw, number in sorted(points):
            if core_nw < least:
                least = core_nw
                front.append(number)
        return front

    def rows(self) -> list[dict[str, Any]]:
        """A trial each, as JSON can hold it: its settings are a dict of their own."""
        best = self.best()
        return [
            {
                "trial": number,
                "state": "done" if tried.outcome.error is None else "failed",
                "best": number in best,
                "accuracy": tried.accuracy,
                **asdict(tried.outcome),
                "settings": tried.settings,
            }
            for number, tried in enumerate(self.trials)
        ]

    def write(self) -> None:
        """Both files, each whole or not at all."""
        rows = self.rows()
        text = json.dumps({"search": self._head, "trials": rows}, indent=2, allow_nan=False)
        file = io.StringIO()
        names = list(self._head["space"])
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "state", "best", *FIGURES, *names, "error"])
        for row in rows:
            figures = [_short(row[name]) for name in FIGURES]
            settings = [_short(row["settings"][name]) for name in names]
            head = [row["trial"], row["state"], "yes" if row["best"] else "no"]
            writer.writerow([*head, *figures, *settings, row["error"]])
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, content in (("trials.csv", file.getvalue()), ("trials.json", text + "\n")):
                write(self.folder / name, content)
        except OSError as error:
            raise DataError(f"{self.folder}: need a folder to write to, got: {error}") from error

    def _read(self, path: Path) -> list[TriedRecipe]:
        try:
            stored = json.loads(path.read_text("utf-8"))
            head = stored["search"]
            tried = [
                TriedRecipe(
                    {name: _tuples(value) for name, value in row["settings"].items()},
                    Outcome(**{name: row[name] for name in Outcome.__dataclass_fields__}),
                )
                for row in stored["trials"]
            ]
        except (
            *(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError),
        ) as error:
            raise DataError(f"{path}: need the table of a search, got: {error!r}") from error
        for name, value in self._head.items():
            if name != "made_with" and head.get(name) != value:
                raise ParameterError(
                    f"{path}: need the same search, but {name} was another; "
                    "give the same or name another folder"
                )
        return tried


def _short(value: Any) -> Any:
    """Of a float six digits; of a list its JSON."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value) if isinstance(value, list | tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
