"""What events lead to in `listen` and `serve`: records kept, commands run. Options and their life.

`with Consequences(...) as those:` opens what the options ask for; `watchers` serves one stream.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import click

from kws_stream.cli.output import complain, print_json, say
from kws_stream.errors import ParameterError

if TYPE_CHECKING:
    from kws_stream.detector import WakeEvent
    from kws_stream.integrations.wyoming.recogniser import Recogniser
    from kws_stream.live import CommandWatcher, TriggerKeeper
    from kws_stream.pipeline import KeywordSpotter


def consequence_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command, in one argument `consequences`: a function that makes them."""

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
        if exec_audio_s is not None and exec_command is None:
            raise click.UsageError("--exec-audio needs --exec.")
        consequences = Consequences(
            keep_triggers, keep_most, exec_command, exec_audio_s, transcribe, transcribe_s
        )
        return command(*args, consequences=consequences, **settings)

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
            help="Triggers to keep; the oldest without a label go first.",
        ),
        click.option(
            *("--exec", "exec_command"),
            metavar="CMD",
            help="Run a shell command for each event, which finds KWS_KEYWORD, KWS_SCORE, "
            "KWS_TIME_S and others in its environment.",
        ),
        click.option(
            *("--exec-audio", "exec_audio_s"),
            type=click.FloatRange(0, 60),
            metavar="S",
            help="The command's input is 16 kHz 16-bit PCM: a second before the word to S seconds "
            "after the event.",
        ),
        click.option(
            "--transcribe",
            metavar="URI",
            help="Send the sentence around each event to this Wyoming speech-to-text service.",
        ),
        click.option(
            "--transcribe-audio",
            "transcribe_s",
            type=click.FloatRange(0, 60),
            default=5.0,
            show_default=True,
            metavar="S",
            help="The sentence ends S seconds after the event.",
        ),
    ]
    wrapped: Callable[..., Any] = gather
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


class Consequences:
    """A context manager; see the module."""

    def __init__(
        self,
        keep_triggers: str | None = None,
        keep_most: int = 200,
        exec_command: str | None = None,
        exec_audio_s: float | None = None,
        transcribe: str | None = None,
        transcribe_s: float = 5.0,
    ) -> None:
        self._folder = keep_triggers
        self._most = keep_most
        self._command = exec_command
        self._audio_s = exec_audio_s
        self._transcribe = transcribe
        self._transcribe_s = transcribe_s
        self.on_text: Callable[[dict[str, str], str], None] = _print_text

    def __enter__(self) -> Self:
        from kws_stream.live import CommandRunner, TriggerStore

        self._store = self._runner = None
        if self._folder is not None:
            self._store = TriggerStore(self._folder, self._most, complain)
        if self._command is not None:
            self._runner = CommandRunner(self._command)
        self._recogniser = self._make_recogniser() if self._transcribe is not None else None
        return self

    def _make_recogniser(self) -> "Recogniser":
        from kws_stream.integrations.wyoming.recogniser import Recogniser
        from kws_stream.integrations.wyoming.server import Address

        try:
            address = Address.from_uri(self._transcribe or "")
        except ParameterError as error:
            raise click.BadParameter(str(error), param_hint="--transcribe") from error
        return Recogniser(address, lambda variables, text: self.on_text(variables, text))

    def watchers(
        self, spotter: "KeywordSpotter", source: str, from_s: Callable[[], float] = lambda: 0.0
    ) -> "list[TriggerKeeper | CommandWatcher]":
        """The watchers of one stream; source: what they call the place it comes from.

        from_s: gives the seconds of the stream that went by before the spotter began to hear it.
        """
        from kws_stream.live import CommandWatcher, TriggerKeeper, event_variables, later

        def variables(event: "WakeEvent") -> dict[str, str]:
            return event_variables(later(event, from_s()), spotter.pack.name, source)

        found: list[TriggerKeeper | CommandWatcher] = []
        if self._store is not None:
            found.append(TriggerKeeper(self._store, spotter, source, from_s))
        if self._runner is not None:
            found.append(CommandWatcher(self._runner, variables, self._audio_s))
        if self._recogniser is not None:
            found.append(CommandWatcher(self._recogniser, variables, self._transcribe_s))
        return found

    def __exit__(self, *error: object) -> None:
        if self._store is not None:
            self._store.close()
            lost = f", {self._store.lost} lost" if self._store.lost else ""
            complain(f"kept {self._store.kept} triggers in {self._store.folder}{lost}")
        if self._runner is not None:
            runner = self._runner
            runner.close()
            counts = {
                "skipped": runner.skipped,
                "failed": runner.failed,
                "ended after too long": runner.ended,
            }
            more = "".join(f", {count} {name}" for name, count in counts.items() if count)
            complain(f"ran the command {runner.started} times{more}")
        if self._recogniser is not None:
            recogniser = self._recogniser
            recogniser.close()
            counts = {"skipped": recogniser.skipped, "without an answer": recogniser.failed}
            more = "".join(f", {count} {name}" for name, count in counts.items() if count)
            complain(f"sent {recogniser.started} sentences to {self._transcribe}{more}")


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
