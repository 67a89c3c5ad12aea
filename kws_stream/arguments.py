"""Arguments of a caller, taken as numbers and paths: Python's, NumPy's and others alike."""

import math
import numbers
import operator
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from kws_stream.errors import DataError, KwsStreamError, ParameterError
from kws_stream.files import check_folder


def real_number(value: object) -> float | None:
    """The number that a value is; None for what is none: text, bytes, None, truth values.

    What is beyond float64 is infinity.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Number):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]
    except (TypeError, ValueError):  # a complex number, a signalling NaN of decimal
        return None


def number_within(value: object, name: str, low: float, high: float, unit: str = "") -> float:
    """The number that a value is; raises ParameterError for none, or one outside low..high."""
    number = real_number(value)
    if number is None or not low <= number <= high:
        raise ParameterError(
            f"{name}: need {low:g} to {high:g}{unit and ' ' + unit}, got {value!r:.80}"
        )
    return number


def number_above_zero(value: object, name: str, wanted: str = "a finite number above 0") -> float:
    """The number that a value is; raises ParameterError for none, or one not finite and above 0."""
    number = real_number(value)
    if number is None or not 0 < number < math.inf:
        raise ParameterError(f"{name}: need {wanted}, got {value!r:.80}")
    return number


def seconds_to_wait(value: object) -> float:
    """The time that a value is, at most what a thread can wait; raises ParameterError for none."""
    return min(number_within(value, "timeout_s", 0, math.inf, "seconds"), threading.TIMEOUT_MAX)


def whole_number(value: object, name: str, low: int) -> int:
    """The whole number that a value is; raises ParameterError for none, or one below `low`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < low:
        raise ParameterError(f"{name}: need a whole number from {low}, got {value!r:.80}")
    return number


def path_text(value: object, wanted: str, error: type[KwsStreamError] = ParameterError) -> str:
    """The path that a value is, of text, bytes or a path; raises `error` for anything else.

    Empty text, as of a variable that is not set, is no path: it would name the current folder.
    """
    try:
        text = os.fsdecode(value)  # type: ignore[arg-type]
    except TypeError as refusal:
        raise error(f"need {wanted}, got {value!r:.80}") from refusal
    if not text:
        raise error(f"need {wanted}, got {value!r}")
    return text


def paths_of(values: object, wanted: str) -> list[Path]:
    """One path or several; raises ParameterError for anything else. wanted: what each is."""
    if isinstance(values, str | bytes | os.PathLike):
        values = [values]
    if not isinstance(values, Iterable):
        raise ParameterError(f"need {wanted}, or several, got {values!r:.80}")
    return [Path(path_text(value, wanted)) for value in values]


def writable_folder(path: str | os.PathLike[str]) -> None:
    """Raises DataError for a folder that cannot be written, or made: before long work, not after
    it.
    """
    try:
        check_folder(path)
    except OSError as error:
        raise DataError(
            f"{os.fspath(path)}: need a folder that can be written, got "
            f"{error.filename or path}: {error.strerror or error}"
        ) from error


def like(default: object, value: object, name: str) -> Any:
    """`value` in the type of `default`: a truth value, text, a number, or a tuple of numbers.

    Raises ParameterError for one of another type, and for numbers that are not finite.
    """
    found: object = None
    match default:
        case bool():
            need = "True or False"
            found = bool(value) if isinstance(value, bool | np.bool_) else None
        case str():
            need = "a text"
            found = str(value) if isinstance(value, str) else None
        case int():
            return whole_number(value, name, 0)
        case float():
            need, found = "a finite number", _finite(value)
        case _:
            need = "several finite numbers"
            if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes):
                numbers = tuple(map(_finite, value)) if np.ndim(value) else (None,)
                found = None if None in numbers else numbers
    if found is None:
        raise ParameterError(f"{name}: need {need}, got {value!r:.80}")
    return found


def _finite(value: object) -> float | None:
    number = real_number(value)
    return number if number is not None and math.isfinite(number) else None


def set_alike(settings: Any, where: str = "") -> None:
    """Every field of a frozen dataclass in the type of its default (see `like`)."""
    for one in fields(settings):
        value = like(one.default, getattr(settings, one.name), f"{where}{one.name}")
        object.__setattr__(settings, one.name, value)


def instance_of(value: object, kind: type, name: str, what: str) -> None:
    """Raises ParameterError for a value of another kind; what: the kind, for the sentence."""
    if not isinstance(value, kind):
        raise ParameterError(f"{name}: need {what}, got {value!r:.80}")
