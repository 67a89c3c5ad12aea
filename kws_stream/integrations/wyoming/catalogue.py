"""The names under which a server offers its packs and their keywords."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wyoming.info import Attribution, Info, WakeModel, WakeProgram

from kws_stream import __version__
from kws_stream.packs import Pack

_OURS = Attribution(name="kws-stream", url="https://arxiv.org/abs/2605.15216")


@dataclass(frozen=True)
class Choice:
    """What a client listens for: keywords of each pack, by the pack's number."""

    keywords: dict[int, frozenset[str]]
    unknown: tuple[str, ...]


class Catalogue:
    """Packs, the first of which is meant where no name is given.

    A keyword of the first pack has its own name ("yes"), one of another pack the pack's before it
    ("yes-4/yes"). The name of a pack means all of its keywords.
    """

    def __init__(self, packs: Sequence[Pack]) -> None:
        self.packs = tuple(packs)
        self._meaning: dict[str, tuple[int, frozenset[str]]] = {}
        for number, pack in enumerate(self.packs):
            for keyword in pack.keywords:
                for name in (f"{pack.name}/{keyword}", self.name(number, keyword)):
                    self._meaning[name] = (number, frozenset({keyword}))
        for number, pack in enumerate(self.packs):
            self._meaning.setdefault(pack.name, (number, frozenset(pack.keywords)))

    def name(self, number: int, keyword: str) -> str:
        """What a detection of a keyword of pack `number` is called."""
        return keyword if number == 0 else f"{self.packs[number].name}/{keyword}"

    def choose(self, names: Iterable[str] | None) -> Choice:
        """What these names mean together; none or no names: all keywords of the first pack."""
        keywords: dict[int, frozenset[str]] = {}
        unknown = []
        for name in names or [self.packs[0].name]:
            if name in self._meaning:
                number, some = self._meaning[name]
                keywords[number] = keywords.get(number, frozenset()) | some
            else:
                unknown.append(name)
        return Choice(keywords, tuple(unknown))

    def info(self) -> Info:
        """The answer to a client's `describe`."""
        models = []
        for number, pack in enumerate(self.packs):
            phrases = [(pack.name, ", ".join(pack.keywords), f"{pack.name}: any of its words")]
            phrases += [
                (self.name(number, keyword), keyword, f"{keyword} ({pack.name})")
                for keyword in pack.keywords
            ]
            models += [
                WakeModel(
                    name=name,
                    phrase=phrase,
                    description=description,
                    version=pack.version,
                    languages=["en"],
                    attribution=_OURS,
                    installed=True,
                )
                for name, phrase, description in phrases
            ]
        program = WakeProgram(
            name="kws-stream",
            description="Keywords by one-bit memory cells made for an analog chip",
            version=__version__,
            attribution=_OURS,
            installed=True,
            models=models,
        )
        return Info(wake=[program])
