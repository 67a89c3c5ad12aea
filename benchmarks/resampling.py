"""What soxr's settings hold back in a live stream, and the words that each of them keeps.

    python benchmarks/resampling.py
    python benchmarks/resampling.py --clips DIR   # Speech Commands: validation clips at other rates

The delay is counted in samples, so that the speed of the machine does not matter: after each chunk
of 20 ms, the sound that went in less the sound that came out.
"""

import argparse

import numpy as np
import soxr

from kws_stream import KeywordSpotter
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.evaluation import read_clip, score_clip, select

RATES_HZ = (48_000, 44_100, 32_000, 22_050, 8_000)
KINDS = {
    "variable rate": {"vr": True},
    "VHQ": {"quality": "VHQ"},
    "HQ": {"quality": "HQ"},
    "MQ": {"quality": "MQ"},
    "LQ": {"quality": "LQ"},
}


def stream(rate_hz, kind):
    return soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", **KINDS[kind])


def held_back_ms(rate_hz, kind):
    """Least, mean and most after the chunks of 20 ms of five seconds, without the first second."""
    resampler, heard, late = stream(rate_hz, kind), 0, []
    chunk = np.zeros(rate_hz // 50, np.float32)
    for number in range(1, 251):
        heard += len(resampler.resample_chunk(chunk))
        late.append(1000 * (number * len(chunk) / rate_hz - heard / SAMPLE_RATE_HZ))
    settled = late[50:]
    return min(settled), sum(settled) / len(settled), max(settled)


def accuracy(folder, model, rates_hz):
    """Share of the validation clips of v2-12 that are called right, by rate and kind."""
    spotter = KeywordSpotter(model)
    clips = select(folder, "v2-12", "validation").clips
    ways = [
        (16_000, "untouched"),
        *((r, k) for r in rates_hz for k in ("variable rate", "HQ", "LQ")),
    ]
    right = dict.fromkeys(ways, 0)
    for clip in clips:
        pcm = read_clip(clip)
        for rate_hz, kind in ways:
            spotter.reset()
            heard = pcm if kind == "untouched" else there_and_back(pcm, rate_hz, kind)
            right[rate_hz, kind] += score_clip(spotter, heard).called == clip.label
    return {way: count / len(clips) for way, count in right.items()}, len(clips)


def there_and_back(pcm, rate_hz, kind):
    """A clip as a recording of another rate would give it, in 16 bits where the rate is higher."""
    other = soxr.resample(pcm, SAMPLE_RATE_HZ, rate_hz, quality="VHQ")
    if rate_hz > SAMPLE_RATE_HZ:
        other = (np.clip(np.rint(other * 32768), -32768, 32767) / 32768).astype(np.float32)
    back = stream(rate_hz, kind).resample_chunk(other, last=True)
    return np.pad(back[: len(pcm)], (0, max(0, len(pcm) - len(back))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", metavar="DIR", help="folder of Speech Commands")
    parser.add_argument("--model", default="commands-12")
    args = parser.parse_args()
    print("held back in ms (least, mean, most)")
    print(f"{'rate':>8}" + "".join(f"{kind:>22}" for kind in KINDS))
    for rate_hz in RATES_HZ:
        cells = (held_back_ms(rate_hz, kind) for kind in KINDS)
        print(f"{rate_hz:>8}" + "".join("{:>8.1f} {:>6.1f} {:>6.1f}".format(*c) for c in cells))
    if args.clips:
        shares, clips = accuracy(args.clips, args.model, (48_000, 44_100, 8_000))
        print(f"\n{args.model}, {clips} validation clips, called right")
        for (rate_hz, kind), share in shares.items():
            print(f"{rate_hz:>8}  {kind:<14} {100 * share:.2f} %")


if __name__ == "__main__":
    main()
