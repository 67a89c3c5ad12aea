"""Hours of sound through models, faster than real time: what a spotter promises for years.

    python scripts/soak.py --hours 24 --model yes-4 --model commands-12

The packaged recording, in noise of changing level and with silences, is heard by two spotters: by
one in blocks of ten seconds, by the other in pieces of random length, and every few minutes a copy
of that goes on in its place. Checked all along: equal events and equal power, times that are whole
frames, counted from the samples heard. A verifier for microcontrollers judges what triggers; one
for a host is left out, since it would take hours. At the end: memory that has not grown by more
than 1 % after the first tenth, and a fresh spotter that hears two minutes, and then with the old
one ten more: the same events as of the old one, so what went before is forgotten.
"""

import argparse
import copy
import resource
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from kws_stream import KeywordSpotter, packs
from kws_stream.constants import RECORDING, SAMPLE_RATE_HZ
from kws_stream.packs import Pack

BLOCK = 10 * SAMPLE_RATE_HZ
COPY_EVERY = 30  # blocks
WARM_BLOCKS, AFTER_BLOCKS = 12, 60
MOST_GROWTH = 0.01

Samples = NDArray[np.int16]


def block(recording: Samples, number: int) -> Samples:
    """Ten seconds: always the same ones for a number."""
    rng = np.random.default_rng(number)
    if rng.random() < 0.1:
        return np.zeros(BLOCK, np.int16)
    start = int(rng.integers(0, len(recording) - BLOCK))
    words = 10 ** rng.uniform(-1.5, 0) * recording[start : start + BLOCK]
    noise = 10 ** rng.uniform(0, 3) * rng.standard_normal(BLOCK)
    return np.clip(np.rint(words + noise), -32768, 32767).astype(np.int16)


def pieces(samples: Samples, rng: np.random.Generator) -> list[Samples]:
    cuts = np.sort(rng.integers(0, len(samples), rng.integers(0, 40)))
    return np.split(samples, cuts)


def memory_kib() -> int:
    """The resident set now, or where the system does not tell, the largest so far."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def listener(pack: Pack) -> KeywordSpotter:
    small = pack.verifier is not None and pack.verifier.kind == "mcu"
    return KeywordSpotter(pack, verify=small)


def soak(model: str, hours: float) -> None:
    recording, _ = soundfile.read(RECORDING, dtype="int16")
    pack = packs.load(model)
    whole, parts = listener(pack), listener(pack)
    rng = np.random.default_rng(1)
    blocks = round(hours * 3600 * SAMPLE_RATE_HZ / BLOCK)
    events, early, began = 0, 0, time.monotonic()
    for number in range(blocks):
        samples = block(recording, number)
        heard = whole.process(samples)
        in_pieces = [event for piece in pieces(samples, rng) for event in parts.process(piece)]
        if heard != in_pieces:
            raise SystemExit(f"{model}: block {number}: events differ: {heard} {in_pieces}")
        for event in heard:
            frames = event.time_s / whole.frame_s
            if abs(frames - round(frames)) > 1e-6 * max(1.0, frames):
                raise SystemExit(f"{model}: {event.time_s} s is no whole frame")
            if not number * BLOCK < round(event.known_s * SAMPLE_RATE_HZ) <= (number + 1) * BLOCK:
                raise SystemExit(f"{model}: block {number}: an event known at {event.known_s} s")
        events += len(heard)
        if number % COPY_EVERY == COPY_EVERY - 1:
            parts = copy.deepcopy(parts)
        if number == blocks // 10:
            early = memory_kib()
    if whole.power() != parts.power():
        raise SystemExit(f"{model}: power differs: {whole.power()} {parts.power()}")
    growth = memory_kib() / early - 1
    if growth > MOST_GROWTH:
        raise SystemExit(f"{model}: memory grew by {100 * growth:.1f} %")
    triggers, fresh, start = whole.triggers, listener(pack), blocks
    for number in range(start, start + WARM_BLOCKS):
        whole.process(block(recording, number))
        fresh.process(block(recording, number))
    same = 0
    for number in range(start + WARM_BLOCKS, start + WARM_BLOCKS + AFTER_BLOCKS):
        old, new = (s.process(block(recording, number)) for s in (whole, fresh))
        shift = start * BLOCK / SAMPLE_RATE_HZ
        told = [(e.keyword, round(e.time_s - shift, 3), e.score, e.verifier_score) for e in old]
        if told != [(e.keyword, round(e.time_s, 3), e.score, e.verifier_score) for e in new]:
            raise SystemExit(f"{model}: what went before two minutes is not forgotten: {old} {new}")
        same += len(old)
    seconds = time.monotonic() - began
    print(
        f"{model}: {blocks * BLOCK / SAMPLE_RATE_HZ / 3600:.1f} h, {blocks * BLOCK} samples, "
        f"{triggers} triggers, {events} events, memory {100 * growth:+.2f} %, "
        f"{same} events of a fresh one the same, {seconds:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", help="repeatable; default: all shipped")
    parser.add_argument("--hours", type=float, default=24.0)
    given = parser.parse_args()
    for model in given.model or packs.list_packs():
        soak(model, given.hours)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
