"""Settings from outside as dataclasses whose fields say their types and ranges."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar, get_type_hints

from kws_stream.errors import MissingExtraError, ParameterError, did_you_mean

try:  # without it settings are still written in Python, where nobody checks them
    from msgspec import Meta
except ImportError:

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
    try:
        import msgspec
    except ImportError as error:
        raise MissingExtraError(
            "reading a recipe needs the package msgspec, which is not installed; "
            "pip install 'kws-stream[train]'"
        ) from error
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ParameterError(
            f"{where}: unknown settings {unknown}{did_you_mean(str(unknown[0]), known)}"
        )
    types = get_type_hints(kind, include_extras=True)
    converted = {}
    for name, value in values.items():
        try:
            converted[name] = msgspec.convert(value, types[name])
        except msgspec.ValidationError as error:
            needed = str(error).partition(" - at ")[0].partition(", got ")[0]
            kind_of, _, bounds = needed.removeprefix("Expected ").partition("` ")
            plain = WORDS.get(kind_of.strip("`"), kind_of.strip("`"))
            raise ParameterError(
                f"{where} {name}: need {plain} {bounds}".rstrip() + f", got {value!r:.80}"
            ) from error
    return kind(**converted)
