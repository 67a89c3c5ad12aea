"""Samples as float32, checked: the gate that every block passes on its way to the front end."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kws_stream.errors import InputError

_FLOAT32 = np.dtype(np.float32)
_INT16 = np.dtype(np.int16)
_INT16_SCALE = np.float32(1 / 32768)  # a power of two: the product is exact


def to_int16(pcm: ArrayLike) -> NDArray[np.int16]:
    """Mono samples (n,) on the 16-bit grid on which keyword spotting is defined; n may be 0.

    int16 comes back as it is, not copied. Others are times 32768, rounded to the nearest integer,
    ties to even, and cut to -32768..32767. Errors as of `to_float32`.
    """
    if isinstance(pcm, np.ndarray) and pcm.dtype == _INT16 and pcm.ndim == 1:
        return pcm
    x = np.asarray(pcm)
    samples = to_float32(x)
    if x.dtype.kind == "i":
        return x.astype(_INT16)
    scaled = np.clip(samples, np.float32(-1), np.float32(1)) * np.float32(32768)
    np.rint(scaled, out=scaled)
    np.minimum(scaled, np.float32(32767), out=scaled)
    return scaled.astype(_INT16)


def to_float32(pcm: ArrayLike) -> NDArray[np.float32]:
    """Mono samples (n,) as float32, full scale 1.0; n may be 0.

    int16 is divided by 32768, exactly; float32 comes back as it is, not copied; float64 is rounded
    to the nearest float32. Raises InputError (a ValueError) for other types and shapes, and for
    NaN, infinity and values beyond float32, with the index of the first.
    """
    x = np.asarray(pcm)
    if x.ndim != 1:
        raise InputError(f"pcm: need mono samples of shape (n,), got shape {x.shape}; mix it down")
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    if x.dtype == _INT16:
        return x.astype(_FLOAT32) * _INT16_SCALE
    if x.dtype == _FLOAT32:
        samples = x
    elif x.dtype == np.float64:
        with np.errstate(over="ignore"):
            samples = x.astype(_FLOAT32)
    else:
        raise InputError(
            f"pcm: need int16 or float32 samples, got {x.dtype}; convert them, with full scale 1.0"
        )
    finite = np.isfinite(samples)
    if not np.logical_and.reduce(finite):  # quicker than .all() on a 10 ms block
        at = int(np.argmin(finite))
        raise InputError(
            f"pcm: need finite float32 samples, got {x[at]} at index {at}; repair the recording"
        )
    return samples
