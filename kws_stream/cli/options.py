"""Options that several commands share."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kws_stream.pipeline import KeywordSpotter

Threshold = tuple[str | None, float]
"""A keyword, or None for all, and its threshold."""


def model_option(default: str, text: str = "Model.") -> Callable[..., Any]:
    return click.option(
        *("-m", "--model"),
        default=default,
        show_default=True,
        metavar="MODEL",
        help=f"{text} Its name, or the folder of a pack.",
    )


def json_option(text: str = "Print JSON lines.") -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help=text)


def power_option(text: str = "Print the power report at the end.") -> Callable[..., Any]:
    return click.option("--power-report", is_flag=True, help=text)


class _ThresholdType(click.ParamType):
    name = "threshold"

    def convert(self, value: Any, param: Any, ctx: Any) -> Threshold:
        if isinstance(value, tuple):
            return value
        keyword, equals, number = str(value).rpartition("=")
        if equals and not keyword:
            self.fail(f"{value!r} names no keyword: need X or KEYWORD=X.", param, ctx)
        try:
            threshold = float(number)
        except ValueError:
            threshold = math.nan
        if not 0 <= threshold <= 1:
            self.fail(f"{value!r}: need a number from 0 to 1, alone or KEYWORD=X.", param, ctx)
        return keyword or None, threshold


threshold_option = click.option(
    "--threshold",
    "thresholds",
    type=_ThresholdType(),
    multiple=True,
    metavar="X | KEYWORD=X",
    help="Score, 0 to 1, at which all keywords or one fire; repeatable. Default: the model's.",
)


class Seconds(click.ParamType):
    """A finite number of seconds above 0."""

    name = "seconds"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds > 0):
            self.fail(f"{value!r}: need a number of seconds above 0.", param, ctx)
        return seconds


def make_spotter(model: str, thresholds: Sequence[Threshold]) -> "KeywordSpotter":
    """The spotter of a model, its thresholds changed; a plain one is for all the rest.

    Raises click.BadParameter for a keyword that the model does not have.
    """
    from kws_stream import packs
    from kws_stream.pipeline import KeywordSpotter

    pack = packs.load(model)
    everywhere = [value for keyword, value in thresholds if keyword is None]
    chosen = dict.fromkeys(pack.keywords, everywhere[-1]) if everywhere else {}
    for keyword, value in thresholds:
        if keyword is None:
            continue
        if keyword not in pack.keywords:
            raise click.BadParameter(
                f"no keyword {keyword!r} in {pack.name}; it has {', '.join(pack.keywords)}.",
                param_hint="--threshold",
            )
        chosen[keyword] = value
    return KeywordSpotter(pack, chosen or None)
