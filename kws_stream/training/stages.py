"""The stages of a recipe file: the trainings that follow one another until the model is there."""

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kws_stream.brief import brief
from kws_stream.errors import ParameterError, did_you_mean
from kws_stream.files import decoded
from kws_stream.old_names import OF_FILES, renamed
from kws_stream.training.recipe import NAME, Recipe

OF_FILE = ("name", "description", "version", "task")  # what a stage does not change


@dataclass(frozen=True)
class Stage:
    """A training: its name, all of its settings, and the stages whose networks it begins with.

    init_from: their names; of several the mean of their networks; of none an untrained network,
    or what --start-from names.
    """

    name: str
    recipe: Recipe
    init_from: tuple[str, ...]

    __repr__ = brief


def stages_from_toml(path: str | Path, **defaults: Any) -> tuple[Stage, ...]:
    """The stages of a recipe file in order, the last of which makes the model.

    A file is settings of a `Recipe`, and may have tables [[stage]] with a name and settings of its
    own. A stage takes what it does not set from the stage before it, or from the one that `extends`
    names ("": from what stands above the stages alone). It begins with the network of the stage
    before it, or of those that `init_from` names (an empty list: an untrained one). A file
    without stages is one. `extends = "NAME"` above the stages takes what the file does not set from
    the last stage of NAME.toml beside it. defaults: what nothing sets, tables as dicts.

    Raises ParameterError that names the file, the stage and the setting.
    """
    path = Path(path)
    made: list[Stage] = []
    for name, settings, init_from in _settings_in(path, defaults):
        where = f"{path}: stage {name}" if name else f"{path}"
        try:
            recipe = Recipe.from_settings(settings)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"{where}: {error}") from error
        if made and recipe.features != made[0].recipe.features:
            raise ParameterError(f"{where}: need one front end in all stages, got another")
        made.append(Stage(name, recipe, init_from))
    return tuple(made)


def recipe_from_toml(path: str | Path, **defaults: Any) -> Recipe:
    """The settings of the last stage of a file (see `stages_from_toml`)."""
    return stages_from_toml(path, **defaults)[-1].recipe


def _settings_in(
    path: Path, defaults: dict[str, Any], users: tuple[Path, ...] = ()
) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Name, settings and starts of each stage. users: files that extend this one."""
    try:
        values: dict[str, Any] = tomllib.loads(decoded(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ParameterError(f"{path}: need a recipe in TOML, got: {reason}") from error
    values = renamed(values, OF_FILES, f"{path}")
    stages = values.pop("stage", None)
    extends = values.pop("extends", None)
    if extends is not None:
        if not isinstance(extends, str) or not NAME.fullmatch(extends):
            raise ParameterError(
                f"{path}: extends: need the name of a recipe beside this one, got {extends!r}"
            )
        base = path.with_name(f"{extends}.toml")
        if base in (*users, path):
            raise ParameterError(
                f"{path}: extends: need a recipe that does not extend this one in turn, got "
                f"{extends!r}"
            )
        defaults = _settings_in(base, defaults, (*users, path))[-1][1]
    settings = over(defaults, values)
    if stages is None:
        return [("", settings, ())]
    if not isinstance(stages, list) or not stages or not all(isinstance(s, dict) for s in stages):
        raise ParameterError(f"{path}: stage: need tables [[stage]], got {stages!r:.80}")
    return _resolved(path, settings, stages)


def _resolved(
    path: Path, settings: dict[str, Any], stages: list[dict[str, Any]]
) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    found: dict[str, dict[str, Any]] = {}
    made = []
    for stage in stages:
        own = renamed(stage, OF_FILES, f"{path}")
        name = own.pop("name", None)
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in found:
            raise ParameterError(
                f"{path}: stage: need a name of its own in each [[stage]], got {name!r}"
            )
        before = next(reversed(found), None)
        extends = own.pop("extends", before)
        init_from = own.pop("init_from", [before] if before is not None else [])
        if isinstance(init_from, str):
            init_from = [init_from]
        if not isinstance(init_from, list):
            raise ParameterError(
                f"{path}: stage {name} init_from: need names of stages before it, got "
                f"{init_from!r:.80}"
            )
        for setting, other in (("extends", extends), *(("init_from", n) for n in init_from)):
            if other not in (None, "") and other not in found:
                known = ", ".join(found) or "none"
                raise ParameterError(
                    f"{path}: stage {name} {setting}: need the name of a stage before it, one of "
                    f"{known}; got {other!r}{did_you_mean(str(other), list(found))}"
                )
        fixed = [setting for setting in OF_FILE if setting in own]
        if fixed:
            raise ParameterError(
                f"{path}: stage {name}: {fixed[0]} is of the whole file; set it above the stages"
            )
        found[name] = over(found[extends] if extends else settings, own)
        made.append((name, found[name], tuple(init_from)))
    return made


def over(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Values in place of defaults, table by table."""
    merged = defaults | values
    for name, default in defaults.items():
        if isinstance(default, dict) and isinstance(values.get(name), dict):
            merged[name] = default | values[name]
    return merged


def shown(stages: tuple[Stage, ...]) -> str:
    """A recipe file of the stages with every setting of each written out."""
    last = stages[-1].recipe
    lines = [f"{name} = {_text(getattr(last, name))}" for name in OF_FILE]
    for stage in stages:
        tables: list[str] = []
        lines += ["", "[[stage]]", f"name = {_text(stage.name or 'only')}"]
        lines += ['extends = ""', f"init_from = {_text(list(stage.init_from))}"]
        for field in fields(Recipe):
            value = getattr(stage.recipe, field.name)
            if field.name in OF_FILE:
                continue
            if not isinstance(value, dict) and not hasattr(value, "as_dict"):
                lines.append(f"{field.name} = {_text(value)}")
                continue
            table = value if isinstance(value, dict) else value.as_dict()
            inner = [f"{k} = {_text(v)}" for k, v in table.items() if not isinstance(v, dict)]
            tables += ["", f"[stage.{field.name}]", *inner]
            for key, deeper in table.items():
                if isinstance(deeper, dict) and deeper:
                    tables += ["", f"[stage.{field.name}.{key}]"]
                    tables += [f"{k} = {_text(v)}" for k, v in deeper.items()]
        lines += tables
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_text(inner)}' for key, inner in value.items())} }}"
    return json.dumps(value)


def changed(recipe: Recipe, usual: Recipe) -> str:
    """A recipe file of the settings in which a recipe differs from another."""
    others = asdict(usual)
    lines, tables = [], []
    for name, value in asdict(recipe).items():
        if not isinstance(value, dict):
            if value != others[name]:
                lines.append(f"{name} = {_text(value)}")
            continue
        inner = [f"{k} = {_text(v)}" for k, v in value.items() if v != others[name].get(k)]
        if inner:
            tables += ["", f"[{name}]", *inner]
    return "\n".join([*lines, *tables]) + "\n"
