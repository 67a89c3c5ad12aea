"""What leaves a pack for other places to run it, and the comparison of all of them."""

BACKENDS = {
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
"""Ways to compute a pack, which `comparison` compares, and what they are."""
