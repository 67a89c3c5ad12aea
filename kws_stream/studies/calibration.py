"""From measured thresholds and gains of one chip to the codes that bring it back to nominal."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from kws_stream.bmru.chip import ChipSettings, extrapolations
from kws_stream.bmru.fabricate import FITS, Fit, fabricate
from kws_stream.brief import brief
from kws_stream.errors import DataError, ParameterError
from kws_stream.files import decoded
from kws_stream.network import Network
from kws_stream.packs import Pack
from kws_stream.parameters import FloatArray, Layer, NetworkParameters
from kws_stream.studies.clips import Utterances
from kws_stream.studies.simulation import exact, headline

COLUMNS = ("block", "cell", "beta1_na", "beta2_na", "alpha_na")
PROGRAMMED = Fit(1.0, 0.0, (0.0, 0.0))  # effective is what is programmed
MOST_NA = 1e6  # of a measured current: 1 mA, more than the whole chip draws
HEADROOM = 2.0  # the largest code gives at least so many times the largest nominal current

Cells = list[dict[str, FloatArray]]
"""Of every block, alpha, beta2 and delta (d,) in nA."""


@dataclass(frozen=True)
class Code:
    """One bias current: programmed at first and with its new code, and what comes of it, in nA.

    nominal is what the network asks for; before was measured; after is expected with the code.
    """

    block: int
    cell: int
    parameter: str
    nominal_na: float
    before_na: float
    code: int
    current_na: float
    after_na: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """codes: three a cell. step_na: current of one code, by parameter."""

    head: dict[str, Any]
    codes: tuple[Code, ...]
    step_na: dict[str, float]
    exact: float
    before: float
    after: float

    __repr__ = brief

    def error_na(self, when: str) -> float:
        """RMS difference from nominal, "before" or "after"."""
        errors = [getattr(code, f"{when}_na") - code.nominal_na for code in self.codes]
        return float(np.sqrt(np.mean(np.square(errors))))

    def as_dict(self) -> dict[str, Any]:
        return self.head | {
            "exact": self.exact,
            "before": self.before,
            "after": self.after,
            "rms_error_before_na": self.error_na("before"),
            "rms_error_after_na": self.error_na("after"),
            "step_na": self.step_na,
            "codes": [vars(code) for code in self.codes],
        }


def read_measurements(path: str | os.PathLike[str], parameters: NetworkParameters) -> Cells:
    """Measured cells of a CSV with the columns block, cell, beta1_na, beta2_na, alpha_na.

    One row a cell, in any order; block and cell count from 0. Raises DataError for a file that
    cannot be read, lacks a cell or a column, or holds something else than numbers of up to 1 mA.
    """
    wanted = [(b, c) for b, block in enumerate(parameters.blocks) for c in range(block.cells)]
    rows: dict[tuple[int, int], list[float]] = {}
    try:
        reader = csv.DictReader(io.StringIO(decoded(Path(path).read_bytes()), newline=""))
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        for row in reader:
            place = (int(row["block"]), int(row["cell"]))
            values = [float(row[name]) for name in COLUMNS[2:]]
            if place in rows:
                raise ValueError(f"block {place[0]} cell {place[1]} twice, counted from 0")
            if not all(abs(value) <= MOST_NA for value in values):
                raise ValueError(f"block {place[0]} cell {place[1]}: {values}")
            rows[place] = values
        absent = [place for place in wanted if place not in rows]
        extra = [place for place in rows if place not in wanted]
        if absent or extra:
            what, first = ("no", absent[0]) if absent else ("an unknown", extra[0])
            raise ValueError(f"{what} block {first[0]} cell {first[1]}, counted from 0")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{os.fspath(path)}: need a CSV with the columns {', '.join(COLUMNS)} and a row for "
            f"each of the {len(wanted)} cells, got: {reason}"
        ) from error
    cells = []
    for index, block in enumerate(parameters.blocks):
        beta1, beta2, alpha = np.array([rows[index, cell] for cell in range(block.cells)]).T
        cells.append({"alpha": alpha, "beta2": beta2, "delta": beta2 - beta1})
    return cells


def virtual_measurements(
    parameters: NetworkParameters, settings: ChipSettings, seed: int = 0, chip: int = 0
) -> str:
    """What a virtual chip would measure, as the text of such a CSV."""
    blocks = fabricate(parameters, settings, seed, [chip]).blocks
    lines = [",".join(COLUMNS)]
    for index, block in enumerate(blocks):
        for cell in range(len(block.alpha)):
            values = (block.beta1[cell, 0], block.beta2[cell, 0], block.alpha[cell, 0])
            numbers = (f"{settings.unit_na * float(value):.9g}" for value in values)
            lines.append(",".join([str(index), str(cell), *numbers]))
    return "\n".join(lines) + "\n"


def calibrate(
    pack: Pack,
    utterances: Utterances,
    measured: Cells,
    settings: ChipSettings,
    *,
    bits: int = 8,
) -> Calibration:
    """The codes whose effective currents come nearest to what the network asks for.

    measured: with the nominal currents programmed. A cell's effective current is taken as
    slope·f·I + offset, with the fits of its process where `settings.transfer` (for alpha:
    `settings.alpha_transfer`), else f·I; the measurement gives f. bits: of the codes, each a
    multiple of a step that is a power of two.
    Raises ParameterError for bits outside 1..24.
    """
    if not 1 <= bits <= 24:
        raise ParameterError(f"bits: need 1 to 24, got {bits}")
    parameters, unit = pack.network.parameters, settings.unit_na
    nominal: Cells = [
        {"alpha": b.alpha * unit, "beta2": b.beta2 * unit, "delta": b.delta * unit}
        for b in parameters.blocks
    ]
    steps: dict[str, float] = {}
    codes: list[Code] = []
    after = [dict(block) for block in measured]
    threshold = [block["beta2"] for block in nominal]  # as programmed, later as by the new codes
    for name, fit in FITS[settings.process].items():
        if not (settings.alpha_transfer if name == "alpha" else settings.transfer):
            fit = PROGRAMMED
        largest = max(float(np.abs(block[name]).max()) for block in nominal)
        steps[name] = _step(HEADROOM * largest, bits)
        for index, (wanted, got) in enumerate(zip(nominal, measured, strict=True)):
            offsets = [
                fit.offset_na + fit.of_threshold * thresholds
                for thresholds in (wanted["beta2"], threshold[index])
            ]
            code, current, expected = _codes(
                fit.slope, offsets, wanted[name], got[name], steps[name], bits
            )
            if name == "beta2":
                threshold[index] = current
            after[index][name] = expected
            columns = (wanted[name], got[name], code, current, expected)
            for cell, (aim, before, number, amount, then) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True)
            ):
                found = Code(index, cell, name, aim, before, int(number), amount, then)
                codes.append(found)
    accuracies = {
        when: _accuracy(pack, utterances, cells, unit)
        for when, cells in (("before", measured), ("after", after))
    }
    codes.sort(key=lambda code: (code.block, code.cell))
    head = {
        "study": "calibrate",
        "model": pack.name,
        "data": utterances.source,
        "clips": len(utterances),
        "headline": utterances.headline,
        "bits": bits,
        "settings": settings.as_dict(),
        "extrapolations": extrapolations(parameters, settings),
    }
    nominal_accuracy = float(headline(exact(pack, utterances).called, utterances)[0])
    return Calibration(head, tuple(codes), steps, nominal_accuracy, **accuracies)


def _step(full_scale_na: float, bits: int) -> float:
    """The smallest power of two whose codes reach full scale."""
    return float(2.0 ** np.ceil(np.log2(full_scale_na / (2**bits - 1)))) if full_scale_na else 1.0


def _codes(
    slope: float,
    offsets: Sequence[FloatArray],
    nominal: FloatArray,
    measured: FloatArray,
    step: float,
    bits: int,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Codes, their currents, and the effective currents expected of them.

    offsets (d,) of the fit, where it was measured and where the codes will be.
    """
    before, after = offsets
    usable = (nominal > 0) & (measured > before)
    # a current that was programmed as 0, or that did not come, tells nothing of its own factor
    factor = np.ones_like(nominal)
    np.divide(measured - before, slope * nominal, out=factor, where=usable)
    wanted = (nominal - after) / (slope * factor)
    codes = np.clip(np.rint(wanted / step), 0, 2**bits - 1)
    codes = np.where(nominal <= 0, 0, codes)
    expected = np.where(codes > 0, slope * factor * codes * step + after, np.minimum(nominal, 0.0))
    return codes, codes * step, np.maximum(expected, np.minimum(nominal, 0.0))


def _accuracy(pack: Pack, utterances: Utterances, cells: Cells, unit: float) -> float:
    """The headline accuracy with these cells in place of the network's own."""
    parameters = pack.network.parameters

    def pair(layer: Layer) -> tuple[FloatArray, FloatArray]:
        return layer.weight, layer.bias

    blocks = [
        {
            "candidate": pair(block.candidate),
            "beta1": (values["beta2"] - values["delta"]) / unit,
            "delta": np.maximum(values["delta"], 0) / unit,
            "alpha": np.maximum(values["alpha"], 0) / unit,
            "post": pair(block.post),
            "initial_state": block.initial_state,
        }
        for block, values in zip(parameters.blocks, cells, strict=True)
    ]
    network = Network.from_arrays(pair(parameters.pre), blocks, pair(parameters.classifier))
    changed = replace(pack, network=network)
    return float(headline(exact(changed, utterances).called, utterances)[0])


def codes_csv(codes: Sequence[Code]) -> str:
    """The codes as CSV, a column for each field of `Code`."""
    names = [field.name for field in fields(Code)]
    lines = [",".join(names)]
    lines += [
        ",".join(f"{v:.9g}" if isinstance(v, float) else str(v) for v in values)
        for values in ([getattr(code, name) for name in names] for code in codes)
    ]
    return "\n".join(lines) + "\n"
