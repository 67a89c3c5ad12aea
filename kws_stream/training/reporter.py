"""Who hears how far a training is; without anybody it is silent."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

IMPORT_S = 4.0  # what PyTorch may take to load before that is worth a line


class Report(Protocol):
    """Hears how much of the work is done, and of how much; `say` has a result on the way."""

    def __call__(self, done: float, total: float | None = None) -> None: ...

    def say(self, text: str) -> None: ...


class Reporter(Protocol):
    """Shows work while it is done, and what is to be known of it."""

    def progress(
        self, what: str, unit: str = "", *, first_s: float | None = None
    ) -> AbstractContextManager[Report]:
        """While the body does a piece of work: what, a participle and its object; unit, of the
        numbers that the report gets; first_s, when its first line is due.
        """
        ...

    def note(self, message: str) -> None: ...


class _NoReport:
    def __call__(self, done: float, total: float | None = None) -> None: ...

    def say(self, text: str) -> None: ...


class _Silent:
    def progress(
        self, what: str, unit: str = "", *, first_s: float | None = None
    ) -> AbstractContextManager[Report]:
        return nullcontext(_NoReport())

    def note(self, message: str) -> None: ...


SILENT: Reporter = _Silent()
