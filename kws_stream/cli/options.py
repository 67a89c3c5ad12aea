"""Options that several commands share."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.files import check_file
from kws_stream.errors import did_you_mean
from kws_stream.names import known_name

if TYPE_CHECKING:
    from kws_stream.packs import Pack
    from kws_stream.pipeline import KeywordSpotter

FIGURES = (".png", ".svg", ".pdf")

Threshold = tuple[str | None, float]
"""A keyword, or None for all, and its threshold."""


class NumberRange(click.FloatRange):
    """A finite number within bounds; click's own takes "nan" and, without a bound, "inf"."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def with_options(
    command: Callable[..., Any], options: Sequence[Callable[..., Any]]
) -> Callable[..., Any]:
    """A command with these options, in this order in its help."""
    for option in reversed(options):
        command = option(command)
    return command


def model_option(default: str, text: str = "Model:") -> Callable[..., Any]:
    return click.option(
        *("-m", "--model"),
        default=default,
        show_default=True,
        metavar="MODEL",
        help=f"{text} its name, or the folder of a pack.",
    )


def json_option(text: str = "Print JSON lines.") -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help=text)


def json_file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--json in place of the table, and --json-file beside it."""
    file = click.option(
        "--json-file",
        metavar="FILE",
        callback=check_file,
        help="Write the figures to this file as JSON. Also -o, where it means nothing else.",
    )
    both: Callable[..., Any] = json_option("Print the figures as JSON in place of the table.")
    decorated: Callable[..., Any] = both(file(command))
    return decorated


def fa_target_option(text: str, default: float | None = 0.5) -> Callable[..., Any]:
    return click.option(
        *("--target-fa-per-hour", "target"),
        type=NumberRange(0, min_open=True, max=1e6),
        default=default,
        show_default=default is not None,
        help=text,
    )


def power_option(text: str = "Print a summary of the power at the end.") -> Callable[..., Any]:
    """--power-report, and --full for what does not fit a screen; `full_option` has that alone."""

    def both(command: Callable[..., Any]) -> Callable[..., Any]:
        # eager, so that --full knows of it in either order
        command = full_option("With --power-report, print the whole report.", _check_full)(command)
        command = click.option("--power-report", is_flag=True, is_eager=True, help=text)(command)
        return command

    return both


def full_option(text: str, callback: Any = None) -> Callable[..., Any]:
    return click.option("--full", is_flag=True, callback=callback, help=text)


def _check_full(context: click.Context, option: click.Parameter, full: bool) -> bool:
    if full and not context.params.get("power_report"):
        raise click.UsageError("--full is for --power-report: give both.")
    return full


def _check_figure(
    context: click.Context, option: click.Parameter, file: Path | None
) -> Path | None:
    """Refuse, before hours of listening, a picture that cannot be drawn after them."""
    if file is None:
        return None
    if file.suffix.lower() not in FIGURES:
        raise click.BadParameter(
            f"need a name that ends in {', '.join(FIGURES)}, got {file.name!r}."
        )
    check_file(context, option, file)
    from kws_stream.plots import check_matplotlib

    check_matplotlib()
    return file


def plot_option(text: str) -> Callable[..., Any]:
    """A picture to write; checked before anything else happens."""
    return click.option(
        *("--plot", "figure"),
        type=click.Path(path_type=Path),
        metavar="FILE.png|svg",
        callback=_check_figure,
        help=text,
    )


power_plot_option = plot_option("Also draw the power report to this file (extra: report).")


def _parse_threshold(text: str) -> Threshold:
    keyword, equals, number = text.rpartition("=")
    if equals and not keyword:
        raise click.BadParameter(f"{text!r} names no keyword: need X or KEYWORD=X.")
    try:
        threshold = float(number)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise click.BadParameter(f"{text!r}: need a number from 0 to 1, alone or KEYWORD=X.")
    return keyword or None, threshold


def _parse_channel(context: click.Context, option: click.Parameter, text: str) -> int | None:
    if text.lower() == "mean":
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise click.BadParameter(f"need a number from 1 or mean, got {text!r}.")
    return int(text)


channel_option = click.option(
    "--channel",
    default="mean",
    show_default=True,
    metavar="N|mean",
    callback=_parse_channel,
    help="Use only this channel, counted from 1, or the mean of all channels.",
)

threshold_option = click.option(
    "--threshold",
    "thresholds",
    callback=lambda context, option, texts: [_parse_threshold(text) for text in texts],
    multiple=True,
    metavar="X|KEYWORD=X",
    help="Score from 0 to 1 at which all keywords, or the named one, fire. Repeatable. "
    "Default: the model's.",
)


def parse_seconds(context: click.Context, option: click.Parameter, seconds: float) -> float:
    """An option's callback: a finite number above 0, or None where it was not given."""
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise click.BadParameter(f"need seconds above 0, got {seconds}.")
    return seconds


threads_option = click.option(
    "--threads", type=click.IntRange(1), help="Number of processor cores to use. Default: all."
)


def workers_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--jobs and --cluster, for `kws_stream.workers.Workers`."""
    cluster = click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Let this Dask scheduler do the work in place of local processes, for example "
        "tcp://10.0.0.1:8786 (extra: cluster).",
    )
    jobs = click.option(
        "--jobs",
        type=click.IntRange(1),
        help="Number of processes. Default: one for each processor.",
    )
    return jobs(cluster(command))


def check_workers(jobs: int | None, cluster: str | None) -> None:
    """Refuse both at once, as wrong usage."""
    if jobs is not None and cluster is not None:
        raise click.UsageError("--jobs or --cluster: the cluster knows how many workers it has.")


def threshold_values(
    packs: "Sequence[Pack]", thresholds: Sequence[Threshold]
) -> list[dict[str, float]]:
    """Thresholds to change in each pack; a plain one is for all the rest.

    A keyword may be written in another case or with other joints (see `names`). Raises
    click.BadParameter for a keyword that no pack has.
    """
    everywhere = [value for keyword, value in thresholds if keyword is None]
    chosen = [dict.fromkeys(pack.keywords, everywhere[-1]) if everywhere else {} for pack in packs]
    for keyword, value in thresholds:
        if keyword is None:
            continue
        meant = [known_name(keyword, pack.keywords) for pack in packs]
        having = [n for n, pack in enumerate(packs) if meant[n] in pack.keywords]
        if not having:
            known = dict.fromkeys(name for pack in packs for name in pack.keywords)
            raise click.BadParameter(
                f"no keyword {keyword!r} in {', '.join(pack.name for pack in packs)}; "
                f"it has {', '.join(known)}{did_you_mean(keyword, known) or '.'}",
                param_hint="--threshold",
            )
        for number in having:
            chosen[number][meant[number]] = value
    return chosen


no_verify_option = click.option(
    "--no-verify",
    is_flag=True,
    help="Leave out the model's verifier, so that every trigger of the network is an event.",
)


def load_pack(model: str, no_verify: bool) -> "Pack":
    """A pack, without its verifier where none is wanted."""
    from dataclasses import replace

    from kws_stream import packs

    pack = packs.load(model)
    return replace(pack, verifier=None) if no_verify else pack


def make_spotter(
    model: str, thresholds: Sequence[Threshold], no_verify: bool = False
) -> "KeywordSpotter":
    """The spotter of a model, its thresholds changed; errors as of `threshold_values`."""
    from kws_stream.pipeline import KeywordSpotter

    pack = load_pack(model, no_verify)
    return KeywordSpotter(pack, threshold_values([pack], thresholds)[0] or None)
