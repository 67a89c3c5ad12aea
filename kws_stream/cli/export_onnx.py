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
    help="File of the graph.",
)
def export_onnx(model: str, output: str) -> None:
    """Write the network of MODEL as one ONNX graph: a frame and state in, logits and state out.

    Any number of streams run at once, a frame a call. Needs the extra onnx."""
    from kws_stream.export.firmware import load_model
    from kws_stream.export.onnx_graph import streaming_graph

    pack, numbers = load_model(model)
    graph = streaming_graph(numbers)
    write_file(Path(output), graph)
    file = click.format_filename(output)
    say(f"wrote {pack.name} {pack.version} as a graph of {len(graph)} bytes: {file}")
