"""What the inspection of a file finds: the parts of it that are read one after another."""

from dataclasses import dataclass, field

from kws_stream.brief import brief


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `stop` of a file, which one decoder reads.

    changed: bytes to show the decoder in place of the file's own, by their place in the file.
    frames: how many the part's own header promises; None where the decoder knows it. checked: the
    sizes in the part have been compared with the file, so that the decoder reads all of it.
    """

    start: int
    stop: int
    changed: dict[int, bytes] = field(default_factory=dict)
    frames: int | None = None
    checked: bool = True

    __repr__ = brief


@dataclass(frozen=True)
class Inspection:
    """A file's parts, and the beginnings of sentences about what is wrong with it.

    cut: why it must have been cut short; damage: what in it cannot be read. Empty if nothing tells.
    """

    parts: tuple[Part, ...]
    cut: str = ""
    damage: str = ""

    __repr__ = brief
