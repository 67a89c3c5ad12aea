"""Which ONNX runtimes give the bits of a model: frames that differ, with the exported graph.

Heard are the packaged recording and the frames that the graph keeps as its check. Runtimes that are
not installed are left out, and named: pip install onnxruntime onnx openvino tract
"""

import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx

from kws_stream import packs
from kws_stream.constants import RECORDING
from kws_stream.export.firmware import load_model
from kws_stream.export.onnx_graph import streaming_graph
from kws_stream.pipeline import KeywordSpotter, blocks_of

Step = Callable[[list[Any]], list[Any]]
HINTS: dict[str, dict[str, str]] = {
    "": {},
    ", INFERENCE_PRECISION_HINT=f32": {"INFERENCE_PRECISION_HINT": "f32"},
}


def runtimes(graph: bytes, sizes: list[tuple[str, int, str]]) -> Iterator[tuple[str, Step]]:
    """Name and function of each: values of the inputs to values of the outputs, in order.

    sizes: name, width and type of each input.
    """
    names = [name for name, _, _ in sizes]
    outputs = [end.name for end in onnx.load_from_string(graph).graph.output]

    def version(package: str) -> str:
        return f"{package} {importlib.metadata.version(package)}"

    import onnxruntime
    from onnx.reference import ReferenceEvaluator

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    yield version("onnxruntime"), lambda x: session.run(None, dict(zip(names, x, strict=True)))
    reference = ReferenceEvaluator(onnx.load_from_string(graph))
    yield (
        f"{version('onnx')}, reference evaluator",
        lambda x: reference.run(None, dict(zip(names, x, strict=True))),
    )
    try:
        import tract
    except ImportError:
        click.echo("tract is not installed")
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "graph.onnx")
            file.write_bytes(graph)
            model = tract.onnx().load(str(file))
        for place, (_, width, kind) in enumerate(sizes):
            model.set_input_fact(place, f"1,{width},{kind}")
        model.analyse()
        runnable = model.into_model().into_runnable()
        yield version("tract"), lambda x: [value.to_numpy() for value in runnable.run(x)]
    try:
        import openvino
    except ImportError:
        click.echo("openvino is not installed")
        return
    core = openvino.Core()
    for text, settings in HINTS.items():
        compiled = core.compile_model(core.read_model(graph), "CPU", settings)

        def step(x: list[Any], compiled: Any = compiled) -> list[Any]:
            done = compiled(dict(zip(names, x, strict=True)))
            return [np.array(done[name]) for name in outputs]

        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        yield f"{version('openvino')}{text} ({precision})", step


def differing(step: Step, frames: Any, wanted: Any, initial: list[Any], kind: Any) -> str:
    """How many of the frames (T, n) give other logits than wanted (T, K)."""
    states = [bits[None] for bits in initial]
    other = refused = 0
    for frame, logits in zip(frames, wanted, strict=True):
        got, *states = step([np.ascontiguousarray(frame[None], kind), *states])
        states = [state.astype(bool) for state in states]
        refused += bool(np.isnan(got).all())
        other += not np.array_equal(got[0].astype(np.float64), logits)
    return f"{other:>5} of {len(frames)}" + (", refused: all NaN" if refused == len(frames) else "")


@click.command(help=__doc__)
@click.argument("models", nargs=-1)
def main(models: tuple[str, ...]) -> None:
    for name in models or packs.list_packs():
        spotter = KeywordSpotter(name)
        features = np.concatenate(
            [piece.features for pcm in blocks_of(RECORDING) for piece in spotter.observe(pcm)]
        )
        network = spotter.pack.network
        graph = streaming_graph(load_model(name)[1])
        facts = {p.key: json.loads(p.value) for p in onnx.load_from_string(graph).metadata_props}
        initial = [np.array(bits, bool) for bits in facts["initial_state"]]
        kind = np.dtype(network.exactness.dtype)
        sizes = [("features", features.shape[1], f"f{8 * kind.itemsize}")]
        sizes += [(f"state_{block}", len(bits), "bool") for block, bits in enumerate(initial)]
        logits, check = network.run(features).logits, facts["check"]
        click.echo(f"{name} {spotter.pack.version}, a graph in {kind}")
        for label, step in runtimes(graph, sizes):
            heard = differing(step, features, logits, initial, kind)
            known = differing(step, np.array(check["features"]), check["logits"], initial, kind)
            click.echo(f"  {label}: recording {heard}, check {known}")


if __name__ == "__main__":
    main()
