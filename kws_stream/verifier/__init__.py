"""The second stage of a cascade: it hears the last 2 s again and confirms a trigger, or rejects it.

`host` is Google's speech embedding with a small head, for a computer; `mcu` a small convolutional
network in integers, for a microcontroller; docs/cascade.md.
"""

from kws_stream.verifier.cascade import Cascade, Track, judge
from kws_stream.verifier.embedding import Graphs, SpeechEmbedding, find_graphs
from kws_stream.verifier.head import Head, head_bytes, parse_head
from kws_stream.verifier.host import HostVerifier
from kws_stream.verifier.loading import Verifier, load_verifier
from kws_stream.verifier.mcu import FeatureTrack, McuVerifier
from kws_stream.verifier.network import (
    Convolution,
    VerifierNetwork,
    network_bytes,
    parse_network,
)
from kws_stream.verifier.track import SoundTrack, steps_of

__all__ = [
    "Cascade",
    "Convolution",
    "FeatureTrack",
    "Graphs",
    "Head",
    "HostVerifier",
    "McuVerifier",
    "SoundTrack",
    "SpeechEmbedding",
    "Track",
    "Verifier",
    "VerifierNetwork",
    "find_graphs",
    "head_bytes",
    "judge",
    "load_verifier",
    "network_bytes",
    "parse_head",
    "parse_network",
    "steps_of",
]
