"""`kws-stream model`: the shipped packs, and checks of any."""

import json

import click

from kws_stream.cli.group import Group
from kws_stream.cli.output import complain, print_rows, say
from kws_stream.errors import PackError


@click.group(cls=Group)
def model() -> None:
    """List, show and verify model packs."""


@model.command("list")
@click.pass_context
def list_models(context: click.Context) -> None:
    """List the packaged models."""
    from kws_stream import packs

    failed = False
    listed = []
    for name in packs.list_packs():
        try:
            pack = packs.load(name)
        except PackError as error:
            complain(f"error: {error}")
            failed = True
            continue
        parameters = pack.network.parameters
        size = f"{parameters.cells:>4} cells {parameters.parameter_count:>7} parameters"
        listed.append((f"{name:<18} {pack.version:<8} {size} ", pack.manifest["description"]))
    if listed:
        print_rows(listed)
    if failed:
        context.exit(1)


@model.command()
@click.argument("name")
def show(name: str) -> None:
    """Show what is known about a model.

    NAME is a model or the folder of a pack.
    """
    from kws_stream import packs

    pack = packs.load(name)
    parameters, manifest = pack.network.parameters, pack.manifest
    rows = {
        "name": pack.name,
        "version": pack.version,
        "description": manifest["description"],
        "folder": click.format_filename(pack.path),
        "classes": " ".join(pack.classes),
        "keywords": " ".join(pack.keywords),
        "network": f"{parameters.cells_in_words}, {parameters.parameter_count} parameters, "
        f"exact in {pack.network.exactness.dtype}",
        "features": json.dumps(pack.features),
        "detector": json.dumps(pack.detector),
        "clip": json.dumps(pack.clip),
        "licence": manifest["licence"],
    }
    if pack.verifier is not None:
        of = pack.verifier
        needs = "" if of.package is None else f", needs {of.package}"
        rows["verifier"] = f"{of.kind}, threshold {of.threshold:g}{needs}"
    listed = [(f"{title}:", text) for title, text in rows.items()]
    for source in manifest["data"]:
        listed.append(("data:", f"{source['name']} ({source['licence']}); {source['source']}"))
    for metric, measured in manifest["metrics"].items():
        value = json.dumps(measured["value"])
        listed.append(("metric:", f"{metric} {value}, by: {measured['command']}"))
    print_rows(listed)


@model.command()
@click.argument("path")
def verify(path: str) -> None:
    """Check everything about a model.

    PATH is the folder of a pack, or the name of a packaged model.
    """
    from kws_stream import packs
    from kws_stream.pipeline import KeywordSpotter

    for line in packs.verify(path):
        say(line)
    spotter = KeywordSpotter(path)  # its front end and its detector
    thresholds = ", ".join(f"{name} {value:g}" for name, value in spotter.thresholds.items())
    say(f"front end: {len(spotter.pack.features)} settings, {spotter.frame_s * 1000:g} ms")
    say(f"detector: thresholds {thresholds}")
    if spotter.verifier is not None:
        work = spotter.verifier.multiplications / 1e6
        say(
            f"verifier: fits, threshold {spotter.verifier.threshold:g}, {work:.2f} million "
            "multiplications a decision at most"
        )
    say(f"{spotter.pack.name} {spotter.pack.version}: all is well")
