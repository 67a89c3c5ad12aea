"""Candidates and states of circuits beside the emulator's, as one picture."""

from collections.abc import Sequence
from pathlib import Path

from kws_stream.plots import INK, SERIES, figure_file
from kws_stream.spice.cell import Loop
from kws_stream.spice.studies import Comparison


def draw(comparison: Comparison, path: Path, title: str, start_s: float, frame_s: float) -> None:
    """A row a cell: candidate and state in nA, each frame as it ended, both ways.

    A column has one scale for all its cells: from zero to the highest threshold or candidate, and
    to the highest programmed state current. So leakage of 1e-5 nA is a flat line, as it should be.
    """
    names, beta1, beta2 = comparison.names, comparison.beta1, comparison.beta2
    frames = len(comparison.times_s)
    edges = [start_s + frame * frame_s for frame in range(frames + 1)]
    columns = (
        (comparison.ideal_candidates, comparison.candidates),
        (comparison.ideal_states, comparison.states),
    )
    with figure_file(path, 10.0, 1.6 + 1.1 * len(names)) as figure:
        axes = figure.subplots(len(names), 2, sharex=True, sharey="col", squeeze=False)
        for index, row in enumerate(axes):
            for axis, (ideal, circuit) in zip(row, columns, strict=True):
                axis.stairs(
                    *(ideal[:, index], edges),
                    baseline=None,
                    color=SERIES[1],
                    lw=3,
                    label="emulator",
                )
                if circuit is not None:
                    axis.stairs(
                        *(circuit[:, index], edges), baseline=None, color=INK, label="transistors"
                    )
                axis.grid()
            for name, beta, style in (("beta2", beta2, "--"), ("beta1", beta1, ":")):
                label = f"{name}, programmed"
                row[0].axhline(beta[index], color=SERIES[0], ls=style, lw=1.2, label=label)
            row[0].text(-0.14, 0.5, names[index], transform=row[0].transAxes, weight="bold")
        given = [part.max() for part in columns[0] if part is not None]
        for axis, top in zip(
            axes[0], (max(*given, beta2.max()), comparison.alpha.max()), strict=True
        ):
            axis.set_ylim(-0.06 * top, 1.15 * top)
        axes[0, 0].set_title("Candidates, nA")
        axes[0, 1].set_title("States, nA")
        shown = {
            label: handle
            for axis in axes[0]
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=len(shown))
        figure.suptitle(title, weight="bold")
        for axis in axes[-1]:
            axis.set_xlabel("s")


def draw_loops(loops: Sequence[Loop], path: Path) -> None:
    """A panel a cell: the state over the candidate, swept up and down, in nA."""
    columns = min(len(loops), 3)
    rows = -(-len(loops) // columns)
    with figure_file(path, 3.2 * columns, 0.9 + 2.3 * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, loop in zip(panels, loops, strict=False):
            ways = (
                (loop.programmed, "emulator, as programmed", {"color": SERIES[4], "lw": 3}),
                (
                    loop.fitted,
                    "emulator, typical chip of the process",
                    {"color": SERIES[1], "lw": 3},
                ),
                (loop.states, "transistors", {"color": INK, "lw": 1}),
            )
            for states, label, style in ways:
                if states is not None:
                    panel.plot(loop.candidates, states, label=label, **style)
            one = loop.result
            panel.set_title(f"{one.thresh_na:g}, {one.width_na:g}, {one.gain_na:g} nA")
            panel.set(xlabel="candidate, nA", ylabel="state, nA")
            panel.grid()
        for panel in panels[len(loops) :]:
            panel.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)
        figure.suptitle("I_thresh, I_width, I_gain of cells swept up and down", weight="bold")
