"""What a spotter costs by length of block, model and engine (docs/performance.md), on one core.

python benchmarks/engine_cost.py
KWS_STREAM_ENGINE=numpy python benchmarks/engine_cost.py --model yes-4

A figure is the mean, over the blocks of some seconds of the packaged recording, of the least time
that each block took in `--rounds` runs: what other work on the machine adds is left out. Of long
blocks, which it would interrupt in every run, it is the processor time.
"""

import argparse
import time

import numpy as np

from kws_stream import engine, packs
from kws_stream.audio import to_int16
from kws_stream.constants import RECORDING
from kws_stream.pipeline import KeywordSpotter, blocks_of

LENGTHS = (160, 320, 1280, 32_000)  # samples
LONG = 1280  # samples


def least_seconds(spotter: KeywordSpotter, blocks: list[np.ndarray], rounds: int) -> float:
    """Mean over the blocks of the least time that each took."""
    least = np.full(len(blocks), np.inf)
    now = time.thread_time if len(blocks[0]) > LONG else time.perf_counter
    for _ in range(rounds):
        for index, block in enumerate(blocks):
            began = now()
            spotter.process(block)
            least[index] = min(least[index], now() - began)
    return float(least.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", help="repeatable; default: all shipped")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    pcm = np.concatenate([to_int16(block) for block in blocks_of(RECORDING)])
    print(f"engine: {engine.kind}")
    print("model              block   us per 10 ms   times real time")
    for name in given.model or packs.list_packs():
        spotter = KeywordSpotter(name, verify=False)
        spotter.process(pcm[:100_000])
        for length in LENGTHS:
            stop = 100_000 + max(64_000, length)
            blocks = [pcm[at : at + length] for at in range(100_000, stop, length)]
            seconds = least_seconds(spotter, blocks, given.rounds)
            audio = length / 16_000
            print(
                f"{name:<17} {1000 * audio:>4.0f} ms {1e6 * seconds / (100 * audio):>14.2f} "
                f"{audio / seconds:>17.0f}"
            )


if __name__ == "__main__":
    main()
