"""What 10 ms of audio cost: kws-stream beside pymicro-wakeword, in one run.

    python benchmarks/streaming_cost.py [--block-ms 10] [--seconds 60] [--rounds 7] [--json]
    KWS_STREAM_ENGINE=numpy python benchmarks/streaming_cost.py

The engines take turns, round by round, on the same audio (int16, 16 kHz, blocks of `--block-ms`,
one thread), so that a machine whose speed drifts treats them alike; the medians are compared. Peak
memory is that of a process of its own for each engine. Absolute times depend on the machine; quote
the ratio. In NumPy each stage is timed by itself too; in C a block is one call. pymicro-wakeword
comes with the extra `bench`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

# one thread each, set before NumPy loads
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np

VERIFIED = "commands-12, verified"  # the others are networks alone
ENGINES = ("commands-12", "yes-4", VERIFIED, "pymicro-wakeword")
Run = Callable[[list[np.ndarray]], None]


def audio(seconds: float, block_ms: int) -> list[np.ndarray]:
    """The packaged recording, repeated, in blocks of that length."""
    from kws_stream.audio import FileSource
    from kws_stream.constants import RECORDING

    with FileSource(RECORDING) as source:
        pcm = np.concatenate(list(source.blocks()))
    samples = 16 * block_ms
    pcm = np.resize(pcm, int(seconds * 16_000) // samples * samples)
    return list(np.round(pcm * 32768).astype(np.int16).reshape(-1, samples))


def engine(name: str) -> Run:
    """A function that hears all blocks of a stream once, from a fresh start."""
    if name == "pymicro-wakeword":
        from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

        model = MicroWakeWord.from_builtin(Model.OKAY_NABU)
        features = MicroWakeWordFeatures()

        def run_peer(blocks: list[np.ndarray]) -> None:
            for block in blocks:
                for frame in features.process_streaming(block.tobytes()):
                    model.process_streaming(frame)

        return run_peer
    import kws_stream

    spotter = kws_stream.KeywordSpotter(name.split(",")[0], verify=name == VERIFIED)

    def run(blocks: list[np.ndarray]) -> None:
        spotter.reset()
        for block in blocks:
            spotter.process(block)

    return run


def timed_us(run: Run, blocks: list[np.ndarray]) -> float:
    """For 10 ms of the audio."""
    start = time.perf_counter()
    run(blocks)
    return (time.perf_counter() - start) / sum(map(len, blocks)) * 160 * 1e6


def peak_megabytes(name: str, seconds: float) -> float:
    """Peak resident memory of a process that runs one engine over the audio."""
    command = [sys.executable, __file__, "--memory-of", name, "--seconds", str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_own_peak(name: str, seconds: float) -> None:
    import resource

    engine(name)(audio(seconds, 10))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / (2**20 if sys.platform == "darwin" else 2**10))


def profile(name: str, blocks: list[np.ndarray], rounds: int) -> dict[str, float]:
    """Median us per 10 ms of each stage in NumPy by itself, on what the stage before it gives."""
    import kws_stream
    from kws_stream import features, packs
    from kws_stream.audio import to_int16
    from kws_stream.detector import Detector, DetectorSettings
    from kws_stream.power import Activity

    pack = packs.load(name)
    front_end = features.build(pack.features)
    network = pack.network
    stream = network.stream()
    activity = Activity(network.parameters)
    settings = DetectorSettings.from_dict(pack.detector)
    detector = Detector(settings, pack.classes, pack.keywords, front_end.frame_s)
    spotter = kws_stream.KeywordSpotter(pack, verify=False)
    samples = [to_int16(block) for block in blocks]
    frames = [front_end.process_codes(block) for block in samples]
    frames = [frame for frame in frames if len(frame)]
    traces = [stream.advance_unchecked(frame) for frame in frames]
    stages: dict[str, tuple[Callable[..., object], list[object]]] = {
        "samples to int16": (to_int16, list(blocks)),
        "front end": (front_end.process_codes, list(samples)),
        "network": (stream.advance_unchecked, list(frames)),
        "activity for power": (activity.add, list(traces)),
        "detector": (detector.process, [trace.logits for trace in traces]),
        "whole": (spotter.process, list(blocks)),
    }
    times: dict[str, list[float]] = {stage: [] for stage in stages}
    for _ in range(rounds):
        for stage, (function, inputs) in stages.items():
            start = time.perf_counter()
            for value in inputs:
                function(value)
            times[stage].append((time.perf_counter() - start) / sum(map(len, blocks)) * 160 * 1e6)
    medians = {stage: statistics.median(values) for stage, values in times.items()}
    medians["between the stages"] = 2 * medians["whole"] - sum(medians.values())
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--block-ms", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory-of", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print_own_peak(options.memory_of, options.seconds)
        return
    blocks = audio(options.seconds, options.block_ms)
    from kws_stream.engine import kind

    engines = {}
    for name in ENGINES:
        try:
            engines[name] = engine(name)
        except ImportError as error:
            print(f"left out {name}: {error}; pip install 'kws-stream[bench]'", file=sys.stderr)
    times: dict[str, list[float]] = {name: [] for name in engines}
    for run in engines.values():
        run(blocks)  # warm up
    for _ in range(options.rounds):
        for name, run in engines.items():
            times[name].append(timed_us(run, blocks))
    peer = times.get(ENGINES[-1])
    rows = {}
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, peer, strict=True)] if peer else []
        median = statistics.median(values)
        rows[name] = {
            "us_per_10_ms": median,
            "times_real_time": 10_000 / median,
            "ratio_to_peer": statistics.median(ratios) if ratios else None,
            "peak_megabytes": peak_megabytes(name, options.seconds),
        }
    profiles = {}
    if kind == "numpy":
        profiles = {name: profile(name, blocks, options.rounds) for name in ENGINES[:2]}
    if options.json:
        print(json.dumps({"kind": kind, "engines": rows, "profiles": profiles}, indent=2))
        return
    print(f"engine: {kind}, blocks of {options.block_ms} ms")
    print(f"{'engine':21} {'us per 10 ms':>12} {'x real time':>12} {'ratio':>6} {'peak MB':>8}")
    for name, row in rows.items():
        ratio = "" if row["ratio_to_peer"] is None else f"{row['ratio_to_peer']:.2f}"
        print(
            f"{name:21} {row['us_per_10_ms']:12.1f} {row['times_real_time']:12.0f} "
            f"{ratio:>6} {row['peak_megabytes']:8.0f}"
        )
    for name, stages in profiles.items():
        print(f"\n{name}, us per 10 ms")
        for stage, value in stages.items():
            print(f"  {stage:20} {value:6.1f}")


if __name__ == "__main__":
    main()
