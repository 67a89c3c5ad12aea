"""The verifier that a computer runs, as a pack describes it."""

from dataclasses import dataclass
from functools import lru_cache

from kws_stream.brief import brief
from kws_stream.errors import MissingExtraError, PackError, ParameterError
from kws_stream.features import FeatureSettings
from kws_stream.packs import Pack
from kws_stream.verifier.cascade import KEPT_S, Cascade
from kws_stream.verifier.embedding import (
    MEL_MULTIPLICATIONS,
    MULTIPLICATIONS,
    PACKAGE,
    STEP,
    Graphs,
    SpeechEmbedding,
    find_graphs,
)
from kws_stream.verifier.head import STEPS, Head, log_odds, parse_head, probability
from kws_stream.verifier.track import REACH, WAIT, Opinion, SoundTrack

KIND = "host"


@dataclass(frozen=True, eq=False)
class HostVerifier:
    """What all streams of one pack share: the graphs, the head and the threshold of the score.

    opinion: what the network's own score counts in it; None for nothing.
    """

    embedding: SpeechEmbedding
    head: Head
    threshold: float
    opinion: Opinion | None = None

    __repr__ = brief

    @property
    def multiplications(self) -> int:
        """Of a decision at most: every step that a trigger may be judged at."""
        steps = WAIT // STEP + 1
        return (
            (REACH - 1 + steps) * MEL_MULTIPLICATIONS
            + (STEPS - 1 + steps) * MULTIPLICATIONS
            + steps * self.head.multiplications
        )

    def raised(self, score: float, units: float) -> float:
        """A score whose log odds are so many units higher."""
        return probability(log_odds(score) + units)

    def track(self, seconds: float = KEPT_S) -> SoundTrack:
        return SoundTrack(self.embedding, self.head, seconds, self.opinion)

    def cascade(self) -> Cascade:
        return Cascade(self.track(), self.threshold)


ALONE = "or run the first stage alone (verify=False, --no-verify)"


def load_host(pack: Pack) -> HostVerifier:
    """The verifier of a pack that has one of this kind.

    Raises PackError for one that is broken or made with other graphs, MissingExtraError where its
    graphs are not installed, or others are.
    """
    data = pack.verifier
    assert data is not None
    if data.package != PACKAGE:
        raise PackError(
            f"{pack.name}: need a verifier by {PACKAGE}, got one by {data.package!r:.80}; get a "
            f"matching kws-stream, {ALONE}"
        )
    try:
        head = parse_head(data.head)
    except ParameterError as error:
        raise PackError(f"{pack.name}: {error}; get an intact copy") from error
    try:
        graphs = find_graphs()
    except MissingExtraError as error:
        raise MissingExtraError(f"{pack.name}: {error}, {ALONE}") from error
    if graphs.checksums != data.files:
        raise MissingExtraError(
            f"{pack.name}: need the very graphs that its verifier was trained on, got others in "
            f"the installed {PACKAGE}; install the version of the extra phrase, {ALONE}"
        )
    return HostVerifier(_embedding(graphs), head, data.threshold, _opinion(pack))


def _opinion(pack: Pack) -> Opinion | None:
    assert pack.verifier is not None
    if not pack.verifier.network_weight:
        return None
    frame_samples = FeatureSettings.from_dict(pack.features).frame_samples
    return Opinion(pack.verifier.network_weight, pack.classes, frame_samples)


@lru_cache(maxsize=1)
def _embedding(graphs: Graphs) -> SpeechEmbedding:
    """One for all spotters of a program: sessions of ONNX Runtime may be used by any thread."""
    return SpeechEmbedding(graphs)
