"""Clips a second against worker processes of a Dask cluster on this machine, one killed meanwhile.

    python benchmarks/cluster_throughput.py --clips 100000 --workers 2 --kill

Evaluates a model on clips that are cut from the packaged recording: a folder is made of a thousand
files and of links to them. With --chips it sums as many virtual chips on packaged clips in place of
that. The clock begins when the cluster stands and its workers have loaded the package. What is
printed last is the SHA-256 of the figures: equal however many workers there were and whatever
became of them. 0 workers: this process alone, without a cluster. Needs the extra cluster.
"""

import argparse
import hashlib
import itertools
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from kws_stream import packs, studies
from kws_stream.bmru.chip import ChipSettings
from kws_stream.constants import RECORDING, SAMPLE_RATE_HZ
from kws_stream.evaluation import evaluate
from kws_stream.workers import Workers

DIFFERENT = 1000
WORDS = ("yes", "no", "up", "down", "left", "right")  # of the task "yes"
SPEAKER = "00176480"  # of the training split


def make_clips(folder: Path, clips: int) -> None:
    """Files of a second for each word in turn; those beyond DIFFERENT are links to them."""
    pcm = soundfile.read(RECORDING, dtype="int16")[0]
    rng = np.random.default_rng(0)
    files: list[Path] = []
    for number, word in zip(range(clips), itertools.cycle(WORDS), strict=False):
        path = folder / word / f"{SPEAKER}_nohash_{number}.wav"
        if number < DIFFERENT:
            path.parent.mkdir(exist_ok=True)
            start = int(rng.integers(0, len(pcm) - SAMPLE_RATE_HZ))
            soundfile.write(path, pcm[start : start + SAMPLE_RATE_HZ], SAMPLE_RATE_HZ)
            files.append(path)
        else:
            os.link(files[number % DIFFERENT], path)


class Killer:
    """Kills a worker with SIGKILL once half of the work is done."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.killed: int | None = None

    def __call__(self, done: int, total: int) -> None:
        if self.killed is None and done >= total / 2:
            self.killed = next(iter(self._cluster.workers.values())).pid
            os.kill(self.killed, signal.SIGKILL)


def measure(args: argparse.Namespace, folder: Path, cluster: Any) -> str:
    """The figures of the work, as JSON."""
    pack = packs.load(args.model)
    address = None if cluster is None else cluster.scheduler_address
    killer = Killer(cluster) if args.kill else None
    if args.chips:
        utterances = studies.load_utterances(pack, clips=args.clips)
        began = time.perf_counter()
        with Workers(1 if address is None else None, address) as workers:
            found = studies.montecarlo(
                *(pack, utterances, ChipSettings.foundry(), args.chips),
                workers=workers,
                progress=killer,
            )
        work = args.chips * len(utterances)
    else:
        began = time.perf_counter()
        jobs = 1 if address is None else None
        found = evaluate(*(folder, "yes", "training", pack, jobs), progress=killer, cluster=address)
        work = found.clips
    seconds = time.perf_counter() - began
    told = f", worker {killer.killed} killed in the middle" if killer else ""
    print(f"{work} clips in {seconds:.1f} s, {work / seconds:.0f} a second{told}")
    return json.dumps(found.as_dict(), sort_keys=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--model", default="yes-4")
    parser.add_argument("--chips", type=int, default=0)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not args.chips:
            make_clips(folder, args.clips)
        print(f"{args.model}, {args.workers} workers: ", end="", flush=True)
        if args.workers == 0:
            figures = measure(args, folder, None)
        else:
            from distributed import LocalCluster

            started = LocalCluster(
                n_workers=args.workers, threads_per_worker=1, dashboard_address=":0"
            )
            with started as cluster:
                with cluster.get_client() as client:
                    client.wait_for_workers(args.workers)
                    client.run(__import__, "kws_stream.evaluation")
                figures = measure(args, folder, cluster)
        print(f"figures: SHA-256 {hashlib.sha256(figures.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
