"""The second stage of a cascade: it hears the last 2 s again and confirms a trigger, or rejects it.

`host` is Google's speech embedding with a small head, for a computer; docs/cascade.md.
"""

from kws_stream.verifier.cascade import Cascade, judge, steps_of
from kws_stream.verifier.embedding import Graphs, SpeechEmbedding, find_graphs
from kws_stream.verifier.head import Head, head_bytes, parse_head
from kws_stream.verifier.host import HostVerifier, load_verifier
from kws_stream.verifier.track import Track

__all__ = [
    "Cascade",
    "Graphs",
    "Head",
    "HostVerifier",
    "SpeechEmbedding",
    "Track",
    "find_graphs",
    "head_bytes",
    "judge",
    "load_verifier",
    "parse_head",
    "steps_of",
]
