"""ngspice and the transistor models of a process: found on this machine, checked, and run."""

import hashlib
import importlib.metadata
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kws_stream.brief import brief
from kws_stream.errors import InputError, MissingExtraError, ParameterError
from kws_stream.parameters import FloatArray
from kws_stream.spice.processes import PROCESSES, Process

OPTIONS = (
    # the default gmin shifts thresholds by 3 % at 0.1 nA
    ".options method=gear gmin=1e-20 abstol=1e-17 reltol=1e-4 vntol=1e-7 chgtol=1e-19 itl4=100"
)


@dataclass(frozen=True)
class Simulator:
    """An ngspice that runs decks on these models.

    seed: from 0, of the mismatch that the statistics of the process draw for every transistor;
    None: all as drawn.
    """

    program: str
    models: Path
    seed: int | None = None
    process: Process = PROCESSES["gf180mcu"]

    def run(self, circuit: str, outputs: list[str], step_s: float, stop_s: float) -> "Waveforms":
        """Transient analysis of a netlist from its operating point; outputs as ngspice names them.

        Raises InputError if ngspice finds no solution.
        """
        started = time.perf_counter()
        table, said = self._simulate(
            f"{circuit}\n.save {' '.join(outputs)}", f"tran {step_s:.6g} {stop_s:.9g}", outputs
        )
        if not len(table) or table[-1, 0] < stop_s * (1 - 1e-6):
            reached = table[-1, 0] if len(table) else 0.0
            raise InputError(
                f"ngspice: need a solution up to {stop_s:.4g} s, got one up to {reached:.4g} s; "
                f"simulate less, or other currents ({said})"
            )
        columns = dict(zip(outputs, table[:, 1:].T, strict=True))
        return Waveforms(table[:, 0], columns, time.perf_counter() - started)

    def noise(
        self, circuit: str, node: str, source: str, low_hz: float, high_hz: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Noise at the operating point, by frequency in Hz: at `node` in V/sqrt(Hz), and what of
        `source` would be the same, in A/sqrt(Hz).

        Raises InputError if ngspice finds no solution.
        """
        analysis = f"noise v({node}) {source} dec 20 {low_hz:.6g} {high_hz:.6g}\nsetplot noise1"
        table, said = self._simulate(circuit, analysis, ["onoise_spectrum", "inoise_spectrum"])
        if not len(table):
            raise InputError(f"ngspice: need an operating point, got none ({said})")
        return table[:, 0], table[:, 1], table[:, 2]

    def _simulate(self, circuit: str, analysis: str, outputs: list[str]) -> tuple[FloatArray, str]:
        """What an analysis gives, a column an output after that of time or frequency."""
        drawn = [] if self.seed is None else [f".option seed={self.seed + 1}"]  # 0: the clock
        deck = "\n".join(
            [
                "kws-stream",
                self.process.head(self.models, mismatch=self.seed is not None),
                *drawn,
                OPTIONS,
                circuit,
                ".control",
                analysis,
                "set wr_singlescale",
                "set numdgt=10",
                f"wrdata waveforms.txt {' '.join(outputs)}",
                ".endc",
                ".end",
                "",
            ]
        )
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            (here / "deck.cir").write_text(deck, encoding="utf-8")
            # more threads make circuits of this size slower, by up to a hundred times
            (here / ".spiceinit").write_text("set num_threads=1\n", encoding="utf-8")
            done = subprocess.run(
                [self.program, "-b", "deck.cir"],
                cwd=here,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            file = here / "waveforms.txt"
            table = np.loadtxt(file, ndmin=2) if file.exists() else np.empty((0, 1))
        return table, " ".join((done.stdout + done.stderr).split())[-200:]


@dataclass(frozen=True, eq=False)
class Waveforms:
    """time_s (n,), and by output name its values (n,), in A or V; run_s: what it took."""

    time_s: FloatArray
    values: dict[str, FloatArray]
    run_s: float

    __repr__ = brief

    def at(self, output: str, times_s: FloatArray) -> FloatArray:
        """Values at these times."""
        values: FloatArray = np.interp(times_s, self.time_s, self.values[output])
        return values

    def mean(self, output: str) -> float:
        """Average over time."""
        integral = np.trapezoid(self.values[output], self.time_s)
        return float(integral / (self.time_s[-1] - self.time_s[0]))


def find(models: Path | None = None, process: str = "gf180mcu") -> Simulator:
    """The simulator of this machine; `models`: a folder with the model files of the process.

    Raises ParameterError for a process that is none of `PROCESSES`, MissingExtraError where ngspice
    or the models are missing or are not those meant.
    """
    if process not in PROCESSES:
        raise ParameterError(f"process: need one of {', '.join(PROCESSES)}, got {process!r}")
    program = shutil.which("ngspice")
    if program is None:
        raise MissingExtraError("need ngspice, found none; install it (apt-get install ngspice)")
    chosen = PROCESSES[process]
    folder = _installed(chosen) if models is None else models
    for name, digest in chosen.files.items():
        file = folder / name
        if not file.is_file():
            raise MissingExtraError(
                f"need the transistor models, found no {file}; {chosen.install}"
            )
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise MissingExtraError(
                f"{file}: need the file of version {chosen.version}; {chosen.install}"
            )
    return Simulator(program, folder.resolve(), process=chosen)


def _installed(process: Process) -> Path:
    try:
        distribution = importlib.metadata.distribution(process.distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            f"need the transistor models of {process.distribution}, found none; {process.install}"
        ) from error
    return Path(str(distribution.locate_file(process.folder)))
