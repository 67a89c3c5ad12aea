"""A verifier's network in C (c/kws_cascade.h): the scores of `verifier.network.VerifierNetwork`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.model import VerifierDesign
from kws_stream import engine
from kws_stream.engine.blob import Blob, aligned, room, verifier_blob


def blob_of(design: VerifierDesign) -> Blob:
    """The numbers of a verifier, for `scores_in_c`."""
    channels = design.layers[0].weight.shape[1]
    return aligned(verifier_blob(design, design.keywords, channels))


def scores_in_c(blob: Blob, keywords: int, window: NDArray[np.uint8]) -> list[int]:
    """One score a keyword, in units of 2^-16, of a window (frames, channels) of the verifier.

    blob: what `blob_of` gave in this process, where C needs it to lie. Each call has memory of its
    own to work in, so that threads may share a blob.
    """
    ffi, lib = engine.library.ffi, engine.library.lib
    numbers = ffi.from_buffer(blob)
    size = lib.kws_cascade_bytes(numbers, len(blob))
    assert size, "the blob is of this version and whole: nothing but verifier_blob makes one"
    memory = room(size)
    scores: NDArray[np.int32] = np.empty(keywords, np.int32)
    at: Any = ffi.from_buffer(memory, require_writable=True)
    lib.kws_cascade_init(at, numbers)
    lib.kws_cascade_scores(
        at,
        ffi.from_buffer("uint8_t[]", np.ascontiguousarray(window)),
        ffi.from_buffer("int32_t[]", scores, require_writable=True),
    )
    found: list[int] = scores.tolist()
    return found
