"""`kws-stream export-web`: a model for browsers, with the engine in WebAssembly."""

from pathlib import Path

import click

from kws_stream.cli.output import complain


@click.command(name="export-web")
@click.argument("model")
@click.option(
    *("-o", "--output"),
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Write the package to this new or empty folder.",
)
def export_web(model: str, output: Path) -> None:
    """Write a model as an npm package for browsers.

    MODEL is a name or the folder of a pack. The package listens without a server and gives the
    events of `detect`, to the last bit. Its folder demo/ is a page that listens to the visitor's
    microphone.

    Example: kws-stream export-web yes-4 -o yes-4-web
    """
    from kws_stream.export.web import export_web as write
    from kws_stream.packs import load

    pack = load(model)
    files = write(pack, output)
    name = click.format_filename(output)
    click.echo(f"{pack.name} {pack.version}: {len(files)} files in {name}")
    if pack.verifier is not None and pack.verifier.kind != "mcu":
        complain(
            f"note: the verifier of {pack.name} is left out, as a browser runs none of the kind "
            f"{pack.verifier.kind}; every trigger of the network is an event there"
        )
    if not any(path.parent.name == "demo" for path in files):
        complain("note: the page demo/ is left out; it plays and records speech at 16 kHz")
        return
    click.echo(f"look: python -m http.server -d {name}, then http://localhost:8000/demo/")
