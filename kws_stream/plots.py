"""Plots in files: drawn with Matplotlib without a screen, written whole or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kws_stream.errors import DataError, MissingExtraError
from kws_stream.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart by colour-blind readers, too.
STATUS_COLOURS = {"silicon": "#009E73", "simulated": "#0072B2", "estimated": "#CC79A7"}
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
INK, MUTED = "#222222", "#666666"

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelcolor": INK,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "kws-stream",
}


def check_matplotlib(wanted: str = "a figure") -> None:
    """Raises MissingExtraError unless figures can be drawn; wanted: what for."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"need Matplotlib for {wanted}, got: {error}; pip install 'kws-stream[report]'"
        ) from error


@contextmanager
def figure_file(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure of that size in inches, which is written to `path` at the end; or nothing is.

    Raises MissingExtraError without Matplotlib, DataError where the file cannot be written.
    """
    check_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
        yield figure
        save(figure, path)


def save(figure: "Figure", path: Path) -> None:
    """Write as PNG, SVG or PDF, by the suffix and without a date, or nothing.

    Raises DataError for another suffix, and where the file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in figure.canvas.get_supported_filetypes():
        raise DataError(f"{path}: need a figure's name that ends in .png, .svg or .pdf")
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    undated["png"] = {"Software": None}  # no version of Matplotlib either
    try:
        with replacing(path) as file:
            figure.savefig(file, format=kind, metadata=undated.get(kind))
    except OSError as error:
        raise DataError(f"{path}: cannot write the figure: {error.strerror or error}") from error
