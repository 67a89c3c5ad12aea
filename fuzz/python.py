"""The targets in Python: each takes bytes and fails where a promise does not hold."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from fuzz import chip, clients, pack_files, sound, text
from kws_stream.detector import DetectorSettings
from kws_stream.features import FeatureSettings
from kws_stream.packs.manifest import FIELDS
from kws_stream.training.recipe import Recipe


@dataclass(frozen=True)
class Target:
    """run: takes an input. seeds: gives inputs to begin with, of our own making."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


TARGETS = {
    "audio_file": Target(sound.audio_file, sound.audio_seeds),
    "audio_pipe": Target(sound.audio_pipe, sound.pipe_seeds),
    "pack_manifest": Target(pack_files.pack_manifest, pack_files.manifest_seeds),
    "pack_arrays": Target(pack_files.pack_arrays, pack_files.array_seeds),
    "pack_graph": Target(pack_files.pack_graph, pack_files.graph_seeds),
    "pack_verifier": Target(pack_files.pack_verifier, pack_files.verifier_seeds),
    "chip_bitstream": Target(chip.chip_bitstream, chip.bitstream_seeds),
    "recipe": Target(text.recipe, text.recipe_seeds),
    "search_space": Target(text.search_space, text.space_seeds),
    "labels": Target(text.labels, text.label_seeds),
    "trigger_store": Target(text.trigger_store, text.trigger_seeds),
    "wyoming": Target(clients.wyoming, clients.wyoming_seeds),
    "web_page": Target(clients.web_page, clients.page_seeds),
}


def words() -> list[str]:
    """Names that a mutation would hardly hit upon, for libFuzzer's dictionary."""
    settings = (Recipe, FeatureSettings, DetectorSettings)
    names = {field.name for kind in settings for field in fields(kind)} | set(FIELDS)
    names |= {"stage", "extends", "init_from", "words", "word", "start_s", "end_s", "choices"}
    names |= {"describe", "detect", "names", "audio-start", "audio-chunk", "audio-stop", "ping"}
    names |= {"rate", "width", "channels", "timestamp", "payload_length", "data_length", "text"}
    names |= {"keyword", "follow", "event", "label", "NaN", "1e999", "null", "\\ud800"}
    return sorted(names)
