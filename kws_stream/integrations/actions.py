"""What events lead to while a stream is heard: records kept, commands run, sentences written down.

`with EventActions(...) as actions:` opens what is asked for; `actions.watchers` serves one stream.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from kws_stream.live import (
    CommandRunner,
    CommandWatcher,
    TriggerKeeper,
    TriggerStore,
    event_variables,
    later,
)
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.detector import WakeEvent
    from kws_stream.integrations.wyoming.recogniser import Recogniser
    from kws_stream.pipeline import KeywordSpotter


def _nobody(*told: object) -> None: ...


class EventActions:
    """A context manager; what it has done is told to `on_note` at the end."""

    def __init__(
        self,
        keep_triggers: str | None = None,
        keep_most: int = 200,
        command: str | None = None,
        command_audio_s: float | None = None,
        transcribe: str | None = None,
        transcribe_s: float = 5.0,
        *,
        on_text: Callable[[dict[str, str], str], None] = _nobody,
        on_note: Callable[[str], None] = _nobody,
    ) -> None:
        """What each event leads to; nothing unless asked for.

        keep_triggers: folder that keeps the audio, scores and bits around events, of the last
        keep_most. command: a shell command to run; its input is the audio up to command_audio_s
        after the event. transcribe: the URI of a Wyoming speech-to-text service, which gets the
        sentence up to transcribe_s after the event; on_text hears what it answers, with the
        variables of the event.

        Raises ParameterError for a URI that is none.
        """
        self._folder = keep_triggers
        self._most = keep_most
        self._command = command
        self._audio_s = command_audio_s
        self._transcribe = transcribe
        self._transcribe_s = transcribe_s
        self.on_text = on_text
        self._note = on_note
        self._store: TriggerStore | None = None
        self._runner: CommandRunner | None = None
        self._recogniser: Recogniser | None = None
        self._address = None
        if transcribe is not None:
            from kws_stream.integrations.wyoming.server import Address

            self._address = Address.from_uri(transcribe)

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._store = TriggerStore(self._folder, self._most, self._note)
        if self._command is not None:
            self._runner = CommandRunner(self._command)
        if self._address is not None:
            from kws_stream.integrations.wyoming.recogniser import Recogniser

            self._recogniser = Recogniser(
                self._address, lambda variables, text: self.on_text(variables, text)
            )
        return self

    def watchers(
        self, spotter: "KeywordSpotter", source: str, from_s: Callable[[], float] = lambda: 0.0
    ) -> list[TriggerKeeper | CommandWatcher]:
        """The watchers of one stream; source: what they call the place it comes from.

        from_s: gives the seconds of the stream that went by before the spotter began to hear it.
        """

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
        with contextlib.ExitStack() as ends:  # each, also where somebody interrupts one; last first
            ends.callback(self._end_recogniser)
            ends.callback(self._end_runner)
            ends.callback(self._end_store)

    def _end_store(self) -> None:
        if self._store is not None:
            self._store.close()
            lost = f", {self._store.lost} lost" if self._store.lost else ""
            kept = counted(self._store.kept, "trigger")
            self._note(f"kept {kept} in {self._store.folder}{lost}")

    def _end_runner(self) -> None:
        if self._runner is not None:
            runner = self._runner
            runner.close()
            counts = {
                "skipped": runner.skipped,
                "failed": runner.failed,
                "ended after too long": runner.ended,
                "ended while running": runner.cut,
            }
            more = "".join(f", {count} {name}" for name, count in counts.items() if count)
            self._note(f"ran the command {counted(runner.started, 'time')}{more}")

    def _end_recogniser(self) -> None:
        if self._recogniser is not None:
            recogniser = self._recogniser
            recogniser.close()
            counts = {"skipped": recogniser.skipped, "without an answer": recogniser.failed}
            more = "".join(f", {count} {name}" for name, count in counts.items() if count)
            sent = counted(recogniser.started, "sentence")
            self._note(f"sent {sent} to {self._transcribe}{more}")
