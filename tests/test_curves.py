"""Learning curves are drawn from a run's log, and only of its last run."""

import sys
from pathlib import Path

import pytest

from kws_stream.errors import DataError, MissingExtraError
from kws_stream.training.curves import _last_run, draw_curves

LOG = """step,loss,power_nw,fresh,carried,seconds
250,0.9,60.0,0.7,0.6,3.0
500,0.8,50.0,0.8,0.7,6.0
250,0.7,40.0,0.81,0.71,3.0
400,0.6,30.0,0.9,0.85,5.0
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def test_the_last_run_of_a_log_is_drawn_alone(log: Path) -> None:
    steps, columns = _last_run(log)
    assert steps == [250, 400]
    assert columns["power_nw"] == [40.0, 30.0]
    assert columns["carried"] == [0.71, 0.85]


def test_the_picture_is_whole_and_leaves_nothing_beside_it(log: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra report (Matplotlib)")
    picture = tmp_path / "curves.png"
    draw_curves(log, picture)
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert b"IEND" in content[-12:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "log.csv"]


def test_a_log_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with pytest.raises(DataError, match="need the log"):
        draw_curves(path, tmp_path / "curves.png")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="need the log"):
        draw_curves(path, tmp_path / "curves.png")


def test_without_matplotlib_the_extra_is_named(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"kws-stream\[report\]"):
        draw_curves(log, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
