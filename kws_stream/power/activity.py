"""What the branches of a network carried over a run: sums that no split of the run can change."""

from typing import TYPE_CHECKING

import numpy as np

from kws_stream.errors import InputError, ParameterError
from kws_stream.parameters import Block, FloatArray, NetworkParameters
from kws_stream.power.formulas import FRAME_S, BlockCurrents, PowerEstimate

if TYPE_CHECKING:
    from kws_stream.network import Network, Trace

# Frames are summed in groups of this many, counted from the start of the run: floating-point sums
# depend on their order, and this order does not depend on how the run was cut into blocks.
GROUP_FRAMES = 128

# Rows of one matrix product: few enough that BLAS stays on one thread, since waking its threads
# on a busy machine takes milliseconds.
PRODUCT_ROWS = 32


def estimate(
    net: "Network", trace: "Trace", unit_na: float = 1.0, *, frame_s: float = FRAME_S
) -> PowerEstimate:
    """Mean power of `net` over a whole trace of it, by the formulas of `kws_stream.power.formulas`.

    unit_na: nA for a current of 1.0; at another value than 1 nA the figure is an extrapolation.
    frame_s: seconds a frame. An empty trace gives the power at rest: biases, no activity. A network
    without blocks traces no signal path, so its classifier counts with its biases alone.

    Raises ParameterError for what is no network and for a unit or frame that is not a finite number
    above 0, InputError for the trace of another network.
    """
    parameters = getattr(net, "parameters", None)
    if not isinstance(parameters, NetworkParameters):
        raise ParameterError(f"net: need a network, got {net!r:.80}")
    activity = Activity(parameters)
    activity.add(trace)
    return activity.estimate(net, unit_na, frame_s=frame_s)


class Activity:
    """Running branch currents of one network, for a stream of traces; memory is bounded.

    Equal to `estimate` on the joined trace, bit for bit, however the stream was cut.
    """

    def __init__(self, parameters: NetworkParameters) -> None:
        self._parameters = parameters
        self._columns = [parameters.width] * len(parameters.blocks)  # of x, then c, then h
        self._columns += [block.cells for block in parameters.blocks] * 2
        self.reset()

    def reset(self) -> None:
        """Forget everything: equal to a new object."""
        n_columns = sum(self._columns)
        self._totals: FloatArray | float = 0.0  # sums over the folded groups
        self._folded = 0  # frames in them
        self._previous = np.empty((0, n_columns))  # the last folded group
        self._rest = np.empty((0, n_columns))  # rows left over by the last fold
        self._parts: list[FloatArray] = []  # what came since
        self._waiting = 0  # frames in _rest and _parts

    @property
    def frames(self) -> int:
        """Frames added since the last reset."""
        return self._folded + self._waiting

    def add(self, trace: "Trace") -> None:
        """Take in the next frames. Raises InputError for the trace of another network."""
        # the formulas were fitted to what is offered; what a clamp lets flow predicts no better
        if not hasattr(trace, "candidates"):
            raise InputError(f"trace: need the trace of a network, got {trace!r:.80}")
        candidates = trace.candidates if trace.offered is None else trace.offered
        wires = (*trace.inputs, *candidates, *trace.states)
        widths = [a.shape[1] for a in wires]
        if widths != self._columns:
            raise InputError(
                f"trace: need {self._columns} wires (inputs, candidates, states), got {widths}; "
                "give the trace of this network"
            )
        if trace.frames == 1 and wires:
            self._append(np.concatenate(wires, axis=1))
            return
        wires = (trace.logits[:, :0], *wires)  # a network without blocks has frames, too
        for start in range(0, trace.frames, GROUP_FRAMES):
            self._append(np.concatenate([a[start : start + GROUP_FRAMES] for a in wires], axis=1))

    def estimate(
        self, net: "Network", unit_na: float = 1.0, *, frame_s: float = FRAME_S
    ) -> PowerEstimate:
        """Mean power since the last reset; arguments and errors as of the function `estimate`."""
        self._check(net)
        totals = self._totals
        if self._waiting:
            totals = totals + self._sums(self._rows())
        return self._power(totals, self.frames, unit_na, frame_s)

    def estimate_sums(
        self, sums: FloatArray, frames: int, unit_na: float = 1.0, *, frame_s: float = FRAME_S
    ) -> PowerEstimate:
        """As `estimate`, from sums over `frames` frames that somebody else has made.

        sums: the rectified inputs of every block, its candidates, its state currents, and the
        classifier's input above and below 0, in this order.
        """
        return self._power(sums, frames, unit_na, frame_s)

    def recent(
        self, net: "Network", frames: int = 100, unit_na: float = 1.0, *, frame_s: float = FRAME_S
    ) -> PowerEstimate:
        """Mean power of the last `frames` frames (1..128), or of all if there were fewer."""
        self._check(net)
        if not 1 <= frames <= GROUP_FRAMES:
            raise ParameterError(f"frames: need 1 to {GROUP_FRAMES}, got {frames}")
        rows = np.concatenate([self._previous, self._rows()])[-frames:]
        sums = self._sums(rows) if len(rows) else 0.0
        return self._power(sums, len(rows), unit_na, frame_s)

    def _check(self, net: "Network") -> None:
        if net.parameters is not self._parameters:
            raise ParameterError(
                "net: need the network whose activity this is, got another; "
                "make an Activity of net.parameters"
            )

    def _append(self, rows: FloatArray) -> None:
        self._parts.append(rows)
        self._waiting += len(rows)
        if self._waiting >= GROUP_FRAMES:
            rows = self._rows()
            group = rows[:GROUP_FRAMES]
            self._totals = self._totals + self._sums(group)
            self._folded += GROUP_FRAMES
            self._previous = group
            self._rest = rows[GROUP_FRAMES:]
            self._parts = []
            self._waiting -= GROUP_FRAMES

    def _rows(self) -> FloatArray:
        """The waiting frames, fewer than two groups: one row each of x, c and h of every block."""
        return np.concatenate([self._rest, *self._parts])

    def _sums(self, rows: FloatArray) -> FloatArray:
        """Sums over frames: relu(x), c and h of every block, and both rails of the classifier.

        The classifier's input is the skip path after the last block, x + relu(W_p·h + b_p).
        """
        # Overflow is quiet here: PowerEstimate refuses sums that are not finite.
        with np.errstate(over="ignore", invalid="ignore"):
            blocks = self._parameters.blocks
            width = self._parameters.width
            n_inputs = width * len(blocks)
            currents = [np.maximum(rows[:, :n_inputs], 0), rows[:, n_inputs:]]
            if blocks:
                post = blocks[-1].post
                last_states = rows[:, rows.shape[1] - blocks[-1].cells :]
                products = [
                    last_states[start : start + PRODUCT_ROWS] @ post.weight
                    for start in range(0, len(rows), PRODUCT_ROWS)
                ]
                skip = rows[:, n_inputs - width : n_inputs]
                skip = skip + np.maximum(np.concatenate(products) + post.bias, 0)
                currents += _rails(skip)
            sums: FloatArray = np.concatenate(currents, axis=1).sum(axis=0)
        return sums

    def _power(
        self, totals: FloatArray | float, frames: int, unit_na: float, frame_s: float
    ) -> PowerEstimate:
        parameters = self._parameters
        blocks, n = parameters.blocks, len(parameters.blocks)
        sizes = [*self._columns, parameters.width, parameters.width]
        if frames and blocks:
            means = np.split(np.asarray(totals) / frames, np.cumsum(sizes)[:-1])
        else:
            means = [np.zeros(size) for size in sizes]
        with np.errstate(over="ignore", invalid="ignore"):
            inputs, candidates, states = means[:n], means[n : 2 * n], means[2 * n : 3 * n]
            above, below = means[3 * n :]  # the two rails of the classifier's input
            weight_positive, weight_negative = _rails(parameters.classifier.weight)
            positive, negative = _rails(parameters.classifier.bias)
            return PowerEstimate(
                currents=tuple(
                    _block_currents(block, x, c, h)
                    for block, x, c, h in zip(blocks, inputs, candidates, states, strict=True)
                ),
                classifier_positive=float(
                    (above @ weight_positive + below @ weight_negative).sum() + positive.sum()
                ),
                classifier_negative=float(
                    (above @ weight_negative + below @ weight_positive).sum() + negative.sum()
                ),
                frames=frames,
                frame_s=frame_s,
                unit_na=unit_na,
            )


def _block_currents(block: Block, x: FloatArray, c: FloatArray, h: FloatArray) -> BlockCurrents:
    """Branch currents of a block from its mean relu(x) (m,), c (d,) and h (d,): all are linear."""
    weight_positive, weight_negative = _rails(block.candidate.weight)
    positive, negative = _rails(block.candidate.bias)
    # A threshold at or below 0 always sets: on the chip its bias current is 0, not less.
    bias = block.alpha + np.maximum(block.beta2, 0) + block.delta
    return BlockCurrents(
        bias=tuple(bias.tolist()),
        candidate=tuple(c.tolist()),
        state=tuple(h.tolist()),
        positive=float((x @ weight_positive).sum() + positive.sum()),
        negative=float((x @ weight_negative).sum() + negative.sum()),
        post=float((h @ np.abs(block.post.weight)).sum() + np.abs(block.post.bias).sum()),
    )


def _rails(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Positive and negative parts of `values`, both as magnitudes."""
    return np.maximum(values, 0), np.maximum(-values, 0)
