"""Any rate to the one that a model hears, as a stream."""

import operator

import numpy as np
from numpy.typing import NDArray

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import ParameterError

LOWEST_RATE_HZ = 10  # of slow sensors
HIGHEST_RATE_HZ = 768_000


def checked_rate(rate: int) -> int:
    """`rate` in Hz as an int; raises ParameterError outside 10..768000 Hz."""
    try:
        rate_hz = operator.index(rate)
    except TypeError:
        rate_hz = 0
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise ParameterError(
            f"sample rate: need a whole number in {LOWEST_RATE_HZ}..{HIGHEST_RATE_HZ} Hz, "
            f"got {rate!r}; give the rate the audio was recorded at"
        )
    return rate_hz


class Resampler:
    """A stream of mono float32 samples brought from one rate to another by soxr.

    Any split of the input gives the same bits, which holds for soxr in float32 alone: its int16
    output is dithered. Between equal rates the samples pass untouched.

    From higher rates soxr's kind for variable rates is used, at a fixed one. It filters in the time
    domain and holds back the same 7 to 16 ms at all times, where HQ works through blocks by FFT and
    holds back up to 37 ms at 48 kHz. From lower rates HQ is kept: the other takes the top of their
    band, and words with it (docs/sound.md has the figures).
    """

    def __init__(self, rate_in: int, rate_out: int = SAMPLE_RATE_HZ) -> None:
        """Rates in Hz; raises ParameterError outside 10..768000 Hz."""
        rate_in, rate_out = checked_rate(rate_in), checked_rate(rate_out)
        self._stream = None
        if rate_in != rate_out:
            import soxr

            self._stream = soxr.ResampleStream(
                rate_in, rate_out, 1, dtype="float32", vr=rate_in > rate_out
            )

    def process(self, block: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        """What can be told of the output (m,) after the next samples (n,); both may be empty.

        last: no more will come; the delayed tail is delivered too, and the resampler is spent.
        """
        if self._stream is None:
            return block
        resampled: NDArray[np.float32] = self._stream.resample_chunk(block, last=last)
        return resampled
