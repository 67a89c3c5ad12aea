"""The streaming ONNX graph, and all backends side by side, from the command line."""

import dataclasses
import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from firmware_sim import bitstream
from kws_stream import features, packs
from kws_stream.cli import main
from kws_stream.errors import FirmwareError, ParameterError
from kws_stream.export import BACKENDS
from kws_stream.export.comparison import compare_backends
from kws_stream.export.comparison_sound import Ways
from kws_stream.export.comparison_wasm import HeardInWasm, Wasm
from kws_stream.export.firmware import load_model
from kws_stream.export.onnx_graph import run_streaming, streaming_graph
from tests.pack_factory import build_pack
from tests.test_firmware import RECORDING, model_of, random_features

onnx = pytest.importorskip("onnx")
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler"
)


@pytest.mark.parametrize("name", packs.list_packs())
def test_the_streaming_graph_gives_the_bits_of_every_shipped_pack(name: str) -> None:
    pack, model = model_of(name)
    graph = streaming_graph(model)
    values = random_features(pack.network, 2, 30)
    initial = [block.initial_state for block in model.parameters.blocks]
    logits, bits = run_streaming(graph, values, initial)
    for stream in range(2):
        trace = pack.network.run(values[stream])
        assert np.array_equal(logits[stream], trace.logits)
        for ours, wanted in zip(bits, trace.bits, strict=True):
            assert np.array_equal(ours[stream], wanted)


def test_another_runtime_gives_the_same_bits_from_the_metadata_alone(tmp_path: Path) -> None:
    pack, model = model_of(build_pack(tmp_path / "pack", graphs=False))
    graph = onnx.load_from_string(streaming_graph(model))
    facts = {p.key: json.loads(p.value) for p in graph.metadata_props}
    assert facts["classes"] == list(pack.classes)
    from onnx.reference import ReferenceEvaluator

    runtime = ReferenceEvaluator(graph)
    kind = {1: np.float32, 11: np.float64}[graph.graph.input[0].type.tensor_type.elem_type]
    states = [np.array([bits], bool) for bits in facts["initial_state"]]
    (values,) = random_features(pack.network, 1, 20)
    wanted = pack.network.run(values)
    for t, frame in enumerate(values):
        feed = {"features": frame[None].astype(kind)}
        feed |= {f"state_{index}": state for index, state in enumerate(states)}
        logits, *states = runtime.run(None, feed)
        assert np.array_equal(logits[0].astype(float), wanted.logits[t])
        for state, bits in zip(states, wanted.bits, strict=True):
            assert np.array_equal(state[0], bits[t])


def run_check(graph: "onnx.ModelProto") -> tuple[np.ndarray, np.ndarray]:
    """Logits of the stored check as a runtime gives them, and as they should be."""
    import onnxruntime

    facts = {p.key: json.loads(p.value) for p in graph.metadata_props}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kind = np.float32 if session.get_inputs()[0].type == "tensor(float)" else np.float64
    states = [np.array([bits], bool) for bits in facts["initial_state"]]
    got = []
    for frame in facts["check"]["features"]:
        feed = {"features": np.array([frame], kind)}
        feed |= {f"state_{index}": state for index, state in enumerate(states)}
        logits, *states = session.run(None, feed)
        got.append(logits[0].astype(np.float64))
    return np.array(got), np.array(facts["check"]["logits"])


@pytest.mark.parametrize("coarse", ["FLOAT16", "BFLOAT16"])
@pytest.mark.parametrize("what", ["activations", "weights", "sums"])
@pytest.mark.parametrize("dtype", ["FLOAT", "DOUBLE"])
def test_a_runtime_coarser_than_float32_in_any_product_gives_no_logits(
    tmp_path: Path, coarse: str, what: str, dtype: str
) -> None:
    exact_in_float32 = build_pack(tmp_path / "pack", graphs=False)
    _, model = model_of(exact_in_float32 if dtype == "FLOAT" else "yes-8")
    made = streaming_graph(model)
    whole = onnx.load_from_string(made)
    kind = whole.graph.input[0].type.tensor_type.elem_type
    assert kind == onnx.TensorProto.DataType.Value(dtype)
    got, wanted = run_check(whole)
    assert np.array_equal(got, wanted)
    products = [at for at, node in enumerate(whole.graph.node) if node.op_type == "MatMul"]
    assert len(products) == 2 + 2 * len(model.parameters.blocks)
    for place in products:
        graph = onnx.load_from_string(made)
        node = graph.graph.node[place]
        end = {"activations": 0, "weights": 1}.get(what)
        name = node.output[0] if end is None else node.input[end]
        inner = onnx.helper.make_node(
            "Cast", [name], ["down"], to=onnx.TensorProto.DataType.Value(coarse)
        )
        outer = onnx.helper.make_node("Cast", ["down"], ["up"], to=kind)
        at = place
        if end is None:
            graph.graph.node[place + 1].input[0] = "up"
            at = place + 1
        else:
            node.input[end] = "up"
        graph.graph.node.insert(at, outer)
        graph.graph.node.insert(at, inner)
        got, _ = run_check(graph)
        assert np.isnan(got).all(), (what, place)


def test_a_runtime_in_float32_fails_the_check_of_a_graph_in_float64() -> None:
    _, model = model_of("yes-8")
    graph = onnx.load_from_string(streaming_graph(model))
    double, single = onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT
    for end in (*graph.graph.input, *graph.graph.output):
        if end.type.tensor_type.elem_type == double:
            end.type.tensor_type.elem_type = single
    for tensor in graph.graph.initializer:
        if tensor.data_type == double:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    got, wanted = run_check(graph)
    assert np.isfinite(got).all()  # as fine as the guard asks for
    assert not np.array_equal(got, wanted)


@needs_compiler
def test_verify_backends_compares_all_of_them_on_the_packaged_recording() -> None:
    result = CliRunner().invoke(main, ["verify-backends", "yes-4", "--scalar-frames", "60"])
    assert result.exit_code == 0, result.output
    seconds = soundfile.info(RECORDING).duration
    frames = int(seconds / features.build(packs.load("yes-4").features).frame_s)
    assert f"yes-4 1.1.1 on the packaged recording: {frames} frames" in result.stdout
    left_out = [
        line for line in result.stdout.splitlines() if ": needs " in line or ": no " in line
    ]
    assert result.stdout.count("frames, equal") == len(BACKENDS) - len(left_out) >= 6
    assert f"with {len(BACKENDS) - len(left_out)} backends" in result.stdout


@needs_compiler
def test_another_score_or_event_from_the_same_samples_is_noticed() -> None:
    pack, model = load_model("yes-4")
    pcm = soundfile.read(RECORDING, dtype="float32")[0][: 8 * 16_000]
    detector = model.detector
    changes = {
        "scores": {"window": detector.window + 1},
        "events": {"thresholds": tuple(0.01 for _ in detector.thresholds), "warmup": 0},
    }
    for what, change in changes.items():
        other = dataclasses.replace(model, detector=dataclasses.replace(detector, **change))
        with ExitStack() as stack:
            ways = Ways(pack, other, ["firmware"], stack)
            with pytest.raises(FirmwareError, match=f"firmware: need the {what} of NumPy"):
                ways.compare([pcm], [RECORDING])


def test_verify_backends_takes_a_folder_and_leaves_out_what_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "yes").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        soundfile.write(tmp_path / "yes" / f"{name}.wav", rng.normal(0, 0.1, 9000), 16_000)
    words = ["verify-backends", "yes-4", "--data", str(tmp_path), "--without", "c"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    frames = round(2 / features.build(packs.load("yes-4").features).frame_s)
    assert f"on 2 recordings: {frames} frames" in result.stdout
    assert "left out" in result.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    result = CliRunner().invoke(main, ["verify-backends", "yes-4", "--data", str(empty)])
    assert result.exit_code == 1
    assert "found none" in result.stderr


def test_one_backend_needs_no_list() -> None:
    assert set(compare_backends("yes-4", backends="integers").compared) == {"integers"}
    with pytest.raises(ParameterError, match="got 'integer'"):
        compare_backends("yes-4", backends="integer")
    with pytest.raises(FirmwareError, match=r"got none$"):
        compare_backends("yes-4", backends=[])


def test_verify_backends_without_any_backend_is_wrong_usage() -> None:
    words = [f"--without={name}" for name in BACKENDS]
    result = CliRunner().invoke(main, ["verify-backends", "yes-4", *words])
    assert result.exit_code == 2


def test_without_a_compiler_verify_backends_fails_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    result = CliRunner().invoke(main, ["verify-backends", "yes-4"])
    assert result.exit_code == 1
    assert "install gcc or clang" in result.stderr


def test_program_and_chip_info_agree_and_refuse_a_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "chip.bit"
    runner = CliRunner()
    result = runner.invoke(main, ["program", "yes-4", "-o", str(file)])
    assert result.exit_code == 0, result.output
    assert bitstream.encode(model_of("yes-4")[1]) == file.read_bytes()
    result = runner.invoke(main, ["chip-info", str(file)])
    assert result.exit_code == 0, result.output
    assert "8 wires, 4 cells, 2 classes" in result.stdout
    assert "block 1:" in result.stdout
    assert "block 0:" not in result.stdout
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    for broken in (bytes(data), bytes(data[:60]), b""):
        file.write_bytes(broken)
        result = runner.invoke(main, ["chip-info", str(file)])
        assert result.exit_code == 1
        assert "bitstream" in result.stderr
    assert runner.invoke(main, ["chip-info", str(tmp_path)]).exit_code == 1


def test_export_onnx_writes_the_graph(tmp_path: Path) -> None:
    file = tmp_path / "yes.onnx"
    result = CliRunner().invoke(main, ["export-onnx", "yes-4", "-o", str(file)])
    assert result.exit_code == 0, result.output
    assert file.read_bytes() == streaming_graph(model_of("yes-4")[1])


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_webassembly_hears_what_numpy_hears_and_another_score_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack, model = load_model("yes-4")
    sound, _ = soundfile.read(RECORDING, dtype="float32", frames=16_000 * 6)
    with ExitStack() as stack:
        ways = Ways(pack, model, ["wasm"], stack)
        assert ways.compare([sound], [RECORDING]) == {"wasm": 300}
        right = Wasm.hear

        def wrong(self: Wasm, streams: np.ndarray) -> list[HeardInWasm]:
            (heard,) = right(self, streams)
            assert heard.triggers
            heard.scores[-1, 0] += 2.0**-24
            return [heard]

        monkeypatch.setattr(Wasm, "hear", wrong)
        with pytest.raises(FirmwareError, match="wasm: need the scores of NumPy"):
            ways.compare([sound], [RECORDING])
