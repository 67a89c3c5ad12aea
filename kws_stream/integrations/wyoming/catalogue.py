"""The names under which a server offers its packs and their keywords."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from wyoming.info import Attribution, Info, WakeModel, WakeProgram

from kws_stream import __version__
from kws_stream.brief import brief
from kws_stream.errors import ParameterError
from kws_stream.integrations.names import as_spoken
from kws_stream.names import folded
from kws_stream.packs import Pack

_OURS = Attribution(name="kws-stream", url="https://arxiv.org/abs/2605.15216")

Meaning = tuple[int, frozenset[str]]
"""What a name stands for: the pack's number, and keywords of it."""


def is_wake_phrase(pack: Pack) -> bool:
    """Whether a pack was made for a phrase that people say to wake something, not for words."""
    return bool(pack.manifest["recipe"].get("task") == "wake-phrase")


@dataclass(frozen=True)
class ModelChoice:
    """What a client listens for: keywords of each pack, by the pack's number.

    names: what a detection of such a keyword is called, which is how the client called it.
    """

    keywords: dict[int, frozenset[str]]
    unknown: tuple[str, ...]
    names: dict[tuple[int, str], str] = field(default_factory=dict)

    __repr__ = brief


class Catalogue:
    """Packs, and the names of their keywords, each once.

    A keyword has its own name ("yes"); of several packs that have it, the first. In the others it
    has the pack's name before it ("yes-4/yes"), and a number after it where two packs have one
    name. Two more are understood: that longer form for all,
    and the name of a pack, which means all of its keywords. So are other cases, and spaces,
    hyphens and underscores for one another.
    """

    def __init__(self, packs: Sequence[Pack], wake: Sequence[str] = ()) -> None:
        """wake: names that are meant where a client gives none. By default wake phrases of all
        packs, or, where the first pack is none, all keywords of the first.

        Raises ParameterError for names that are not there.
        """
        self.packs = tuple(packs)
        self._names: dict[str, tuple[int, str]] = {}
        self._meaning: dict[str, Meaning] = {}
        for number, pack in enumerate(self.packs):
            for keyword in pack.keywords:
                longer = f"{pack.name}/{keyword}"
                names = [keyword, longer, *(f"{longer} ({n})" for n in range(2, number + 2))]
                name = next(name for name in names if name not in self._names)
                self._names[name] = (number, keyword)
                self._meaning[name] = (number, frozenset({keyword}))
        for name, meaning in self._aliases():
            self._meaning.setdefault(name, meaning)
        self._folded: dict[str, Meaning] = {}
        for name, meaning in self._meaning.items():
            self._folded.setdefault(folded(name), meaning)
        self._wake = tuple(wake) or self._usual()
        if unknown := self.choose(self._wake).unknown:
            raise ParameterError(
                f"wake words: need names among {', '.join(self.names)}, got "
                f"{', '.join(map(repr, unknown))}; correct them, or offer their model too"
            )

    def _aliases(self) -> Iterator[tuple[str, Meaning]]:
        for number, pack in enumerate(self.packs):
            for keyword in pack.keywords:
                yield f"{pack.name}/{keyword}", (number, frozenset({keyword}))
        for number, pack in enumerate(self.packs):
            yield pack.name, (number, frozenset(pack.keywords))

    def _usual(self) -> tuple[str, ...]:
        if not is_wake_phrase(self.packs[0]):
            return tuple(name for name, (number, _) in self._names.items() if number == 0)
        return tuple(
            name for name, (number, _) in self._names.items() if is_wake_phrase(self.packs[number])
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every keyword, in the order of the info."""
        return tuple(self._names)

    @property
    def wake(self) -> tuple[str, ...]:
        """The names that are meant where a client gives none."""
        return self._wake

    def choose(self, names: Iterable[str] | None) -> ModelChoice:
        """What these names mean together; none or no names: those meant where none is given.

        A keyword that is asked for twice is called by the name that means the fewest keywords.
        """
        keywords: dict[int, frozenset[str]] = {}
        called: dict[tuple[int, str], tuple[int, str]] = {}
        unknown = []
        for name in names or self._wake:
            meaning = self._meaning.get(name) or self._folded.get(folded(name))
            if meaning is None:
                unknown.append(name)
                continue
            number, some = meaning
            keywords[number] = keywords.get(number, frozenset()) | some
            for keyword in some:
                before = called.setdefault((number, keyword), (len(some), name))
                if len(some) < before[0]:
                    called[number, keyword] = (len(some), name)
        return ModelChoice(
            keywords,
            tuple(dict.fromkeys(unknown)),
            {place: name for place, (_, name) in called.items()},
        )

    def info(self) -> Info:
        """The answer to a client's `describe`."""
        models = []
        for name, (number, keyword) in self._names.items():
            pack, phrase = self.packs[number], as_spoken(keyword)
            models.append(
                WakeModel(
                    name=name,
                    phrase=phrase,
                    description=phrase if is_wake_phrase(pack) else f"{phrase} ({pack.name})",
                    version=pack.version,
                    languages=["en"],
                    attribution=_OURS,
                    installed=True,
                )
            )
        program = WakeProgram(
            name="kws-stream",
            description="Keywords by one-bit memory cells made for an analog chip",
            version=__version__,
            attribution=_OURS,
            installed=True,
            models=models,
        )
        return Info(wake=[program])
