"""Settings from outside as dataclasses whose fields say their types and ranges."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar, get_type_hints

import numpy as np

from kws_stream.errors import MissingExtraError, ParameterError, did_you_mean

try:  # without it settings are still written in Python, and their types are not checked
    from msgspec import Meta, ValidationError, convert
except ImportError:
    convert = None  # type: ignore[assignment]
    ValidationError = ValueError  # type: ignore[assignment,misc]

    class Meta:  # type: ignore[no-redef]
        def __init__(self, **_: object) -> None: ...


MOST = 1e9  # of anything: infinity is no setting

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Whole = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Bits = Annotated[int, Meta(ge=2, le=31)]
Share = Annotated[float, Meta(ge=0, le=1)]
Part = Annotated[float, Meta(gt=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=MOST)]
NotNegative = Annotated[float, Meta(ge=0, le=MOST)]

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}

T = TypeVar("T")


def checked(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """`values` as a `kind`; raises ParameterError for unknown names, other types, and no numbers.

    where: what they are settings of, for the sentence. Raises MissingExtraError without msgspec.
    """
    if convert is None:
        raise MissingExtraError(
            "reading a recipe needs the package msgspec, which is not installed; "
            "pip install 'kws-stream[train]'"
        )
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ParameterError(
            f"{where}: unknown settings {unknown}{did_you_mean(str(unknown[0]), known)}"
        )
    return kind(**_converted(kind, values, where))


def set_checked(settings: Any, where: str) -> None:
    """Every field of a frozen dataclass as of the type that it says; raises ParameterError.

    where: as of `checked`. Without msgspec nothing is done.
    """
    if convert is None:
        return
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in values.items()
    }
    for name, value in _converted(type(settings), plain, where).items():
        object.__setattr__(settings, name, value)


def _converted(kind: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    types = get_type_hints(kind, include_extras=True)
    converted = {}
    for name, value in values.items():
        try:
            converted[name] = convert(value, types[name])
        except ValidationError as error:
            needed = str(error).partition(" - at ")[0].partition(", got ")[0]
            kind_of, _, bounds = needed.removeprefix("Expected ").partition("` ")
            plain = WORDS.get(kind_of.strip("`"), kind_of.strip("`"))
            raise ParameterError(
                f"{where} {name}: need {plain} {bounds}".rstrip() + f", got {value!r:.80}"
            ) from error
    return converted
