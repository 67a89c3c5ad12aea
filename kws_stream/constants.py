"""Numbers shared by every room of the house."""

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160  # 10 ms at 16 kHz: the frame period of arXiv:2605.15216
