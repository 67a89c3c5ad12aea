"""Training of spotting networks with PyTorch (extra: train)."""

from collections.abc import Iterator
from contextlib import contextmanager

from kws_stream.errors import MissingExtraError


@contextmanager
def training_extra() -> Iterator[None]:
    """Imports inside need the extra train; raises MissingExtraError that says so."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"need PyTorch for training, got: {error}; pip install 'kws-stream[train]'"
        ) from error
