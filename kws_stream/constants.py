"""Numbers, and a recording, shared by every room of the house."""

from pathlib import Path

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160  # 10 ms at 16 kHz: the frame period of arXiv:2605.15216
RECORDING = Path(__file__).parent / "_data" / "demo.flac"  # packaged: words that every model knows
