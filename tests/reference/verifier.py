"""A verifier's network, one number at a time: docs/cascade.md in plain integers."""

from typing import Any


def scores(network: Any, window: list[list[int]]) -> list[int]:
    """Scores of the keywords, 0 to 65536, of a window (frames, channels) of 0 to 255."""
    x = window
    for number, layer in enumerate(network.layers):
        weight, bias = layer.weight.tolist(), layer.bias.tolist()
        shift, taps = layer.shift.tolist(), len(layer.weight)
        rows = []
        for start in range(0, len(x) - taps + 1, layer.stride):
            row = []
            for j, shifted in enumerate(shift):
                a = bias[j]
                for u in range(taps):
                    if layer.depthwise:
                        a += weight[u][j] * x[start + u][j]
                    else:
                        a += sum(w[j] * v for w, v in zip(weight[u], x[start + u], strict=True))
                assert -(2**31) <= a < 2**31
                a = (a + (2**shifted // 2)) // 2**shifted
                if number + 1 < len(network.layers):
                    row.append(min(max(a, 0), 255))
                else:
                    row.append(min(max(2**15 + a, 0), 2**16))
            rows.append(row)
        x = rows
    return x[0]
