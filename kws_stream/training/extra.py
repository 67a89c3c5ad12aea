"""The extra train, which brings PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager

from kws_stream.errors import MissingExtraError, ParameterError


@contextmanager
def training_extra() -> Iterator[None]:
    """Imports inside need the extra train; raises MissingExtraError that says so."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"need PyTorch for training, got: {error}; pip install 'kws-stream[train]'"
        ) from error


def set_up(device: str = "cpu", threads: int | None = None) -> None:
    """Load PyTorch; it computes with `threads` threads, or as many as it sees fit.

    Raises MissingExtraError without PyTorch, ParameterError for a device that is not there.
    """
    with training_extra():
        import torch

        import kws_stream.training.loop  # noqa: F401
    if device == "cuda" and not torch.cuda.is_available():
        raise ParameterError(
            "need a GPU and a build of PyTorch for it with --device cuda, found none; "
            "leave --device out"
        )
    if threads is not None:
        torch.set_num_threads(threads)
