"""`kws-stream export-onnx`: a network as one streaming ONNX graph."""

from pathlib import Path

import click

from kws_stream.cli.files import check_file, write_file
from kws_stream.cli.output import say


@click.command("export-onnx")
@click.argument("model")
@click.option(
    *("-o", "--output"),
    callback=check_file,
    metavar="FILE",
    required=True,
    help="Write the graph to this file.",
)
def export_onnx(model: str, output: str) -> None:
    """Write a network as one streaming ONNX graph.

    MODEL is a name or the folder of a pack. A frame and the state go in, logits and the new state
    come out. Any number of streams run at once, one frame in each call. The command needs the extra
    onnx.

    Example: kws-stream export-onnx yes-4 -o yes-4.onnx
    """
    from kws_stream.export.firmware import load_model
    from kws_stream.export.onnx_graph import streaming_graph

    pack, numbers = load_model(model)
    graph = streaming_graph(numbers)
    write_file(Path(output), graph)
    file = click.format_filename(output)
    say(f"wrote {pack.name} {pack.version} as a graph of {len(graph)} bytes: {file}")
