"""A whole network: feedforward layers joined with BMRU cells, offline and as a stream.

Both ways are the same code, so any split of a sequence into blocks gives the same bits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kws_stream import bmru
from kws_stream.arguments import instance_of
from kws_stream.bmru.trace import Trace
from kws_stream.errors import InputError
from kws_stream.layers import FeedforwardLayers, MatmulLayers, OnnxLayers, OrderedLayers
from kws_stream.parameters import (
    BoolArray,
    Exactness,
    FloatArray,
    NetworkParameters,
    prove_exactness,
)

__all__ = ["Network", "NetworkStream", "Trace"]

# Below this many frames a block, the NumPy products cost no more than the calls of ONNX Runtime
# (benchmarks/streaming_cost.py); on the grid both give the same bits.
ONNX_MIN_FRAMES = 32


class Network:
    """A network with fixed parameters; see `from_arrays`."""

    def __init__(self, parameters: NetworkParameters, graphs: Sequence[bytes] = ()) -> None:
        """graphs: the pack's ONNX graphs, one a stage; used if the network is proven exact.

        ONNX Runtime loads with the first block that is long enough for it. Graphs that it refuses
        or that do not fit the parameters raise PackError then.
        """
        instance_of(parameters, NetworkParameters, "parameters", "those of a network")
        self.parameters = parameters
        self.exactness: Exactness = prove_exactness(parameters)
        self._layers: FeedforwardLayers
        if self.exactness.exact:
            self._layers = MatmulLayers(parameters)
        else:
            self._layers = OrderedLayers(parameters)
        self._graphs = tuple(graphs) if self.exactness.exact else ()
        self._onnx: OnnxLayers | None = None
        self._cells = [(b.beta1, b.beta2, b.alpha) for b in parameters.blocks]

    def __repr__(self) -> str:
        of, proof = self.parameters, self.exactness
        how = f"exact in {proof.dtype}" if proof.exact else "not exact"
        return (
            f"Network({of.n_features} features, {of.cells_in_words}, {of.n_classes} classes, {how})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """For a copy in another process, which starts ONNX Runtime itself."""
        return self.__dict__ | {"_onnx": None}

    @classmethod
    def from_arrays(
        cls,
        pre: Any,
        blocks: Sequence[Mapping[str, Any]],
        classifier: Any,
        input_grid: Any = None,
    ) -> "Network":
        """Network from plain arrays.

        pre, classifier: (W, b) with W (n_in, n_out). blocks: dicts of candidate=(W, b), beta1,
        delta, alpha (d,), post=(W, b) and optionally initial_state (d bits). input_grid: (step,
        low, high) promises that inputs are multiples of `step`, a power of two, in low..high;
        with it `exactness` says whether no sum of the network can round.

        Raises ParameterError for arrays that do not fit, NaN or infinity, delta < 0, alpha < 0.
        """
        return cls(NetworkParameters.from_arrays(pre, blocks, classifier, input_grid))

    def run(self, features: ArrayLike) -> Trace:
        """Trace of a whole sequence (T, n_features), from the initial state.

        Raises InputError (a ValueError) for other shapes, NaN, infinity, and values off the grid.
        """
        return self.stream().advance(features)

    def stream(self) -> "NetworkStream":
        """A stream that starts from the initial state."""
        return NetworkStream(self)

    def trace_of(self, features: FloatArray, bits: Sequence[BoolArray]) -> Trace:
        """The trace of frames (T, n_features) on the grid in which the cells had these bits.

        bits: (T, d) of every block, as somebody else, the engine in C, has found them.
        """
        x, h = features, None
        inputs, candidates, states = [], [], []
        for index, (_, _, alpha) in enumerate(self._cells):
            x, c = self._layers.stage(index, x, h)
            h = bits[index] * alpha
            inputs.append(x)
            candidates.append(c)
            states.append(h)
        logits = self._layers.stage(len(self._cells), x, h)[1]
        return Trace(logits, inputs, candidates, states, list(bits))

    def _checked(self, features: ArrayLike) -> FloatArray:
        try:
            given = np.asarray(features)
            if given.dtype.kind not in "biufO":  # text would be parsed, complex numbers cut
                raise TypeError(f"not real numbers: {given.dtype}")
            x = given.astype(np.float64, copy=False)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"features: need an array of numbers, got {features!r:.80}") from error
        if x.ndim != 2 or x.shape[1] != self.parameters.n_features:
            raise InputError(
                f"features: need shape (frames, {self.parameters.n_features}), got {x.shape}"
            )
        if not np.isfinite(x).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise InputError(f"features: need finite numbers, got {x[where]} at {where}")
        grid = self.parameters.input_grid
        if grid is not None:
            bad = (np.fmod(x, grid.step) != 0) | (x < grid.low) | (x > grid.high)
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                raise InputError(
                    f"features: need multiples of {grid.step} in {grid.low}..{grid.high}, "
                    f"got {x[where]} at {where}; quantise to the input grid first"
                )
        return x

    def _compute(self, x: FloatArray, bits: list[BoolArray]) -> Trace:
        """Trace of checked inputs; replaces each entry of `bits` by the state after the block."""
        frames = len(x)
        layers = self._layers
        if self._graphs and frames >= ONNX_MIN_FRAMES:
            if self._onnx is None:
                self._onnx = OnnxLayers(self._graphs, self.parameters, self.exactness.dtype)
            layers = self._onnx
        inputs: list[FloatArray] = []
        candidates: list[FloatArray] = []
        states: list[FloatArray] = []
        all_bits: list[BoolArray] = []
        h = None
        for index, (beta1, beta2, alpha) in enumerate(self._cells):
            x, c = layers.stage(index, x, h)
            if frames == 1:
                z = bmru.step(c, bits[index], beta1, beta2)
            else:
                z = bmru.sequence(c, bits[index], beta1, beta2)
            if frames:
                bits[index] = z[-1].copy()  # the trace belongs to the caller
            h = z * alpha
            inputs.append(x)
            candidates.append(c)
            states.append(h)
            all_bits.append(z)
        x, logits = layers.stage(len(self._cells), x, h)
        return Trace(logits, inputs, candidates, states, all_bits)


class NetworkStream:
    """A network that keeps its bits between blocks of frames."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.reset()

    def reset(self) -> None:
        """Back to the initial state: equal to a new stream in every bit."""
        self._bits = [block.initial_state for block in self._network.parameters.blocks]

    @property
    def bits(self) -> list[BoolArray]:
        """The bits (d,) of every block after the last frame."""
        return [z.copy() for z in self._bits]

    def process(self, block: ArrayLike) -> FloatArray:
        """Logits (t, K) of the next t frames (t, n_features); t may be 0. Errors as in `run`."""
        return self.advance(block).logits

    def advance(self, block: ArrayLike) -> Trace:
        """As `process`, with the whole trace of these frames."""
        return self.advance_unchecked(self._network._checked(block))

    def advance_unchecked(self, block: FloatArray) -> Trace:
        """As `advance`, for blocks known to be finite and on the grid, such as our features."""
        network = self._network
        bits = list(self._bits)
        trace = network._compute(block, bits)
        self._bits = bits
        return trace
