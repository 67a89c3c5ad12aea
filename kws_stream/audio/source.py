"""The interface of every audio source."""

from collections.abc import Iterator
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16] | NDArray[np.float32]
"""Mono samples (n,) at one rate: float32 with full scale 1.0, or int16 with full scale 32768."""


@runtime_checkable
class AudioSource(Protocol):
    """Mono audio in blocks of any length; a context manager that closes at the end.

    Its rate is that of its attribute `to_hz`; a source without one gives 16 kHz.
    """

    @property
    def name(self) -> str:
        """What a person calls this source: a path, "-", or the name of a device."""
        ...

    def blocks(self) -> Iterator[Pcm]:
        """The audio, once, in order; how it is cut into blocks means nothing."""
        ...

    def close(self) -> None:
        """Give the file or device back; harmless when repeated."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
