"""Short representations of objects that hold arrays, for the prompt and for notebooks.

A dataclass takes one by `__repr__ = brief`, which its decorator leaves alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

MOST = 400  # characters of a representation
MOST_OF_VALUE = 60


def brief(self: Any) -> str:
    """The class and what its fields hold: small values as they are, shapes of arrays, counts."""
    return _joined(self, {one.name: getattr(self, one.name) for one in fields(self) if one.repr})


def changed(self: Any) -> str:
    """As `brief`, of settings: the fields alone that are not at their defaults."""
    values = {}
    for one in fields(self):
        value = getattr(self, one.name)
        default = one.default
        if default is MISSING and one.default_factory is not MISSING:
            default = one.default_factory()
        if default is MISSING or value != default:
            values[one.name] = value
    return _joined(self, values)


def _joined(of: object, values: Mapping[str, object]) -> str:
    texts, room = [], MOST - len(type(of).__name__)
    for name, value in values.items():
        text = f"{name}={shown(value)}"
        room -= len(text) + 2
        if room < 0:
            texts.append("...")
            break
        texts.append(text)
    return f"{type(of).__name__}({', '.join(texts)})"


def shown(value: object) -> str:
    """A value in some sixty characters at most."""
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and kind is not None and shape:
        return f"{str(kind).removeprefix('torch.')}{list(shape)}"
    if value is None or isinstance(value, bool | int | float | str | Path):
        return _cut(f"{str(value)!r}" if isinstance(value, Path) else repr(value))
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return _few(value, [f"{key!r}: {shown(each)}" for key, each in _first(value.items())], "{}")
    if isinstance(value, tuple | list | set | frozenset):
        ends = "[]" if isinstance(value, list) else "()" if isinstance(value, tuple) else "{}"
        return _few(value, [shown(each) for each in _first(value)], ends)
    text = "" if _is_large(value) else repr(value)
    return text if 0 < len(text) <= MOST_OF_VALUE else f"<{type(value).__name__}>"


def _first(values: Any) -> list[Any]:
    return list(values)[:8]


def _few(values: Collection[Any], texts: list[str], ends: str) -> str:
    comma = "," if ends == "()" and len(texts) == 1 else ""
    text = f"{ends[0]}{', '.join(texts)}{comma}{ends[1]}"
    if len(values) == len(texts) and len(text) <= MOST_OF_VALUE:
        return text
    kinds = {type(each).__name__ for each in (values if not isinstance(values, Mapping) else ())}
    return f"<{len(values)} {kinds.pop() if len(kinds) == 1 else 'values'}>"


def _is_large(value: object) -> bool:
    """Whether the representation of an object may take long: one of Python's own making."""
    return is_dataclass(value) and "__repr__" not in vars(type(value))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_OF_VALUE else f"{text[: MOST_OF_VALUE - 4]}...{text[-1]}"
