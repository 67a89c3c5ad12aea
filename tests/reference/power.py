"""Power in plain Python loops, straight from the published equations and the fitted formulas."""

import math


def power(parameters, features):
    """Mean nW of `cells`, `feedforward` and `classifier`, at 1 nA, over frames of features.

    Runs the network by itself, scalar by scalar, and averages every branch current over time.
    """
    bits = [[bool(z) for z in block.initial_state] for block in parameters.blocks]
    cells, feedforward, classifier = [], [], []
    for f in features:
        x = affine(f, parameters.pre)
        cells.append(0.0)
        feedforward.append(0.0)
        for block, z in zip(parameters.blocks, bits, strict=True):
            rail = [max(value, 0.0) for value in x]
            c = [max(value, 0.0) for value in affine(rail, block.candidate)]
            for i in range(block.cells):
                beta1, delta = float(block.beta1[i]), float(block.delta[i])
                beta2 = beta1 + delta
                z[i] = c[i] >= beta2 or (z[i] and c[i] >= beta1)
                bias = float(block.alpha[i]) + beta2 + delta
                h = float(block.alpha[i]) * z[i]
                cells[-1] += 1.8 * (1.033 * bias + 0.36 * c[i] + 2.92 * h)
            h = [float(a) * on for a, on in zip(block.alpha, z, strict=True)]
            p, n = branches(rail, block.candidate)
            q = sum(abs(branch) for branch in products(h, block.post))
            feedforward[-1] += 1.8 * (1.72 * block.cells / 8 + 3.29 * p + 2.34 * n + 3.19 * q)
            o = [max(value, 0.0) for value in affine(h, block.post)]
            x = [a + b for a, b in zip(x, o, strict=True)]
        p, n = branches(x, parameters.classifier)
        classifier.append(1.8 * (3.29 * p + 2.34 * n))
    return tuple(math.fsum(part) / len(features) for part in (cells, feedforward, classifier))


def products(x, layer):
    """Every branch of a layer with its sign: each product, and each bias."""
    for i in range(layer.n_in):
        for j in range(layer.n_out):
            yield float(layer.weight[i, j]) * float(x[i])
    for j in range(layer.n_out):
        yield float(layer.bias[j])


def branches(x, layer):
    """Sums of the branches above zero, and of those below, as magnitudes."""
    values = list(products(x, layer))
    return sum(v for v in values if v > 0), sum(-v for v in values if v < 0)


def affine(x, layer):
    return [
        sum(float(layer.weight[i, j]) * float(x[i]) for i in range(layer.n_in))
        + float(layer.bias[j])
        for j in range(layer.n_out)
    ]
