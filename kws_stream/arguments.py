"""Arguments of a caller, taken as numbers and paths: Python's, NumPy's and others alike."""

import math
import numbers
import operator
import os

import numpy as np

from kws_stream.errors import KwsStreamError, ParameterError


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
    """The path that a value is, of text, bytes or a path; raises `error` for anything else."""
    try:
        return os.fsdecode(value)  # type: ignore[arg-type]
    except TypeError as refusal:
        raise error(f"need {wanted}, got {value!r:.80}") from refusal
