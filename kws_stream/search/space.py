"""What a search may change of a recipe: settings with a range or choices, in one TOML file."""

import json
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kws_stream.brief import brief
from kws_stream.errors import ParameterError, did_you_mean
from kws_stream.features import FeatureSettings
from kws_stream.files import decoded
from kws_stream.old_names import OF_SETTINGS, renamed
from kws_stream.training.recipe import Recipe
from kws_stream.training.stages import changed, over

if TYPE_CHECKING:
    from optuna import Trial

SECTIONS = ("features", "shares")  # tables of a recipe whose settings may be searched
FIXED = (
    "name",
    "task",
    "description",
    "version",
    "seed",
    "without",
    "limits",
    "detector",
    *SECTIONS,
)
DIGITS = 4  # significant ones of a number that is drawn


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included, even in their logarithm if `log`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def draw(self, name: str, trial: "Trial") -> Any:
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        value = trial.suggest_float(name, self.low, self.high, log=self.log)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def as_drawn(self, value: Any) -> Any:
        """What draws `value`; None if nothing does."""
        return value if self.low <= value <= self.high else None

    @property
    def examples(self) -> tuple[Any, ...]:
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


@dataclass(frozen=True)
class Choices:
    """One of these values; of no order."""

    values: tuple[Any, ...]

    __repr__ = brief

    def draw(self, name: str, trial: "Trial") -> Any:
        return self.values[trial.suggest_categorical(name, tuple(range(len(self.values))))]

    def as_drawn(self, value: Any) -> Any:
        return self.values.index(value) if value in self.values else None

    @property
    def examples(self) -> tuple[Any, ...]:
        return self.values


@dataclass(frozen=True)
class Space:
    """The searched settings by name, such as learning_rate or features.agc_s; `base` has the rest.

    A file gives each setting of a recipe either {low, high}, with log = true for even steps of the
    logarithm, or {choices}; those of a table stand in a table of the same name.
    """

    base: Recipe
    settings: dict[str, Range | Choices]

    __repr__ = brief

    @classmethod
    def from_toml(cls, path: str | Path, base: Recipe) -> "Space":
        """Space of a file; raises ParameterError that names the file and the setting."""
        try:
            values: dict[str, Any] = tomllib.loads(decoded(Path(path).read_bytes()))
        except (OSError, ValueError, RecursionError) as error:
            raise ParameterError(f"{path}: need a search space in TOML, got: {error}") from error
        try:
            values = renamed(values, OF_SETTINGS, f"{path}")
            settings = {name: _setting(name, value, base) for name, value in _flat(values)}
            if not settings:
                raise ParameterError("need a setting to search, got none")
            space = cls(base, settings)
            for name, setting in settings.items():
                for example in setting.examples:
                    space.recipe({name: example})
        except (TypeError, ValueError) as error:
            raise ParameterError(f"{path}: {error}") from error
        return space

    def draw(self, trial: "Trial") -> dict[str, Any]:
        """Values of a new trial by name of the setting."""
        return {name: setting.draw(name, trial) for name, setting in self.settings.items()}

    def base_as_drawn(self) -> dict[str, Any] | None:
        """What Optuna would have to draw for the base recipe; None if it lies outside."""
        drawn = {
            name: setting.as_drawn(_value(self.base, name))
            for name, setting in self.settings.items()
        }
        return None if None in drawn.values() else drawn

    def recipe(self, values: dict[str, Any]) -> Recipe:
        """The base with these settings; raises ParameterError where they make no sense."""
        changes = {name: value for name, value in values.items() if "." not in name}
        tables: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for name, value in values.items():
            if "." in name:
                section, _, key = name.partition(".")
                tables[section][key] = value
        return Recipe.from_settings(over(self.base.as_settings(), changes | tables))

    def as_dict(self) -> dict[str, Any]:
        return {
            name: {"choices": list(setting.values)}
            if isinstance(setting, Choices)
            else {"low": setting.low, "high": setting.high, "log": setting.log}
            for name, setting in self.settings.items()
        }


def recipe_toml(recipe: Recipe) -> str:
    """A file that `recipe_from_toml` reads as `recipe`: all settings that are not the default."""
    task = f"task = {json.dumps(recipe.task)}\n"
    if recipe.events:
        task += f"events = {json.dumps(recipe.events)}\n"
    return task + changed(recipe, Recipe(name="default", task=recipe.task, events=recipe.events))


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names with their table, as features.agc_s."""
    for name, value in values.items():
        if name in SECTIONS and isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _value(recipe: Recipe, name: str) -> Any:
    """Present value of a setting; of one of `shares` that the recipe does not name, nan."""
    section, dot, key = name.partition(".")
    if not dot:
        return getattr(recipe, name)
    return (
        recipe.shares.get(key, math.nan) if section == "shares" else getattr(recipe.features, key)
    )


def _setting(name: str, given: Any, base: Recipe) -> Range | Choices:
    known = {f.name for f in fields(Recipe)} - set(FIXED)
    known |= {f"features.{f.name}" for f in fields(FeatureSettings)}
    if name not in known and not name.startswith("shares."):
        raise ParameterError(
            f"unknown or fixed setting {name!r}; know {', '.join(sorted(known))}"
            f"{did_you_mean(name, known)}"
        )
    now = _value(base, name)
    if not isinstance(given, dict) or set(given) not in (
        {"choices"},
        {"low", "high"},
        {"low", "high", "log"},
    ):
        raise ParameterError(f"{name}: need {{low, high}}, {{low, high, log}} or {{choices}}")
    if "choices" in given:
        choices = given["choices"]
        if not isinstance(choices, list) or not choices:
            raise ParameterError(f"{name}: need a list of choices, got {choices!r:.80}")
        return Choices(tuple(_like(name, value, now) for value in choices))
    if isinstance(now, bool) or not isinstance(now, int | float):
        raise ParameterError(f"{name}: is no number; give its choices")
    log = given.get("log", False)
    low, high = (_like(name, given[key], now) for key in ("low", "high"))
    if not isinstance(log, bool) or not low < high or (log and low <= 0):
        raise ParameterError(f"{name}: need low < high, and for log a low above 0, got {given}")
    return Range(low, high, log, whole=isinstance(now, int))


def _like(name: str, value: Any, now: Any) -> Any:
    """`value` in the type of the present one; raises ParameterError if it has another."""
    if isinstance(now, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(now, float) and isinstance(value, int | float) and not isinstance(value, bool):
        value = float(value)
    if now is not None and type(value) is not type(now):
        raise ParameterError(f"{name}: need {type(now).__name__}, got {value!r:.80}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{name}: need a finite number, got {value}")
    return value
