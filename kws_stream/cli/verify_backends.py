"""`kws-stream verify-backends`: every way to compute a network, to the bit."""

from pathlib import Path

import click

from kws_stream.cli.output import say
from kws_stream.cli.progress import progress
from kws_stream.export import BACKENDS
from kws_stream.names import counted


@click.command("verify-backends")
@click.argument("model")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of Speech Commands or of any other recordings. Default: the packaged recording.",
)
@click.option(
    "--without",
    type=click.Choice(list(BACKENDS)),
    multiple=True,
    help="Leave out one backend, for example c where there is no compiler. Repeatable.",
)
@click.option(
    "--scalar-frames",
    type=click.IntRange(0),
    default=2000,
    show_default=True,
    help="Number of frames for the scalar oracle, which is slow. 0 stands for all.",
)
def verify_backends(
    model: str, data: Path | None, without: tuple[str, ...], scalar_frames: int
) -> None:
    """Compare all forms of a model bit by bit.

    On features of real sound, the pack of MODEL is compared with its programmed bitstream, its C
    core, its streaming ONNX graph and exact integers. From the samples on, scores and events of the
    engine and of the exported C are compared with those of NumPy.

    The exit status is 1 at the first bit that differs, and if a compiler or the extra onnx is
    missing. If there is no engine, no Node.js for WebAssembly, or no cross compiler and qemu-user
    for an Arm processor, that backend is left out and the reason is printed.
    """
    from kws_stream.export.comparison import compare_backends

    names = [name for name in BACKENDS if name not in without]
    if not names:
        raise click.UsageError("need a backend to compare, got --without for each of them.")
    with progress("comparing recordings") as heard:
        done = compare_backends(model, data, names, scalar_frames=scalar_frames, progress=heard)
    for note in done.notes:
        say(f"note: {note}")
    recordings = "the packaged recording" if data is None else counted(done.clips, "recording")
    say(f"{done.pack.name} {done.pack.version} on {recordings}: {counted(done.frames, 'frame')}")
    for name, label in BACKENDS.items():
        reason = f": {done.left_out[name]}" if name in done.left_out else ""
        frames = done.compared.get(name)
        text = f"left out{reason}" if frames is None else f"{frames:>9} frames, equal"
        say(f"  {label:<28}{text}")
    backends = counted(len(done.compared), "backend")
    say(f"Compared with {backends} in {done.frames} frames: every bit is that of the pack.")
