"""What happens around events while sound is heard: the audio beside them, records, commands."""

from kws_stream.live.commands import (
    AudioFeed,
    CommandRunner,
    CommandWatcher,
    Runner,
    event_variables,
)
from kws_stream.live.hearing import Hearing, Watcher, later
from kws_stream.live.meter import PowerMeter
from kws_stream.live.monitor import Cells, ClassScore, Moment, Monitor
from kws_stream.live.passages import Passage, passages
from kws_stream.live.ring import AudioRing
from kws_stream.live.triggers import (
    TriggerKeeper,
    TriggerRecord,
    TriggerStore,
    read_triggers,
    trigger_audio,
)

__all__ = [
    "AudioFeed",
    "AudioRing",
    "Cells",
    "ClassScore",
    "CommandRunner",
    "CommandWatcher",
    "Hearing",
    "Moment",
    "Monitor",
    "Passage",
    "PowerMeter",
    "Runner",
    "TriggerKeeper",
    "TriggerRecord",
    "TriggerStore",
    "Watcher",
    "event_variables",
    "later",
    "passages",
    "read_triggers",
    "trigger_audio",
]
