"""`kws-stream verify-backends`: every way to compute a network, to the bit."""

from pathlib import Path

import click

from kws_stream.cli.output import counted, say
from kws_stream.cli.power_report import RECORDING
from kws_stream.cli.progress import progress
from kws_stream.errors import FirmwareError

LABELS = {
    "bitstream": "programmed chip (simulated)",
    "c": "C core",
    "onnx": "streaming ONNX graph",
    "integers": "integers in NumPy",
    "scalar": "scalar oracle",
    "engine": "engine in C",
    "wasm": "engine in WebAssembly",
    "firmware": "exported C",
    "aarch64": "exported C, 64-bit Arm",
    "armhf": "exported C, 32-bit Arm",
}
HEARING = ("engine", "wasm", "firmware", "aarch64", "armhf")  # from samples to events


@click.command("verify-backends")
@click.argument("model")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of Speech Commands, or of any recordings. Default: the packaged recording.",
)
@click.option(
    "--without",
    type=click.Choice(list(LABELS)),
    multiple=True,
    help="Leave one out, c where there is no compiler, say; repeatable.",
)
@click.option(
    "--scalar-frames",
    type=click.IntRange(0),
    default=2000,
    show_default=True,
    help="Frames for the scalar oracle, which is slow; 0: all.",
)
def verify_backends(
    model: str, data: Path | None, without: tuple[str, ...], scalar_frames: int
) -> None:
    """Compare the pack of MODEL with its programmed bitstream, its C core, its streaming ONNX
    graph and exact integers, bit by bit, on features of real sound; and the scores and events of
    the engine and of the exported C with those of NumPy, from the samples on.

    Exit code 1 at the first bit that differs, and where a compiler or the extra onnx is missing.
    Without the engine, Node.js for WebAssembly, or a cross compiler and qemu-user for an Arm
    processor, that one is left out, and the reason is told.
    """
    from kws_stream.cli.backends import clips_of, compare
    from kws_stream.cli.backends_sound import missing_for
    from kws_stream.cli.firmware import load_model

    names = [name for name in LABELS if name not in without]
    if not names:
        raise click.UsageError("need a backend to compare, got --without for each of them.")
    pack, numbers = load_model(model)
    why = {name: missing_for(name, numbers) for name in HEARING if name in names}
    names = [name for name in names if not why.get(name)]
    if not names:
        raise FirmwareError(
            "need a backend that runs here, got none: "
            + "; ".join(f"{name} {reason}" for name, reason in why.items())
        )
    clips, notes = ([RECORDING], []) if data is None else clips_of(data)
    with progress("comparing recordings") as heard:
        done = compare(
            *(pack, numbers, clips, names, scalar_frames),
            whole=data is None,
            progress=lambda count: heard(count, len(clips)),
        )
    for note in notes:
        say(f"note: {note}")
    recordings = "the packaged recording" if data is None else counted(done.clips, "recording")
    say(f"{pack.name} {pack.version} on {recordings}: {counted(done.frames, 'frame')}")
    for name, label in LABELS.items():
        reason = f": {why[name]}" if why.get(name) else ""
        text = f"{done.compared[name]:>9} frames, equal" if name in names else f"left out{reason}"
        say(f"  {label:<28}{text}")
    backends = counted(len(names), "backend")
    say(f"Compared with {backends} in {done.frames} frames: every bit is that of the pack.")
