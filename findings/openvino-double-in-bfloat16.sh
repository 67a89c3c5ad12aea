#!/bin/sh
# openvino 2026.4.1 (PyPI), CPU plugin, ONNX graph whose every tensor is float64 (DOUBLE)
#
# Behaviour: the graph is not computed in float64, and nothing says so. On a CPU with AVX512_BF16 or
# AMX it is computed in bfloat16 by default: a MatMul of 257 by 1 gives 256. With
# INFERENCE_PRECISION_HINT=f32, or with EXECUTION_MODE_HINT=ACCURACY, it is computed in float32:
# 16777217 by 1 gives 16777216. The compiled model goes on to report f64 inputs and outputs, and the
# hint f64 is refused. ONNX Runtime 1.32.0 computes the same file in float64.
#
# Seen (AMD EPYC with avx512_bf16):
#   declared types            f64 -> f64
#   default (bf16)            257 -> 256.0      16777217 -> 16777216.0
#   hint f32 (f32)            257 -> 257.0      16777217 -> 16777216.0
#   mode ACCURACY (dynamic)   257 -> 257.0      16777217 -> 16777216.0
#   hint f64                  refused
#   ONNX Runtime              257 -> 257.0      16777217 -> 16777217.0
#
# Why it matters to keyword spotting: a recurrent spotter with comparators (bits, gates, thresholds)
# turns a rounded sum into another bit and carries that on; detectors compare scores with a threshold.
# A model exported in float64 to be reproducible gives other scores on the first machine that has
# bfloat16, with the same file and the same code. Ask for f32, and check a known input before use.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

weight = numpy_helper.from_array(np.array([[1.0]]), "weight")
ends = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, ["n", 1]) for n in ("x", "y")]
node = helper.make_node("MatMul", ["x", "weight"], ["y"])
graph = helper.make_graph([node], "double", ends[:1], ends[1:], [weight])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "double.onnx")
x = np.array([[257.0], [2.0**24 + 1]])

core = openvino.Core()
has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
read = core.read_model("double.onnx")
print("declared types           ", f"{read.input(0).element_type.get_type_name()} ->",
      core.compile_model(read, "CPU").output(0).element_type.get_type_name())


def show(name, y):
    print(f"{name:<25} 257 -> {y[0]!r:<10} 16777217 -> {y[1]!r}")
    return y


def openvino_with(**settings):
    compiled = core.compile_model("double.onnx", "CPU", settings)
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return precision, [float(v) for v in compiled({"x": x})["y"].ravel()]


float32, bfloat16 = [257.0, 2.0**24], [256.0, 2.0**24]
precision, y = openvino_with()
assert show(f"default ({precision})", y) == (bfloat16 if has_bfloat16 else float32)
precision, y = openvino_with(INFERENCE_PRECISION_HINT="f32")
assert show(f"hint f32 ({precision})", y) == float32
precision, y = openvino_with(EXECUTION_MODE_HINT="ACCURACY")
assert show(f"mode ACCURACY ({precision})", y) == float32
try:
    openvino_with(INFERENCE_PRECISION_HINT="f64")
except RuntimeError:
    print("hint f64                  refused")
else:
    raise SystemExit("hint f64 is taken now")
session = onnxruntime.InferenceSession("double.onnx", providers=["CPUExecutionProvider"])
assert show("ONNX Runtime", session.run(None, {"x": x})[0].ravel().tolist()) == [257.0, 2.0**24 + 1]
if not has_bfloat16:
    print("this CPU has no bfloat16: the default is float32 here")
PYTHON
