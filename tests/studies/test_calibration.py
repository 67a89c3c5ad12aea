"""Calibration of measured chips, and its tables of measurements."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kws_stream import packs, studies
from kws_stream.bmru.chip import ChipSettings
from kws_stream.errors import DataError
from kws_stream.packs import Pack
from kws_stream.studies.clips import Utterances


def measured(pack: Pack, settings: ChipSettings, folder: Path, chip: int = 0) -> Any:
    text = studies.virtual_measurements(pack.network.parameters, settings, chip=chip)
    (folder / "chip.csv").write_text(text, "utf-8")
    return studies.read_measurements(folder / "chip.csv", pack.network.parameters)


def test_a_nominal_chip_needs_no_calibration(
    pack: Pack, utterances: Utterances, tmp_path: Path
) -> None:
    cells = measured(pack, ChipSettings(), tmp_path)
    study = studies.calibrate(pack, utterances, cells, ChipSettings(), bits=16)
    assert study.before == study.after == study.exact
    assert study.error_na("before") == study.error_na("after") == 0


@pytest.mark.parametrize("process", ["", "180nm-paper", "gf180mcu"])
def test_codes_bring_a_chip_back_within_half_a_step(
    pack: Pack, utterances: Utterances, tmp_path: Path, process: str
) -> None:
    sweeps: dict[str, Any] = {"process": process, "transfer": True, "alpha_transfer": True}
    settings = ChipSettings(mismatch_percent=15, **(sweeps if process else {}))
    cells = measured(pack, settings, tmp_path, chip=2)
    study = studies.calibrate(pack, utterances, cells, settings, bits=10)
    assert study.error_na("after") < 0.1 * study.error_na("before")
    for code in study.codes:
        assert 0 <= code.code < 2**10
        assert code.current_na == code.code * study.step_na[code.parameter]
        if code.nominal_na > 0:
            assert abs(code.after_na - code.nominal_na) <= 0.6 * study.step_na[code.parameter]


def test_measurements_may_come_in_any_order(pack: Pack, tmp_path: Path) -> None:
    cells = measured(pack, ChipSettings(mismatch_percent=5), tmp_path)
    lines = (tmp_path / "chip.csv").read_text("utf-8").splitlines()
    (tmp_path / "mixed.csv").write_text("\n".join([lines[0], *lines[:0:-1]]), "utf-8")
    again = studies.read_measurements(tmp_path / "mixed.csv", pack.network.parameters)
    for one, other in zip(cells, again, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_of_a_spreadsheet_may_begin_with_a_byte_order_mark(
    pack: Pack, tmp_path: Path, encoding: str
) -> None:
    cells = measured(pack, ChipSettings(mismatch_percent=5), tmp_path)
    text = (tmp_path / "chip.csv").read_text("utf-8").replace("\n", "\r\n")
    (tmp_path / "marked.csv").write_bytes(text.encode(encoding))
    again = studies.read_measurements(tmp_path / "marked.csv", pack.network.parameters)
    for one, other in zip(cells, again, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: "", "no column"),
        (lambda text: text.replace("alpha_na", "gain"), "no column alpha_na"),
        (lambda text: text.rsplit("1,3,", 1)[0], "no block 1 cell 3"),
        (lambda text: text + text.splitlines()[-1], "twice"),
        (lambda text: text + "7,0,1,2,3", "unknown block 7"),
        (lambda text: text.replace("1,3,", "1,3,nan,1,1\n", 1), "block 1 cell 3"),
        (lambda text: text.replace("1,3,", "1,3,loud", 1), "loud"),
        (lambda text: text.replace("1,3,", "1,3,1e308,1,1\n", 1), "block 1 cell 3"),
        (lambda text: text.replace("1,3,", "1,3,1,-1e7,1\n", 1), "block 1 cell 3"),
    ],
)
def test_a_wrong_table_of_measurements_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    parameters = packs.load("yes-8").network.parameters
    text = studies.virtual_measurements(parameters, ChipSettings())
    (tmp_path / "chip.csv").write_text(change(text), "utf-8")
    with pytest.raises(DataError, match=said):
        studies.read_measurements(tmp_path / "chip.csv", parameters)
