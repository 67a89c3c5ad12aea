"""Options of `listen` and `serve` for what events lead to, and how transcripts are printed."""

import functools
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from kws_stream.cli.options import NumberRange, with_options
from kws_stream.cli.output import complain, print_json, say
from kws_stream.errors import ParameterError


def action_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command, in one argument `actions`, the `EventActions`."""

    @functools.wraps(command)  # with the options that it has already
    def gather(
        *args: Any,
        keep_triggers: str | None,
        keep_most: int,
        exec_command: str | None,
        exec_audio_s: float | None,
        transcribe: str | None,
        transcribe_s: float,
        **settings: Any,
    ) -> Any:
        from kws_stream.integrations.actions import EventActions

        given = click.get_current_context().get_parameter_source
        for name, option, needed, value in (
            ("keep_most", "--keep-most", "--keep-triggers", keep_triggers),
            ("exec_audio_s", "--exec-audio", "--exec", exec_command),
            ("transcribe_s", "--transcribe-audio", "--transcribe", transcribe),
        ):
            if value is None and given(name) is not ParameterSource.DEFAULT:
                raise click.UsageError(f"{option} needs {needed}.")
        if exec_command is not None and not exec_command.strip():
            raise click.BadParameter("need a shell command, got an empty one", param_hint="--exec")
        try:
            actions = EventActions(
                *(keep_triggers, keep_most, exec_command, exec_audio_s, transcribe, transcribe_s),
                on_text=_print_text,
                on_note=complain,
            )
        except ParameterError as error:
            raise click.BadParameter(str(error), param_hint="--transcribe") from error
        return command(*args, actions=actions, **settings)

    options = [
        click.option(
            "--keep-triggers",
            metavar="DIR",
            help="Keep the audio, scores and bits around each event in this folder.",
        ),
        click.option(
            "--keep-most",
            type=click.IntRange(1, 100_000),
            default=200,
            show_default=True,
            metavar="N",
            help="Keep at most this many triggers. The oldest without a label are deleted first.",
        ),
        click.option(
            *("--exec", "exec_command"),
            metavar="CMD",
            help="Run this shell command for each event. It finds KWS_KEYWORD, KWS_SCORE, "
            "KWS_TIME_S and others in its environment.",
        ),
        click.option(
            *("--exec-audio", "exec_audio_s"),
            type=NumberRange(0, 60),
            metavar="S",
            help="Give the command of --exec 16 kHz 16-bit PCM on standard input, from one "
            "second before the word to S seconds after the event.",
        ),
        click.option(
            "--transcribe",
            metavar="URI",
            help="Send the sentence around each event to this Wyoming speech-to-text service.",
        ),
        click.option(
            "--transcribe-audio",
            "transcribe_s",
            type=NumberRange(0, 60),
            default=5.0,
            show_default=True,
            metavar="S",
            help="End that sentence S seconds after the event.",
        ),
    ]
    return with_options(gather, options)


def json_text(variables: dict[str, str], text: str) -> None:
    """A transcript as a JSON line."""
    print_json(
        {
            "type": "transcript",
            "file": variables["KWS_SOURCE"],
            "keyword": variables["KWS_KEYWORD"],
            "index": int(variables["KWS_INDEX"]),
            "text": text,
        }
    )


def _print_text(variables: dict[str, str], text: str) -> None:
    say(f"{variables['KWS_TIME_S']} s  {variables['KWS_KEYWORD']}: {text}")
