"""Names of keywords and words as people write them: "Yes", " yes", "hey-computer".

One rule for labels, folders of clips, thresholds and data sets: a name that differs from a known
one by case, surrounding space, Unicode form, or by what joins its parts alone is that one.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeVar

from kws_stream.errors import ParameterError

Value = TypeVar("Value")

_JOINTS = re.compile("[\\s_\\-\u2010-\u2015\u2212]+")  # spaces, underscores, hyphens and dashes
_INVISIBLE = ("Cf", "Cc")  # Unicode categories: byte order marks, joiners, control characters


def counted(count: int, thing: str, things: str | None = None) -> str:
    """A number and what it counts: 1 recording, 2 recordings. things: the plural, if not with s."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def folded(name: str) -> str:
    """What names that mean the same have in common: "Hey-Computer " gives "heycomputer".

    An underscore in front stays, for it tells `_unknown_` and `_silence_` from words.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    visible = [c for c in text if c.isspace() or unicodedata.category(c) not in _INVISIBLE]
    text = "".join(visible).strip().replace("\u2019", "'")
    return "_" * text.startswith("_") + _JOINTS.sub("", text)


def known_name(name: str, known: Iterable[str]) -> str:
    """The one of the known names that `name` means, or `name` itself where it means none.

    Raises ParameterError where it may mean several, and for what is no text.
    """
    if not isinstance(name, str):
        raise ParameterError(f"need a name as text, got {name!r:.80}")
    known = list(known)
    if name in known:
        return name
    mark = folded(name)
    meant = [one for one in known if mark and folded(one) == mark]
    if len(meant) > 1:
        raise ParameterError(
            f"need a name that means one of {', '.join(meant)} alone, got {name!r:.100}; write it "
            "exactly as the one that you mean"
        )
    return meant[0] if meant else name


def by_known_name(values: Mapping[str, Value], known: Iterable[str]) -> dict[str, Value]:
    """The same values under the names that theirs mean; raises ParameterError for a name twice."""
    known = list(known)
    named: dict[str, Value] = {}
    for name, value in values.items():
        own = known_name(name, known)
        if own in named:
            raise ParameterError(f"need {own!r:.100} once, got it twice, as {name!r:.100} too")
        named[own] = value
    return named
