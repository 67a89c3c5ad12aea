"""What happens around events while sound is heard: the audio beside them, records, commands."""

from kws_stream.live.hearing import Hearing, Watcher
from kws_stream.live.meter import PowerMeter
from kws_stream.live.passages import Passage, passages
from kws_stream.live.ring import AudioRing

__all__ = ["AudioRing", "Hearing", "Passage", "PowerMeter", "Watcher", "passages"]
