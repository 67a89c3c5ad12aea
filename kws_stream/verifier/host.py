"""The verifier that a computer runs, as a pack describes it."""

from dataclasses import dataclass
from functools import lru_cache

from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.errors import MissingExtraError, PackError, ParameterError
from kws_stream.packs import Pack
from kws_stream.verifier.cascade import KEPT_S, WAIT_S, Cascade
from kws_stream.verifier.embedding import (
    MEL_MULTIPLICATIONS,
    MULTIPLICATIONS,
    PACKAGE,
    STEP,
    Graphs,
    SpeechEmbedding,
    find_graphs,
)
from kws_stream.verifier.head import STEPS, Head, parse_head
from kws_stream.verifier.track import REACH, Track

KIND = "host"


@dataclass(frozen=True, eq=False)
class HostVerifier:
    """What all streams of one pack share: the graphs, the head and the threshold of its score."""

    embedding: SpeechEmbedding
    head: Head
    threshold: float

    @property
    def multiplications(self) -> int:
        """Of a decision at most: every step that a trigger may be judged at."""
        steps = round(WAIT_S * SAMPLE_RATE_HZ) // STEP + 1
        return (
            (REACH - 1 + steps) * MEL_MULTIPLICATIONS
            + (STEPS - 1 + steps) * MULTIPLICATIONS
            + steps * self.head.multiplications
        )

    def track(self, seconds: float = KEPT_S) -> Track:
        return Track(self.embedding, self.head, seconds)

    def cascade(self) -> Cascade:
        return Cascade(self.track(), self.threshold)


def load_verifier(pack: Pack) -> HostVerifier | None:
    """The verifier of a pack; None for a pack without one.

    Raises PackError for a verifier that this version does not know or that is broken,
    MissingExtraError where its graphs are not installed, or others are.
    """
    data = pack.verifier
    if data is None:
        return None
    alone = "or run the first stage alone (verify=False, --no-verify)"
    if data.kind != KIND or data.package != PACKAGE:
        raise PackError(
            f"{pack.name}: need a verifier of the kind {KIND} by {PACKAGE}, got {data.kind!r:.80} "
            f"by {data.package!r:.80}; get a matching kws-stream, {alone}"
        )
    try:
        head = parse_head(data.head)
    except ParameterError as error:
        raise PackError(f"{pack.name}: {error}; get an intact copy") from error
    try:
        graphs = find_graphs()
    except MissingExtraError as error:
        raise MissingExtraError(f"{pack.name}: {error}, {alone}") from error
    if graphs.checksums != data.files:
        raise MissingExtraError(
            f"{pack.name}: need the very graphs that its verifier was trained on, got others in "
            f"the installed {PACKAGE}; install the version of the extra phrase, {alone}"
        )
    return HostVerifier(_embedding(graphs), head, data.threshold)


@lru_cache(maxsize=1)
def _embedding(graphs: Graphs) -> SpeechEmbedding:
    """One for all spotters of a program: sessions of ONNX Runtime may be used by any thread."""
    return SpeechEmbedding(graphs)
