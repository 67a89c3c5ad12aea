"""How the cost of spotting grows with audio, cells, models and clients: straight lines, or not.

python benchmarks/growth.py
python benchmarks/growth.py --plot growth.png

Processor seconds: of this process, the least of three runs, or of the server for clients, its start
left out. Each of the four has a line by least squares, and r^2. Cells are those of the packaged
models. Clients need the extra wyoming, the plot the extra report.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from kws_stream import packs
from kws_stream.audio import to_int16
from kws_stream.constants import RECORDING
from kws_stream.pipeline import KeywordSpotter, blocks_of

HERE = Path(__file__).parent
BLOCK = 1280  # samples, 80 ms
MODEL = "commands-12"
CLIENT_S = 20

Points = list[tuple[float, float]]


def seconds(minutes: float, models: list[str]) -> float:
    """Processor time of so much of the packaged recording, over and over, through all models."""
    pcm = np.concatenate([to_int16(block) for block in blocks_of(RECORDING)])
    pcm = np.resize(pcm, round(minutes * 60 * 16_000))
    least = np.inf
    for _ in range(3):
        spotters = [KeywordSpotter(model, verify=False) for model in models]
        began = time.process_time()
        for at in range(0, len(pcm), BLOCK):
            for spotter in spotters:
                spotter.process(pcm[at : at + BLOCK])
        least = min(least, time.process_time() - began)
    return float(least)


def server_seconds(clients: int) -> float:
    command = [sys.executable, str(HERE / "wyoming_clients.py"), "--model", MODEL]
    command += ["--clients", str(clients), "--seconds", str(CLIENT_S)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"server: ([0-9.]+) s", told)
    assert found is not None, told
    return float(found[1])


def measured() -> dict[str, Points]:
    cells = {
        name: sum(block.cells for block in packs.load(name).network.parameters.blocks)
        for name in packs.list_packs()
    }
    return {
        f"minutes of sound ({MODEL})": [(m, seconds(m, [MODEL])) for m in (1, 2, 5, 10, 20, 40)],
        "cells of the model (10 minutes)": [(n, seconds(10, [name])) for name, n in cells.items()],
        f"models at once ({MODEL}, 2 minutes)": [
            (n, seconds(2, [MODEL] * n)) for n in (1, 2, 4, 8, 16)
        ],
        f"clients ({MODEL}, {CLIENT_S} s in real time)": [
            (n, server_seconds(n)) for n in (1, 10, 20, 30, 40, 50)
        ],
    }


def line(points: Points) -> tuple[float, float, float]:
    """Slope and intercept by least squares, and r^2."""
    x, y = np.array(points).T
    slope, intercept = np.polyfit(x, y, 1)
    r2 = np.corrcoef(x, y)[0, 1] ** 2
    return float(slope), float(intercept), float(r2)


def draw(found: dict[str, Points], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    for ax, (name, points) in zip(axes.flat, found.items(), strict=True):
        x, y = np.array(sorted(points)).T
        slope, intercept, r2 = line(points)
        ends = np.array([0, x[-1]])
        ax.plot(ends, slope * ends + intercept, color="0.6", zorder=1)
        ax.scatter(x, y, s=24, zorder=2)
        ax.set(xlabel=name, ylabel="processor time, s", xlim=(0, None), ylim=(0, None))
        ax.set_title(f"r$^2$ = {r2:.3f}", fontsize=10)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    found = measured()
    for name, points in found.items():
        slope, intercept, r2 = line(points)
        print(name)
        print("   " + ", ".join(f"{x:g}: {y:.3f} s" for x, y in sorted(points)))
        print(f"   {1000 * slope:.4g} ms each, {1000 * intercept:.4g} ms beside it, r2 {r2:.4f}")
    if given.plot:
        draw(found, given.plot)


if __name__ == "__main__":
    main()
